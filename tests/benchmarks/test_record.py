"""Results of a GPU as a file, and its targets: all from reports made up here, in temporary folders."""

import pytest

from tomograd.benchmarks import catalogue, record, tables, targets
from tomograd.benchmarks.results import Ceiling, Measured, Report, Row

TARGETS = {"S1 CNN", "S2 CNN", "S3 CNN", "U-Net base 32"}


def report(section, engines, rows, **others):
    return Report(
        section=section,
        command=f"tomograd bench {section} --device cuda",
        date="2026-01-02T03:04:05+00:00",
        threads=2,
        rounds=1,
        machine={"processor": "a processor", "cores": 2},
        versions={"python": "3.12", "torch": "2.0"},
        engines=engines,
        facts={"tomograd": {"gpu": "Made Up GPU (80GB)", "driver": "1.2"}, engines[-1]: {"cuDNN": 9}},
        rows=rows,
        device="cuda",
        **others,
    )


def kernels(times=lambda entry: (1.0, 1.0), without=()):
    """A report of all kernels: tomograd's and the peer's seconds of each; a copy takes 0.9 s, the peak's product 1."""
    rows = []
    for entry in catalogue.entries("kernels", True):
        ours, theirs = times(entry)
        row = Row(entry.label, entry.group, entry.which, entry.source)
        row.operations, row.bytes = entry.case.operations(entry.which), entry.case.bytes(entry.which)
        row.results = {"tomograd": Measured([ours]), "torch:nchw": Measured([theirs])}
        row.ceilings = {"multiply-adds": Ceiling(10**13, [1.0]), "copy": Ceiling(row.bytes, [0.9])}
        rows += [row] if entry.label not in without else []
    return report("kernels", ["tomograd", "torch:nchw"], rows, precision="tf32")


STEP_ENGINES = ["tomograd", "tomograd:captured", "torch:nchw", "torch:channels_last", "torch:compile", "torch:graphs"]


def steps(*seconds, leave_out=None):
    rows = []
    for entry in catalogue.entries("steps", True):
        if entry.which == "training step" and entry.case.name != leave_out:
            results = {name: Measured([value]) for name, value in zip(STEP_ENGINES, seconds, strict=True)}
            results["tomograd"].notes["memory"] = 3 * 2**20
            rows.append(Row(entry.label, "steps", entry.which, results=results))
    return report("steps", STEP_ENGINES, rows)


def outcomes(one):
    return {verdict.target: (verdict.outcome, round(verdict.reached, 9)) for verdict in targets.verdicts(one)}


def test_kernels_that_meet_their_targets():
    found = outcomes(kernels())
    assert found == {
        "convolutions, geometric mean of the ratios": ("met", 1.0),
        "convolutions, each ratio": ("met", 1.0),
        "memory-bound kernels, share of a copy": ("met", 0.9),
    }


def test_kernels_that_miss_them():
    def times(entry):
        slow = entry.group == "convolutions" and entry.source == "A3C"
        return (3.0 if slow else 1.0, 0.65 if entry.group == "convolutions" else 1.0)

    one = kernels(times)
    found = outcomes(one)
    assert found["convolutions, geometric mean of the ratios"][0] == "missed"
    assert found["convolutions, each ratio"] == ("missed", round(0.65 / 3, 9))
    missing = {label for label, _, _ in targets.missing(one)}
    assert missing == {row.label for row in one.rows if row.source == "A3C" and row.group == "convolutions"}
    shown = tables.targets(one)
    assert "**missed**" in shown and all(f"- {label}: 0.217, wanted 0.4 of cuDNN" in shown for label in missing)


def test_a_row_that_is_missing_or_failed_leaves_a_target_open_but_no_miss():
    label = next(row.label for row in kernels().rows if row.group == "convolutions")
    one = kernels(without={label})
    assert outcomes(one)["convolutions, each ratio"] == ("open", 1.0)
    assert outcomes(one)["memory-bound kernels, share of a copy"] == ("met", 0.9)
    assert outcomes(kernels(lambda entry: (9.0, 1.0), without={label}))["convolutions, each ratio"][0] == "missed"


@pytest.mark.parametrize(
    ("seconds", "eager", "graphs"),
    [
        ((1.0, 0.5, 2.0, 1.2, 0.9, 0.45), ("met", 1.2), ("met", 0.9)),
        ((1.3, 0.5, 2.0, 1.2, 0.9, 0.35), ("missed", 1.2 / 1.3), ("missed", 0.7)),
    ],
)
def test_steps_are_held_against_their_like(seconds, eager, graphs):
    found = outcomes(steps(*seconds))
    for name, (outcome, ratio) in {"eager": eager, "graphs": graphs}.items():
        assert found[f"training steps, ratio, {name}"] == (outcome, pytest.approx(ratio))
    left = outcomes(steps(*seconds, leave_out="S2 CNN"))["training steps, ratio, eager"]
    assert left[0] == ("open" if eager[0] == "met" else "missed")
    assert {verdict.rows for verdict in targets.verdicts(steps(*seconds))} == {len(TARGETS)}


def test_the_cpu_has_none():
    one = kernels()
    one.device = "cpu"
    assert targets.verdicts(one) == [] and not list(targets.missing(one))


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "gpu-results"
    folder.mkdir()
    (folder / "kernels-tf32.json").write_text(kernels(lambda entry: (0.002, 0.003)).to_json())
    (folder / "steps-float32.json").write_text(steps(1.0, 0.5, 2.0, 1.2, 0.9, 0.45).to_json())
    (folder / "summary.txt").write_text("tests: passed (7 s): bash -c tests\nmemcheck: failed, exit 9 (3 s): bash\n")
    (folder / "tests.txt").write_text("....\n123 passed in 7 s\n\n")
    return folder


def test_a_folder_becomes_a_file(results, tmp_path, capsys):
    into, page = tmp_path / "results", tmp_path / "page.html"
    into.mkdir()
    record.main([str(results), "--into", str(into), "--page", str(page)])
    (written,) = into.iterdir()
    assert written.name == "2026-01-02-made-up-gpu-80gb.md" and str(written) in capsys.readouterr().out
    text = written.read_text(encoding="utf-8")
    for words in (
        "# Measured on Made Up GPU (80GB)",
        "| driver | 1.2 |",
        "| cuDNN | 9 |",
        "`tomograd bench steps --device cuda`, 2026-01-02T03:04:05+00:00",
        "| training steps, ratio, eager | float32 | 1 | 1.2 |",
        "| tests | passed (7 s) | 123 passed in 7 s |",
        "| memcheck | failed, exit 9 (3 s) |  |",
        "## Kernels on a GPU, tf32",
        "## Whole steps of networks on a GPU, float32",
        "Most memory of the GPU",
        "### Predicted and measured, tf32",
        "convolution_tensor_cores: correlate<TF32, 128, 128, false>",
    ):
        assert words in text, words
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_measured_stands_beside_predicted(results):
    (one, _) = record.read(results)
    row = next(row for row in one.rows if row.label == "32,512,40,59→512,3,p1 | forward")
    assert record.floor(row) == pytest.approx(max(0.9, row.operations / 1e13))
    text = next(iter(record.predicted(one)))
    line = next(line for line in text.splitlines() if line.startswith("| 32,512,40,59→512,3,p1, forward"))
    cells = [cell.strip() for cell in line.strip("|").split(" | ")]
    assert cells[2] == "900" and cells[4] == "2" and cells[5] == f"{100 * 2 / float(cells[3]):.0f}%"


@pytest.mark.parametrize("name", ["", "x.json"])
def test_folders_that_hold_no_results(tmp_path, name):
    if name:
        (tmp_path / name).write_text("{}")
    with pytest.raises(SystemExit, match="x.json" if name else "holds no results"):
        record.main([str(tmp_path), "--into", str(tmp_path)])
    assert not list(tmp_path.glob("*.md"))
