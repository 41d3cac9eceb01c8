"""The line on stderr that says how far a command is."""

import sys


def show(text: str) -> None:
    """Rewritten on a terminal, a line each in a file; "" clears it."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)
