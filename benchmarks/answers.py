"""How the processes of a benchmark answer: lines of JSON on a standard output that nobody else writes to."""

import json
import os
from collections.abc import Callable
from typing import Any

Answer = dict[str, Any]


def private_output() -> Callable[[Answer], None]:
    """A function that sends an answer; what libraries print from now on goes to stderr."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return lambda answer: print(json.dumps(answer), file=output, flush=True)


def reason(error: BaseException) -> str:
    """An error in one short line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}{'…' if len(text) > 300 else ''}"
