"""`python -m tomograd.testing.registry`: the page of functions, for docs/functions.md."""

import sys

from .table import page

if __name__ == "__main__":
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(page())
