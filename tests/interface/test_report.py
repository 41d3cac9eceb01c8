"""The report: strict JSON, a page that stands alone, folders that are whole or not there."""

import errno
import json
import os
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from tomograd import report
from tomograd.failures import UserError
from tomograd.pipeline import scores
from tomograd.pipeline.evaluation import Evaluation, Example
from tomograd.report.folder import check_output, partial, written_folder


def evaluation(classes: int = 2, task: str = "segment") -> Evaluation:
    """An evaluation of invented predictions."""
    generator = np.random.default_rng(0)
    shape = (16, 16) if task == "segment" else ()
    truths = [generator.integers(0, classes, shape) for _ in range(12)]
    values = [generator.random((*shape, 1 if classes == 2 else classes)) for _ in range(12)]
    decided = [(v[..., 0] > 0.5).astype(int) if classes == 2 else v.argmax(axis=-1) for v in values]
    groups = [f"p{i % 5}" for i in range(12)]
    counts = scores.tally(truths, decided, values, groups, classes)
    roc = scores.roc(truths, values, classes, task)
    result = {"name": "U-Net", "description": "<b>", "measures": scores.summarise(counts, roc.area, task, 0)}
    image = generator.random((16, 16))
    if task == "segment":
        examples = [Example("a<b>", image, truths[0], decided[0], 0.5)]
    else:
        examples = [Example("x", image, "cat", "dog", 0.9)]
    return Evaluation([result], [("U-Net", roc)], counts, examples, 12, 0.1)


def document(task: str = "segment", classes: int = 2) -> tuple[dict, Evaluation]:
    judged = evaluation(classes, task)
    test_part = {"images": 12, "group_count": 5, "groups": ["p0", "p1"]}
    written = report.document(
        title="A <title> & more",
        summary="In short.",
        evaluation=judged,
        task=task,
        data={"source": "a & b", "unit": "patient", "split": {"test": test_part}},
        model={"architecture": "U-Net", "parameters": 12345, "threshold": None},
        training={"loss": "x", "history": {"loss": [1.0, float("nan")], "dice": [0.1, 0.2]}},
        limits=["small"],
        run=report.run_facts(3, 0.0),
        times={"training": 1.25},
    )
    return written, judged


class Page(HTMLParser):
    """Open elements, sources of images, and attributes that would load something."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.images, self.scripts = [], [], 0

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.scripts += tag in ("script", "link", "iframe")
        self.images += [value for name, value in attributes if tag == "img" and name == "src"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.parametrize(("task", "classes"), [("segment", 2), ("segment", 3), ("classify", 2), ("classify", 4)])
def test_the_report_is_whole(tmp_path, task, classes):
    written, judged = document(task, classes)
    report.write(tmp_path, written, judged, [f"class {i}" for i in range(classes)])

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    numbers = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert numbers["training"]["history"]["loss"] == [1.0, None]
    assert numbers["results"][0]["measures"].keys() >= {"precision", "recall", "auc", "accuracy"}
    page = Page()
    page.feed((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert page.open == [] and page.scripts == 0
    assert {"test_images.png", "roc.png", "training_curves.png"} <= set(page.images)
    for name in page.images:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_text_is_escaped_and_nothing_is_fetched(tmp_path):
    written, judged = document()
    report.write(tmp_path, written, judged, ["background", "nodule"])
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "A &lt;title&gt; &amp; more" in text and "<title> &" not in text and "&lt;b&gt;" in text
    assert "Not a medical device" in text and "viewport" in text
    assert not re.search(r"https?://", text)


def test_a_measure_without_a_value_is_a_dash():
    assert report.number(None) == "–" and report.number(0.12345) == "0.123"


def test_a_folder_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "report"
    with written_folder(target) as folder:
        (folder / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "a" and not partial(target).exists()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_nothing_is_left_and_the_old_folder_stands(tmp_path, error):
    target = tmp_path / "report"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(error), written_folder(target, force=True) as folder:
        (folder / "new.txt").write_text("new")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert [path.name for path in target.iterdir()] == ["old.txt"]


def test_force_replaces_and_without_it_nothing_is_touched(tmp_path):
    target = tmp_path / "report"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(UserError, match="exists already"), written_folder(target):
        raise AssertionError("must not begin")
    with written_folder(target, force=True) as folder:
        (folder / "new.txt").write_text("new")
    assert [path.name for path in target.iterdir()] == ["new.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def holds_state(folder):
    return (folder / "state").exists()


def test_a_checkpoint_outlives_an_interruption(tmp_path):
    target = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt), written_folder(target, keep=holds_state) as folder:
        (folder / "state").write_text("1")
        raise KeyboardInterrupt
    assert (partial(target) / "state").read_text() == "1" and not target.exists()
    with written_folder(target, keep=holds_state) as folder:
        assert (folder / "state").read_text() == "1"
    assert target.exists()


def test_a_full_disk_is_one_sentence(tmp_path):
    refused = pytest.raises(UserError, match=r"report: cannot be written: No space left on device$")
    with refused, written_folder(tmp_path / "report") as folder:
        (folder / "figure").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is not a folder"):
        check_output(tmp_path / "file", force=True)
    with pytest.raises(UserError, match="cannot be written"):
        check_output(tmp_path / "file" / "below")
