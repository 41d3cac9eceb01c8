"""The suite as it runs: processes that answer, fail and die; the commands; a real run of one small shape."""

import importlib.util
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tomograd.benchmarks import ceilings, machine, processes, suite, worker
from tomograd.benchmarks.catalogue import KERNELS, STEPS, entries
from tomograd.benchmarks.results import PEAK, Measured, Report, Row
from tomograd.cli import app
from tomograd.failures import UserError
from tomograd.kernels.cpu import simd

HAS_TORCH = importlib.util.find_spec("torch") is not None
SMALL = "1,4,84,84→16,8,s4 | forward"


@pytest.fixture
def tomograd(capsys):
    """Call the command line: tomograd("bench", "kernels") → code, out, err."""

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            app([str(argument) for argument in arguments], prog_name="tomograd")
        shown = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code, out=shown.out, err=shown.err)

    return call


def refused(result, *words):
    assert result.code == 2 and result.err.count("\n") == 1, result.err
    for word in words:
        assert word in result.err


# ---- the ceilings ----------------------------------------------------------------------------------------------------


def test_copies_copy():
    copies, moved = ceilings.copies(10_000)
    assert abs(moved - 10_000) <= 2 * ceilings.LINE
    assert copies.keys() == {"copy", "streaming copy"}
    vector = simd.vector_of(ceilings.FLOAT)
    for body in (ceilings._copy_lines, ceilings._stream_lines):
        x, y = ceilings.aligned(64), ceilings.aligned(64)
        x[...], y[...] = np.arange(64), -1
        assert x.ctypes.data % ceilings.LINE == 0
        ceilings.launch.run(body, 3, 1, vector, ceilings.Constant(16), ceilings._SOURCE, x, y)
        np.testing.assert_array_equal(y, [*range(48), *[-1] * 16])


def test_multiply_adds_are_really_done():
    """a ← a/2 + 1 goes to 2 from wherever it starts: the sum over the accumulators says that all of them went there."""
    vector, count = simd.vector_of(ceilings.FLOAT), ceilings.accumulators(simd.level())
    sums = np.zeros((4, vector.lanes), np.float32)
    constants = (vector, ceilings.Constant(count), ceilings._SOURCE)
    ceilings.launch.run(ceilings._multiply_add_items, 4, 1, *constants, np.float32(0.5), np.float32(1), 60, sums)
    np.testing.assert_allclose(sums, 2 * count, rtol=1e-6)
    ceilings.launch.run(ceilings._multiply_add_items, 4, 1, *constants, np.float32(0.5), np.float32(1), 1, sums)
    np.testing.assert_allclose(sums, sum(number / 2 + 1 for number in range(1, count + 1)), rtol=1e-6)


# ---- a real run ------------------------------------------------------------------------------------------------------


def test_a_small_run_from_first_to_last(tomograd, tmp_path):
    kept = tmp_path / "run.json"
    result = tomograd(
        "bench", "kernels", "--shape", SMALL, "--rounds", 1, "--threads", 1, "--output", "json", "--file", kept
    )
    assert result.code == 0, result.err
    report = Report.from_json(kept.read_text(encoding="utf-8"))
    (row,) = report.rows
    assert row.label == SMALL and row.source == "A3C"
    assert len(row.results["tomograd"].values) == 1 and row.results["tomograd"].failed is None
    assert row.ceilings.keys() == {"multiply-adds", "copy", "streaming copy"} and row.peak > 0
    assert report.facts["tomograd"]["threads"] == report.threads == 1
    shown = tomograd("bench", "report", kept, "--output", "table")
    assert shown.code == 0 and "1,4,84,84→16,8,s4 (A3C)" in shown.out
    pictured = tomograd("bench", "report", kept, kept, "--file", tmp_path / "page.html")
    assert pictured.code == 0 and (tmp_path / "page.html").read_text(encoding="utf-8").count("<svg") == 2


def test_the_module_is_the_same_command():
    shown = subprocess.run(
        [sys.executable, "-m", "tomograd.benchmarks", "kernels", "--shape", "no such shape"],
        capture_output=True,
        text=True,
        cwd="/",
    )
    assert shown.returncode == 2 and "no such shape" in shown.stderr and "Some rows" in shown.stderr


# ---- what users get wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["kernels", "--shape", "xyz"], ["--shape", "xyz", "572"]),
        (["steps", "--shape", "xyz"], ["--shape", "U-Net"]),
        (["startup", "--shape", "xyz"], ["--shape", "cold kernel cache"]),
        (["memory", "--shape", "xyz"], ["--shape", "3-D U-Net"]),
        (["kernels", "--peer", "caffe"], ["--peer", "caffe", "torch"]),
        (["kernels", "--output", "pdf"], ["--output", "pdf", "html"]),
        (["kernels", "--threads", "100000"], ["--threads", "100000"]),
        (["kernels", "--threads", "-1"], ["--threads", "-1"]),
        (["kernels", "--rounds", "-1"], ["--rounds", "-1"]),
        (["kernels", "--threads", "0"], ["--threads", "0"]),
        (["kernels", "--rounds", "0"], ["--rounds", "0"]),
        (["kernels", "--file", "/no/such/folder/x.md"], ["/no/such/folder"]),
        (["kernels", "--file", "/"], ["/", "is a folder"]),
        (["report", "/no/such/file.json"], ["/no/such/file.json"]),
    ],
)
def test_mistakes_end_in_one_sentence(tomograd, arguments, words):
    refused(tomograd("bench", *arguments), *words)


def test_a_file_that_is_no_report(tomograd, tmp_path):
    (tmp_path / "x.json").write_text('{"format": "other"}')
    refused(tomograd("bench", "report", tmp_path / "x.json"), "x.json", "tomograd-benchmark-1")


def test_a_peer_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(suite.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"tomograd\[bench\]"):
        suite.begin(suite.Options(KERNELS, peer="torch"))


@pytest.mark.parametrize(
    ("text", "wanted"), [("A3C", {SMALL}), ("a3c", {SMALL}), ("→16,8,s4 | forward", {SMALL}), ("googlenet", None)]
)
def test_the_filter_looks_at_labels_and_sources(text, wanted):
    found = {entry.label for entry in suite.chosen(suite.Options(KERNELS, shape=text), entries(KERNELS))}
    assert found and (wanted is None or wanted <= found)
    assert len(found) <= 3


# ---- fairness and failure --------------------------------------------------------------------------------------------


class Stub:
    """A worker that answers from a script, and writes down the order of what it was asked."""

    order: list = []  # noqa: RUF012  (shared on purpose)

    def __init__(self, engine, answers):
        self.engine, self.answers = engine, answers

    def ask(self, **request):
        Stub.order.append((self.engine, request["what"], request["runs"]))
        return self.answers(request)


def test_engines_take_turns_and_begin_in_turn():
    Stub.order = []
    row = Row("a", "g", "forward", results={"tomograd": Measured(), "torch:nchw": Measured()})
    workers = {engine: Stub(engine, lambda request: {"seconds": 0.01}) for engine in row.results}
    suite.alternate(row, workers, rounds=3, budget=0.05)
    names = [engine for engine, _, _ in Stub.order]
    assert names == ["tomograd", "torch:nchw"] + [*["tomograd", "torch:nchw"], *["torch:nchw", "tomograd"]] + names[:2]
    assert [runs for _, _, runs in Stub.order] == [1, 1] + [5] * 6
    assert all(len(result.values) == 3 for result in row.results.values())


def test_an_engine_that_fails_in_the_middle_has_no_times_and_stops_no_other():
    row = Row("a", "g", "forward", results={"tomograd": Measured(), "torch:nchw": Measured()})
    times = iter([{"seconds": 1.0}, {"seconds": 1.0}, {"failed": "ended by signal 9"}])
    workers = {
        "tomograd": Stub("tomograd", lambda request: {"seconds": 1.0}),
        "torch:nchw": Stub("torch:nchw", lambda request: next(times)),
    }
    suite.alternate(row, workers, rounds=4, budget=0.05)
    assert row.results["torch:nchw"].failed == "ended by signal 9" and row.results["torch:nchw"].values == []
    assert len(row.results["tomograd"].values) == 4


def test_other_numbers_other_shapes_and_other_weights_are_failures():
    ours = {"shape": [2], "sample": [1.0, 2.0], "parameters": None}
    assert suite.disagreement({"shape": [2], "sample": [1.0, 2.0001]}, ours, None) is None
    assert "other numbers" in suite.disagreement({"shape": [2], "sample": [1.0, 2.1]}, ours, None)
    assert "other numbers" in suite.disagreement({"shape": [2], "sample": [1.0, float("nan")]}, ours, None)
    assert "shape" in suite.disagreement({"shape": [1, 2], "sample": [1.0, 2.0]}, ours, None)
    assert "no twin" in suite.disagreement({"parameters": 3}, {}, 4)
    assert suite.disagreement({"skipped": "why"}, ours, 4) is None


def test_a_worker_that_dies_is_a_failure_and_lives_again():
    with processes.Worker("tomograd", KERNELS, 1) as one:
        small = next(entry.number for entry in entries(KERNELS) if entry.label == SMALL)
        answer = one.ask(do="build", number=small)
        assert answer["shape"] == [1, 20, 20, 16] and one.facts["threads"] == 1
        one._process.kill()
        assert "signal 9" in one.ask(do="run", what="case", runs=1)["failed"]
        assert "sample" in one.ask(do="build", number=small)
        assert one.ask(do="run", what="case", runs=2)["seconds"] > 0
        assert "IndexError" in one.ask(do="build", number=10**6)["failed"]
        assert one.ask(do="run", what="nothing", runs=1)["failed"].startswith("KeyError")


def test_a_worker_that_is_too_slow_is_ended():
    with processes.Worker("tomograd", STEPS, 1, patience=0.01) as one:
        assert "no answer within" in one.ask(do="build", number=0)["failed"]


def test_an_engine_that_cannot_be_imported_fails_every_row(capfd):
    with processes.Worker("nonsense", KERNELS, 1) as one:
        for _ in range(2):
            assert "ModuleNotFoundError" in one.ask(do="build", number=0)["failed"]


def test_the_tuned_allocator_is_in_the_environment_of_its_processes_alone(monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    default, tuned = (processes.environment(name, 2) for name in ("torch:nchw", "torch:nchw:tuned"))
    assert not processes.TUNED.keys() & default.keys()
    assert all(tuned[name] == value for name, value in processes.TUNED.items())
    assert default["OMP_NUM_THREADS"] == default["TOMOGRAD_NUM_THREADS"] == "2"
    assert default["PATH"] == os.environ["PATH"]


def test_a_probe_tells_its_stages_in_order():
    told = processes.probe("startup", "tomograd", 1)
    assert [stage.get("stage", stage) for stage in told] == list(suite.STAGES)
    seconds = [stage["seconds"] for stage in told]
    assert seconds == sorted(seconds)


def test_a_probe_that_fails_says_why():
    assert "ModuleNotFoundError" in processes.probe("startup", "nonsense", 1)[-1]["failed"]
    assert "IndexError" in processes.probe("memory", "tomograd", 1, "1000")[-1]["failed"]


def test_samples_are_taken_at_the_same_places():
    array = np.arange(1000.0).reshape(10, 100)
    assert worker.sample(array) == worker.sample(array.T.copy().T)
    assert worker.sample(None) == {} and worker.sample(np.zeros((0, 3))) == {}


def test_one_thread_as_the_peer():
    report = suite.measure(suite.Options(KERNELS, peer="one-thread", rounds=1, shape=SMALL))
    assert report.engines == ["tomograd", "tomograd:one-thread"]
    assert [report.facts[engine]["threads"] for engine in report.engines] == [machine.cores(), 1]
    assert report.versions.keys() >= {"tomograd"} and report.rows[0].ratio() > 0


@pytest.mark.parametrize(
    "engine, threads", [("tomograd", "3"), ("tomograd:one-thread", "1"), ("torch:nchw:tuned", "3")]
)
def test_the_number_of_threads_of_an_engine(engine, threads):
    assert processes.environment(engine, 3)["TOMOGRAD_NUM_THREADS"] == threads


@pytest.mark.skipif(not HAS_TORCH, reason="the peer is not installed")
@pytest.mark.slow
def test_a_small_run_beside_the_peer():
    report = suite.measure(suite.Options(KERNELS, peer="torch", rounds=1, shape=SMALL, threads=1))
    (row,) = report.rows
    assert all(result.values for result in row.results.values()), row.results
    assert row.ratio() > 0 and row.ratio(tuned=True) > 0


# ---- the machine -----------------------------------------------------------------------------------------------------


def test_the_machine_describes_itself():
    found = machine.machine()
    assert found["processor"] and found["cores"] >= 1 and "GiB" in found["memory"]
    assert "numpy" in machine.versions(None) and "torch" in machine.versions("torch")


def test_caches_are_read_as_linux_tells_them(tmp_path):
    for number, facts in enumerate([("1", "Data", "48K"), ("1", "Instruction", "32K"), ("2", "Unified", "1024K")]):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        for name, text in zip(("level", "type", "size"), facts, strict=True):
            (folder / name).write_text(text + "\n")
    (tmp_path / "index9").mkdir()
    assert machine.caches(tmp_path) == {"L1 data": "48K", "L1 instructions": "32K", "L2": "1024K"}
    assert machine.caches(tmp_path / "none") == {}


def test_json_holds_only_json(tmp_path):
    report = suite.begin(suite.Options(STEPS))
    assert json.loads(report.to_json())["section"] == STEPS
    assert PEAK not in report.to_json()
