"""Initializers under Keras 3's names (`tg.initializers`)."""

from tomograd.engine.initializers import *  # noqa: F403
from tomograd.engine.initializers import __getattr__ as __getattr__
