"""`Built`: a case that an engine has made ready to run, with what the other engines must agree on."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Built(NamedTuple):
    """run() runs it once. output(what run gave) is the result in tomograd's layout (None: nothing to compare);
    parameters is the number of trained weights, of a network."""

    run: Callable[[], Any]
    output: Callable[[Any], np.ndarray | None] = lambda result: None
    parameters: int | None = None


class NotApplicable(Exception):
    """Raised by an engine for a case that a variant of it has no use for: not a failure; the text says why."""
