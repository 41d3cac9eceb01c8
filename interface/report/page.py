"""The report's page: `index.html`, plain HTML and a little CSS, made from the very dictionary that metrics.json holds.

No script and nothing from the network: the page and the PNG files beside it can be mailed, archived, printed.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

MEASURES = {  # name in metrics.json → heading
    "dice": "Dice",
    "iou": "IoU",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "accuracy": "Accuracy",
    "auc": "AUC",
}
MOST_ROWS = 60

_CSS = """
:root { color-scheme: light; --ink: #1d2733; --soft: #5b6876; --line: #dfe4e9; --tint: #f4f7fa; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .9rem; border-top: 1px solid var(--line); }
p { margin: .5rem 0; max-width: 46rem; }
.lead { font-size: 1.05rem; }
.notice { background: #fff6e5; border-left: 4px solid #e69f00; padding: .6rem .9rem; margin: 1rem 0; max-width: none; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .8rem; margin: 1.1rem 0; }
.tile { background: var(--tint); border-radius: .5rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.55rem; line-height: 1.2; color: var(--accent); }
.tile span { color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) { .tiles { grid-template-columns: repeat(2, 1fr); } }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; font-size: .93rem; }
th, td { text-align: left; padding: .38rem .9rem .38rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; white-space: nowrap; }
tr.own td, tr.own th { font-weight: 650; }
td small { display: block; color: var(--soft); font-weight: 400; white-space: nowrap; }
figure { margin: 1rem 0; }
figure img { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .9rem; max-width: 46rem; }
code { font: .88em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--tint);
  padding: .1rem .3rem; border-radius: .25rem; overflow-wrap: anywhere; }
ul { padding-left: 1.2rem; max-width: 46rem; }
.facts th { font-weight: 500; color: var(--soft); }
.facts td { overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; color: var(--soft); font-size: .85rem; }
"""


def page(report: Mapping[str, Any]) -> str:
    """The whole page as a string. `report` is what metrics.json holds: see tomograd.report.document."""
    body = [
        f"<h1>{escape(report['title'])}</h1>",
        f'<p class="lead">{escape(report["summary"])}</p>',
        '<p class="notice"><b>Not a medical device.</b> This report is the output of a learning experiment. '
        "It must not be used for diagnosis, treatment or any decision about a patient.</p>",
        _headline(report["results"]),
        _section("Results on the test images", _results(report)),
        _section("Pictures", _figures(report["figures"])),
        _section("What it was trained on", _data(report["data"])),
        _section("The model and its training", _facts(report["model"]) + _facts(report.get("training", {}))),
        _section(f"Each {report['data']['unit']} of the test part", _each(report)),
        _section("Limits", _list(report["limits"])),
        _section("How it was made", _facts(report["run"]) + _times(report["times"])),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report['title'])}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in body if part)
        + '\n<footer>Made by tomograd. All numbers: <a href="metrics.json">metrics.json</a>.</footer>\n'
        "</main>\n</body>\n</html>\n"
    )


def number(value: float | None, digits: int = 3) -> str:
    """A measure as text; one that has no value (precision where nothing was predicted) is a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>" if content else ""


def _headline(results: Sequence[Mapping[str, Any]]) -> str:
    """The model's measures as large figures."""
    tiles = []
    for name, measure in results[0]["measures"].items():
        known = measure["low"] is not None
        interval = f"95% interval {number(measure['low'])} to {number(measure['high'])}" if known else ""
        tiles.append(
            f'<div class="tile"><span>{escape(MEASURES.get(name, name))}</span><b>{number(measure["value"])}</b>'
            f"<span>{interval}</span></div>"
        )
    return f'<div class="tiles">{"".join(tiles[:4])}</div>'


def _results(report: Mapping[str, Any]) -> str:
    """The table of the model beside the baselines, and how its intervals were computed."""
    results = report["results"]
    names = list(results[0]["measures"])
    head = "<th></th>" + "".join(f"<th>{escape(MEASURES.get(name, name))}</th>" for name in names)
    rows = []
    for index, result in enumerate(results):
        cells = [f"<th>{escape(result['name'])}</th>"]
        for name in names:
            measure = result["measures"].get(name)
            if measure is None:
                cells.append("<td>–</td>")
                continue
            interval = measure["low"] is not None
            small = f"<small>{number(measure['low'])} – {number(measure['high'])}</small>" if interval else ""
            cells.append(f"<td>{number(measure['value'])}{small}</td>")
        rows.append(('<tr class="own">' if index == 0 else "<tr>") + "".join(cells) + "</tr>")
    notes = "".join(f"<li><b>{escape(r['name'])}</b>: {escape(r['description'])}</li>" for r in results)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        f"<p>{escape(report['confidence_interval']['method'])}</p><ul>{notes}</ul>"
    )


def _figures(figures: Iterable[Mapping[str, Any]]) -> str:
    """The figures with their captions, no wider than `width` CSS pixels."""
    return "\n".join(
        f'<figure><img src="{escape(figure["file"])}" style="max-width: {figure["width"]}px" '
        f'alt="{escape(figure["caption"])}" loading="lazy">'
        f"<figcaption>{escape(figure['caption'])}</figcaption></figure>"
        for figure in figures
    )


def _data(data: Mapping[str, Any]) -> str:
    """The data's facts and its split."""
    facts = {key: value for key, value in data.items() if key not in ("split", "unit")}
    unit = data["unit"]
    of_units = unit != "image"
    rows = []
    for part, members in data["split"].items():
        listed = ", ".join(members["groups"]) if members.get("groups") else ""
        count = f"<td>{members['group_count']}</td>" if of_units else ""
        rows.append(f"<tr><th>{escape(part)}</th>{count}<td>{members['images']:,}</td><td>{escape(listed)}</td></tr>")
    head = "<th>part</th>" + (f"<th>{unit}s</th>" if of_units else "") + "<th>images</th><th>which</th>"
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    return _facts(facts) + table


def _each(report: Mapping[str, Any]) -> str:
    """The model's measures for each patient or each image's mask; left out where there are too many to read."""
    rows, unit = report.get("per_group") or [], report["data"]["unit"]
    if not rows or len(rows) > MOST_ROWS or (unit == "image" and report["task"] == "classify"):
        return ""
    names = [name for name in report["results"][0]["measures"] if name in rows[0]]
    head = f"<th>{unit}</th><th>images</th>" + "".join(f"<th>{MEASURES[n]}</th>" for n in names)
    mean = {"name": "mean", "images": sum(row["images"] for row in rows), **report["mean_over_groups"]}
    body = "".join(
        f"<tr><th>{escape(row['name'])}</th><td>{row['images']}</td>"
        + "".join(f"<td>{number(row[name])}</td>" for name in names)
        + "</tr>"
        for row in [*rows, mean]
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        f"<p>In the mean every {unit} counts alike; the results above are computed over all images together.</p>"
    )


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _facts(facts: Mapping[str, Any]) -> str:
    """Names and values in two columns; nested values and long series stay in metrics.json."""
    rows = []
    for name, value in facts.items():
        if value is None or isinstance(value, Mapping):
            continue
        label = escape(name.replace("_", " "))
        rows.append(f"<tr><th>{label}</th><td>{_value(name, value)}</td></tr>")
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>' if rows else ""


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return str(value) if name in ("seed",) else f"{value:,}"
    if isinstance(value, list | tuple):
        return escape(", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in value))
    text = escape(str(value))
    return f"<code>{text}</code>" if name in ("command", "command_line") else text


def _times(times: Mapping[str, float]) -> str:
    """How long each part took, in seconds."""
    rows = "".join(
        f"<tr><th>{escape(name.replace('_', ' '))}</th><td>{seconds:.1f} s</td></tr>" for name, seconds in times.items()
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>'
