"""Constraints of weights under Keras 3's names (`tg.constraints`)."""

from tomograd.engine.constraints import *  # noqa: F403
from tomograd.engine.constraints import __getattr__ as __getattr__
