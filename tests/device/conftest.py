"""What is run on a pretended device: its modules lie in tests/emulation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "emulation"))
