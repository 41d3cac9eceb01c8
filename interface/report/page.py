"""The report's page: `index.html`, plain HTML and a little CSS, made from the very dictionary that metrics.json holds.

No script and nothing from the network: the page and the PNG files beside it can be mailed, archived, printed.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from tomograd.pages import document, section

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


def page(report: Mapping[str, Any]) -> str:
    """The whole page as a string. `report` is what metrics.json holds: see tomograd.report.document."""
    body = [
        f"<h1>{escape(report['title'])}</h1>",
        f'<p class="lead">{escape(report["summary"])}</p>',
        '<p class="notice"><b>Not a medical device.</b> This report is the output of a learning experiment. '
        "It must not be used for diagnosis, treatment or any decision about a patient.</p>",
        _headline(report["results"]),
        section("Results on the test images", _results(report)),
        section("Pictures", _figures(report["figures"])),
        section("What it was trained on", _data(report["data"])),
        section("The model and its training", _facts(report["model"]) + _facts(report.get("training", {}))),
        section(f"Each {report['data']['unit']} of the test part", _each(report)),
        section("Limits", _list(report["limits"])),
        section("How it was made", _facts(report["run"]) + _times(report["times"])),
    ]
    footer = 'Made by tomograd. All numbers: <a href="metrics.json">metrics.json</a>.'
    return document(report["title"], body, footer)


def number(value: float | None, digits: int = 3) -> str:
    """A measure as text; one that has no value (precision where nothing was predicted) is a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


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
