"""Where our arguments differ from Keras's on purpose, with the reason; and examples of arguments that must be given.

The tests allow these differences and no other, and docs/keras.md is made from them.
"""

from __future__ import annotations

from typing import Any

# (subject, name) → argument, or "order", → why
DIFFERENT: dict[tuple[str, str], dict[str, str]] = {}

# (subject, name) → arguments without which it cannot be called
EXAMPLES: dict[tuple[str, str], dict[str, Any]] = {}
