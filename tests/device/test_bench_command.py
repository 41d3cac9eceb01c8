"""`tomograd bench kernels|steps --device cuda --peer torch` from what is typed to what is written, on a pretended
device, with small cases. Where PyTorch is installed it is the peer, on the CPU; everywhere a stand-in for its engine.
"""

import gc
import importlib.util
from types import SimpleNamespace

import pretended_bench
import pytest
from pretended_device import reference_device

from tomograd.benchmarks import gpu, processes, suite, targets, timing
from tomograd.benchmarks.results import Report
from tomograd.cli import app

NO_TORCH = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="the peer is not installed")
EAGER, WHOLE = ["torch:nchw", "torch:channels_last"], ["torch:captured", "torch:compile", "torch:graphs"]


@pytest.fixture(params=["stand-in", pytest.param("PyTorch", marks=NO_TORCH)])
def bench(request, monkeypatch, capsys):
    """Call the command line: bench("steps", …) → code, out, err."""

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            app(["bench", *map(str, arguments), "--device", "cuda", "--rounds", "2"], prog_name="tomograd")
        shown = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code, out=shown.out, err=shown.err)

    if request.param == "stand-in":
        monkeypatch.setenv(pretended_bench.STAND_IN, "1")
        monkeypatch.setattr(suite.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(suite, "Worker", pretended_bench.InProcess)
    with reference_device(), pretended_bench.made_small(request.param == "PyTorch"):
        gc.freeze()  # what the process has by now is not looked through before every case
        try:
            yield call
        finally:
            gc.unfreeze()


def measured(bench, kept, *arguments):
    result = bench(*arguments, "--output", "json", "--file", kept)
    assert result.code == 0, result.err
    report = Report.from_json(kept.read_text(encoding="utf-8"))
    assert report.complete and report.device == "cuda"
    return report


def every_value(report):
    for row in report.rows:
        for engine, result in row.results.items():
            assert result.failed is None, (row.label, engine, result.failed)
            assert result.skipped or (len(result.values) == 2 and min(result.values) > 0)


def test_kernels_beside_the_peer(bench, tmp_path):
    report = measured(bench, tmp_path / "run.json", "kernels", "--peer", "torch")
    every_value(report)
    assert report.engines == ["tomograd", *EAGER]
    assert [row.label for row in report.rows] == [
        *(f"2,4,6,5→8,3,p1 | {which}" for which in ("forward", "input gradient", "weight gradient")),
        *(f"relu 4×4×4×8 | {which}" for which in ("forward", "gradient")),
        *(f"dense 128×8→3 | {which}" for which in ("forward", "input gradient", "weight gradient")),
        *(f"simple RNN 64×3×4→4 | {which}" for which in ("forward", "forward and gradients")),
    ]
    for row in report.rows:
        assert row.ceilings.keys() == {"multiply-adds", "copy"} and row.peak > 0 and row.copy_share() > 0
    assert report.gpu == "pretended" and "cuDNN" in report.facts["torch:nchw"]
    shown = bench_report(tmp_path / "run.json", tmp_path / "page.html")
    assert "a product of large matrices, float32" in (tmp_path / "page.html").read_text(encoding="utf-8")
    for words in ("Kernels on a GPU, float32", "gpu pretended", "cuDNN", "convolutions, each ratio", "share of a copy"):
        assert words in shown


@pytest.mark.slow
def test_engines_in_processes_of_their_own(bench, monkeypatch):
    monkeypatch.setattr(suite, "Worker", processes.Worker)
    monkeypatch.setattr(processes, "WORKER", pretended_bench.COMMAND)
    result = bench("kernels", "--peer", "torch", "--shape", "relu 4×4×4×8 | forward")
    assert result.code == 0 and "share of a copy" in result.out
    assert "gpu pretended" in result.out and "| failed |" not in result.out.split("Geometric")[0], result.out


def bench_report(kept, page):
    """The table, and a page."""
    from tomograd.benchmarks import tables
    from tomograd.benchmarks.page import page as html

    report = Report.from_json(kept.read_text(encoding="utf-8"))
    page.write_text(html([report]), encoding="utf-8")
    assert "targets" in page.read_text(encoding="utf-8")
    return tables.markdown(report)


@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_rounded_products_keep_the_rows_that_have_some(bench, tmp_path, precision):
    report = measured(
        bench, tmp_path / "run.json", "kernels", "--peer", "torch", "--precision", precision, "--shape", "forward"
    )
    every_value(report)
    groups = {row.group for row in report.rows}
    assert groups == {"convolutions", "dense"} | ({"recurrent cells"} if precision == "tf32" else set())
    convolution = report.rows[0]
    assert convolution.bytes == (2 if precision == "float16" else 4) * (2 * 30 * (4 + 8) + 9 * 4 * 8 + 8)


def test_steps_beside_the_peer(bench, tmp_path):
    measured(bench, tmp_path / "run.json", "steps", "--peer", "torch", "--shape", "training step")
    report = measured(bench, tmp_path / "run.json", "steps", "--peer", "torch", "--shape", "batch 1", "--resume")
    every_value(report)
    assert report.engines == ["tomograd", "tomograd:captured", *EAGER, *WHOLE]
    assert [row.label.split(",")[0] for row in report.rows] == [
        "S3 CNN", "S1 CNN", "U-Net base 16", "S3 CNN", "S1 CNN",
    ]  # fmt: skip
    for row in report.rows:
        memory = {engine: result.notes.get("memory") for engine, result in row.results.items()}
        assert memory["tomograd"] > 0 and memory["torch:graphs"] == pretended_bench.TAKEN, memory
        eager, graphs = (compare(row) for compare in report.comparisons().values())
        assert eager == min(map(row.median, EAGER)) / row.ours
        if row.which == "training step":
            assert graphs == min(map(row.median, WHOLE)) / row.median("tomograd:captured")
        else:
            assert graphs is None and row.results["tomograd:captured"].skipped
    shown = bench_report(tmp_path / "run.json", tmp_path / "page.html")
    for words in ("ratio, eager | ratio, graphs", "Most memory of the GPU", "training steps, ratio, graphs"):
        assert words in shown
    assert {verdict.rows for verdict in targets.verdicts(report)} == {2}


def test_a_run_that_was_cut_off_is_gone_on_with(bench, tmp_path):
    """Rows that are there are not measured again, those that failed are, and others come to them."""
    kept = tmp_path / "run.json"
    first = measured(bench, kept, "kernels", "--shape", "forward")
    first.rows[1].results["tomograd"].values.clear()
    first.rows[1].results["tomograd"].failed = "the process was ended by signal 9"
    first.rows[0].results["tomograd"].values[:] = [1.0, 2.0]
    kept.write_text(first.to_json(), encoding="utf-8")
    result = bench("kernels", "--output", "json", "--file", kept, "--resume")
    assert result.code == 0 and "] 2,4,6,5→8,3,p1 | forward" not in result.err
    report = Report.from_json(kept.read_text(encoding="utf-8"))
    every_value(report)
    assert len(report.rows) == 10 and report.rows[0].results["tomograd"].values == [1.0, 2.0]
    assert report.date == first.date
    other = bench("kernels", "--output", "json", "--file", kept, "--resume", "--precision", "tf32")
    assert other.code == 2 and "--resume: precision was float32 in the file, and is tf32 now" in other.err


def test_what_is_measured_is_written_row_by_row(bench, tmp_path, monkeypatch):
    kept, rows = tmp_path / "run.json", []

    def interrupt(entry, *others):
        if rows:
            raise KeyboardInterrupt
        rows.append(entry)
        return timed_row(entry, *others)

    timed_row = suite.timed_row
    monkeypatch.setattr(suite, "timed_row", interrupt)
    result = bench("kernels", "--output", "json", "--file", kept, "--shape", "→8,3")
    report = Report.from_json(kept.read_text(encoding="utf-8"))
    assert result.code == 0 and not report.complete and len(report.rows) == 1


class Recorded:
    """A queue whose clock goes on by what is asked of it."""

    def __init__(self, write, run):
        self.now, self.write, self.run_takes, self.order = 0.0, write, run, []

    def event(self):
        return self.now

    def seconds(self, first, last):
        return last - first

    def wait(self):
        self.order.append("wait")

    def write_over_cache(self):
        self.order.append("write")
        self.now += self.write

    def run(self):
        self.order.append("run")
        self.now += self.run_takes


def test_a_kernel_is_timed_alone_and_steps_in_a_row():
    queue = Recorded(write=5.0, run=2.0)
    assert timing.alone(queue, queue.run, 3, writes=2).seconds == 2.0
    assert queue.order == ["wait", *["write", "write", "run"] * 3, "wait"]
    queue = Recorded(write=5.0, run=2.0)
    assert timing.in_a_row(queue, queue.run, 4).seconds == 2.0 and "write" not in queue.order


def test_the_cache_is_written_over_for_longer_than_a_run_is_queued(monkeypatch):
    times = iter([0.0, 0.4, 1.0, 1.2, 2.0, 2.9])  # three runs: 0.4, 0.2 and 0.9 s
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(times))
    assert timing.writes_to_hide(Recorded(write=0.1, run=0.0), lambda: None) == 3
    times = iter([0.0, 9.0] * 3)
    assert timing.writes_to_hide(Recorded(write=0.1, run=0.0), lambda: None) == timing.MOST_WRITES
    assert timing.bytes_to_write(50 * 2**20) == 400 * 2**20 and timing.bytes_to_write(0) == timing.LEAST


@pytest.mark.parametrize("precision", gpu.PRECISIONS)
def test_the_ceiling_is_a_product_in_the_precision(bench, precision):
    import cupy

    run, operations = gpu.peak(precision)
    a, b, c = (each.get() for each in run())
    assert operations == 2 * 16**3
    if precision == "bfloat16":
        a, b, c = ((each.astype("u4") << 16).view("f4") for each in (a, b, c))
    expected = (a.T.astype("f8") @ b.T.astype("f8")).T
    assert abs(c - expected).max() < {"float32": 1e-5, "tf32": 1e-5, "float16": 4e-3}.get(precision, 4e-2)
    assert cupy.__version__
