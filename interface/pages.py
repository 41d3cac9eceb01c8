"""The shell of the HTML pages that tomograd writes: one style, no script, nothing from the network."""

from collections.abc import Iterable
from html import escape

CSS = """
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


def document(title: str, parts: Iterable[str], footer: str, style: str = "") -> str:
    """A whole page. title: plain text; parts and footer: HTML, empty parts are left out; style: CSS beside the common
    one."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>{footer}</footer>\n</main>\n</body>\n</html>\n"
    )


def section(title: str, content: str) -> str:
    """A part of the page under a heading; nothing where there is no content."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>" if content else ""
