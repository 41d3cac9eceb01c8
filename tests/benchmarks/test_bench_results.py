"""What follows from measured times, and its three forms: Markdown, JSON, HTML."""

import json
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomograd.benchmarks import drawing, page, tables
from tomograd.benchmarks.results import (
    Ceiling,
    Measured,
    Report,
    Row,
    geometric_mean,
    machine_ceilings,
    summaries,
)

ENGINES = ["tomograd", "torch:nchw", "torch:channels_last", "torch:nchw:tuned", "torch:channels_last:tuned"]


def row(label: str, ours: float, *peers: float, operations: int = 4000, size: int = 100) -> Row:
    """A row of a kernel with three equal rounds."""
    results = {engine: Measured([value] * 3) for engine, value in zip(ENGINES, (ours, *peers), strict=False)}
    ceilings = {
        "multiply-adds": Ceiling(10_000, [2.0, 1.0, 1.5]),
        "copy": Ceiling(100, [1.0, 1.0, 1.0]),
        "streaming copy": Ceiling(100, [0.5, 0.5, 0.5]),
    }
    return Row(label, "convolutions", "forward", "a <source> & more", "s", operations, size, results, ceilings)


def report(*rows: Row, section: str = "kernels", engines: list[str] = ENGINES, **others) -> Report:
    tuned = {"default": "as it is", "tuned": "raised"} if any("tuned" in engine for engine in engines) else {}
    return Report(
        section=section,
        command="tomograd bench kernels --shape '<&>'",
        date="2026-01-02T03:04:05+00:00",
        threads=2,
        rounds=3,
        machine={"processor": "a processor", "cores": 2, "memory": "1 GiB", "caches": {"L1 data": "48K"}},
        versions={"python": "3.11", "tomograd": "0"},
        engines=list(engines),
        allocators=tuned,
        facts={"tomograd": {"threads": 2, "simd": "avx512"}},
        rows=list(rows),
        **others,
    )


def test_ratios_are_to_the_best_peer_of_each_allocator():
    one = row("a", 2.0, 6.0, 4.0, 3.0, 5.0)
    assert one.ratio() == 2.0 and one.ratio(tuned=True) == 1.5
    assert row("a", 2.0).ratio() is None


def test_shares_of_the_machines_limits():
    one = row("a", 2.0)
    assert one.rate("tomograd") == 2000 and one.peak == pytest.approx(10_000 / 1.5)
    assert one.peak_share() == pytest.approx(0.3)
    assert one.bandwidth("tomograd") == 50 and one.copy_bandwidth == 200  # the faster of the two copies
    assert one.copy_share() == 0.25 and one.roof_share == pytest.approx(0.3)
    assert one.intensity == 40


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20))
def test_the_geometric_mean_is_the_root_of_the_product(values):
    mean = geometric_mean([*values, None])
    assert mean == pytest.approx(math.prod(values) ** (1 / len(values)), rel=1e-9)


def test_the_geometric_mean_of_nothing():
    assert geometric_mean([]) is None and geometric_mean([None]) is None


def test_failures_and_what_does_not_apply_are_left_out_of_ratios():
    one = row("a", 2.0, 6.0, 1.0)
    one.results["torch:channels_last"] = Measured(failed="RuntimeError: no")
    assert one.ratio() == 3.0
    one.results["tomograd"] = Measured(skipped="why")
    assert one.ratio() is None and one.peak_share() is None


def test_summaries_count_what_is_behind_and_what_failed():
    failed = row("c", 1.0, 1.0)
    failed.results["tomograd"] = Measured(failed="x")
    all_rows, part = summaries_of(row("a", 1.0, 4.0), row("b", 2.0, 1.0), failed, other=True)
    assert all_rows.rows == 4 and all_rows.behind == 1 and all_rows.failed == 1
    assert part.rows == 3 and part.means["ratio"] == pytest.approx(math.sqrt(4.0 * 0.5)) and part.least == 0.5


def summaries_of(*rows: Row, other: bool):
    """The summary of all rows, with one of another group, and that of the group."""
    different = row("d", 1.0, 1.0)
    different.group = "dense"
    found = list(summaries(report(*rows, different)))
    return found[0], found[1]


def test_the_ceilings_of_a_run():
    large, small = row("a", 1.0), row("b", 1.0, size=10)
    small.ceilings["copy"] = Ceiling(10, [0.01])
    peak, largest, fastest = machine_ceilings(report(large, small))
    assert peak == pytest.approx(10_000 / 1.5) and largest == 200 and fastest == pytest.approx(1000)
    assert machine_ceilings(report()) == (None, None, None)


def test_json_goes_there_and_back():
    rows = [row("a", 1.0, 2.0, 3.0), row("b", 1.0)]
    rows[1].results["torch:nchw"] = Measured(failed="it broke", notes={"parameters": 3})
    written = report(*rows, complete=False)
    text = written.to_json()
    assert json.loads(text)["format"] == "tomograd-benchmark-1"
    assert Report.from_json(text) == written


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "tomograd-benchmark-1"}', '{"format": "tomograd-report-1"}']
)
def test_other_json_is_refused(text):
    with pytest.raises(ValueError):
        Report.from_json(text)


def test_markdown_has_every_row_and_every_column():
    text = tables.markdown(report(row("a | forward", 2e-3, 6e-3, 4e-3, 3e-3, 5e-3), row("b | forward", 1e-3)))
    lines = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    assert "a (a <source> & more)" in text and "b (a <source> & more)" in text
    head = lines[0].split(" | ")
    assert {len(line.split(" | ")) for line in lines[:3]} == {len(head)}
    assert lines[1].strip("| ").split(" | ")[-2:] == ["2", "1.5"]
    assert "Geometric means" in text and tables.NO_PEER not in text


def test_without_a_peer_the_report_says_so():
    text = tables.markdown(report(row("a | forward", 1.0), engines=["tomograd"]))
    assert tables.NO_PEER in text and "ratio" not in text


def test_failures_are_explained_below_the_table():
    one = row("a | forward", 1.0, 2.0)
    one.results["torch:nchw"] = Measured(failed="RuntimeError: no compiler")
    one.results["tomograd"] = Measured(failed="ended by signal 11")
    text = tables.markdown(report(one))
    assert "| failed |" in text and "torch:nchw: RuntimeError: no compiler (a | forward)" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "0.0123"), (1.2345, "1.23"), (123.4, "123"), (123456.0, "123456"), (1.23e-5, "0.000012")],
)
def test_numbers_have_three_digits_and_no_powers_of_ten(value, text):
    assert tables.number(value) == text


class Page(HTMLParser):
    """Open elements, the text in cells, and what would load something."""

    VOID = frozenset({"meta", "br", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.text, self.loads = [], [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        names = dict(attributes)
        if tag in ("script", "link", "img", "iframe") or "src" in names or "href" in names:
            self.loads.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(text: str) -> Page:
    found = Page()
    found.feed(text)
    assert found.open == [] and found.loads == []
    return found


def test_the_page_stands_alone_and_has_every_row():
    rows = [row(f"case {i} <b> | forward", 1e-3 * (i + 1), 2e-3, 3e-3, 4e-3, 5e-4, size=100 + i) for i in range(5)]
    text = page.page([report(*rows)])
    shown = "".join(parsed(text).text)
    assert "<b> |" not in text and not re.search(r"https?://", text)
    for i, one in enumerate(rows):
        assert f"case {i} <b>" in shown and one.source in shown
    assert text.count("<svg") == 2  # roofline and bars
    assert text.count("translate(") == 5 * len(ENGINES)  # a point for each kernel and engine
    assert text.count("<rect") == 5 * 2
    assert "a processor" in shown and "L1 data" in shown and "--shape" in shown


def test_several_reports_share_a_page_and_switch_their_own_points():
    text = page.page([report(row("a | forward", 1.0, 2.0)), report(row("b | forward", 1.0, 2.0))])
    parsed(text)
    identifiers = re.findall(r' id="([^"]+)"', text)
    assert len(identifiers) == len(set(identifiers)) == 2 * len(ENGINES)


@pytest.mark.parametrize("section", ["steps", "startup", "memory"])
def test_sections_without_a_roofline(section):
    one = row("net | training step", 1.0, 2.0)
    one.operations = one.bytes = None
    one.ceilings, one.unit = {}, "B" if section == "memory" else "s"
    text = page.page([report(one, section=section, engines=ENGINES[:2])])
    parsed(text)
    assert text.count("<svg") == 1 and "multiply-adds" not in text


def test_the_allocators_summary_stands_beside_the_memory():
    one = row("net | training step", 1.0, 2.0)
    one.results["tomograd"].notes["allocator"] = "3 <MiB> in use"
    written = report(one, section="memory", engines=ENGINES[:2])
    assert "- net | training step: 3 <MiB> in use" in tables.markdown(written)
    assert "net | training step: 3 <MiB> in use" in parsed(page.page([written])).text


def test_a_report_without_rows_is_still_a_page():
    assert "Interrupted" in "".join(parsed(page.page([report(complete=False)])).text)


@given(st.floats(1e-6, 1e6), st.floats(1.5, 1e6))
def test_a_logarithmic_axis_keeps_order_and_bounds(low, factor):
    scale = drawing.Scale(low, low * factor, 10, 110)
    assert scale(low) == pytest.approx(10) and scale(low * factor) == pytest.approx(110)
    assert scale(low * math.sqrt(factor)) == pytest.approx(60)
    assert all(low <= tick <= low * factor for tick in scale.ticks())


def test_bars_go_to_both_sides_of_their_reference():
    text = drawing.bars([("a", [drawing.Bar(2.0, "x", "t")]), ("b", [drawing.Bar(0.5, "x", "t")])], 1.0, "l")
    line = float(re.search(r'class="roof" x1="([\d.]+)"', text).group(1))
    (a, wide), (b, narrow) = [
        (float(x), float(width)) for x, width in re.findall(r'<rect class="x" x="([\d.]+)".*?width="([\d.]+)"', text)
    ]
    assert a == line and b + narrow == pytest.approx(line, abs=0.2) and wide == pytest.approx(narrow, abs=0.2)
