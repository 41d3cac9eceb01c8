"""The page of what Keras has and what is here, docs/keras.md: `python tests/keras/keras_table.py` writes it anew.

It is made from Keras's signatures (golden/signatures.json), `engine/absent.py` and `differences.py`; a test holds that
the page is what these give, others that these are true.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "helpers")]

from differences import BEHAVIOUR, DIFFERENT  # noqa: E402
from keras_oracle import names_at_top, signatures, version  # noqa: E402

from tomograd.engine.absent import ABSENT, ABSENT_AT_TOP  # noqa: E402

PAGE = HERE.parents[1] / "docs" / "keras.md"

INTRODUCTION = """# Coming from Keras

Change the import lines and go on:

```python
import tomograd as tg
from tomograd import callbacks, layers, losses, metrics, models, ops, optimizers
```

Names, arguments, their order and their defaults are those of Keras {version}. What is not here raises an error that
says so; nothing is accepted and ignored. This page is made by `tests/keras/keras_table.py` from Keras's own signatures,
and the tests beside it hold both: that every name and argument is here or refused, and that what is here gives the
values and the gradients that Keras gives (on its PyTorch backend, in float64).

## What behaves otherwise, on purpose

| | Keras | tomograd |
| --- | --- | --- |
{behaviour}
"""


def page() -> str:
    """The whole page."""
    behaviour = "\n".join(f"| {what} | {theirs} | {ours} |" for what, theirs, ours in BEHAVIOUR)
    parts = [INTRODUCTION.format(version=version(), behaviour=behaviour)]
    parts.append(_top())
    parts += [_subject(subject) for subject in signatures() if subject != "Model"]
    return "\n".join(parts)


def _top() -> str:
    """What the module keras itself has."""
    here = [name for name in names_at_top() if name not in ABSENT_AT_TOP]
    lines = ["## keras", "", f"{len(here)} of {len(names_at_top())} names are here: {_listed(here)}.", ""]
    return "\n".join([*lines, *_missing(ABSENT_AT_TOP)])


def _missing(absent: dict[str, str]) -> list[str]:
    """The lines of a table of what is not here, and why."""
    reasons: dict[str, list[str]] = {}
    for name, why in absent.items():
        reasons.setdefault(why, []).append(name)
    rows = [f"| {_listed(names)} | {why} |" for why, names in reasons.items()]
    return ["| not here | why |", "| --- | --- |", *rows, ""]


def _subject(subject: str) -> str:
    names = signatures()[subject]
    here = [name for name in names if name not in ABSENT[subject]]
    lines = [f"## keras.{subject}", "", f"{len(here)} of {len(names)} names are here: {_listed(here)}.", ""]
    different = {name: DIFFERENT[subject, name] for name in here if (subject, name) in DIFFERENT}
    if different:
        lines += ["| name | argument | how it differs |", "| --- | --- | --- |"]
        lines += [
            f"| {name} | {argument} | {why} |" for name, more in different.items() for argument, why in more.items()
        ]
        lines.append("")
    if ABSENT[subject]:
        lines += _missing(ABSENT[subject])
    return "\n".join(lines)


def _listed(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
