"""Regularizers under Keras 3's names (`tg.regularizers`)."""

from tomograd.engine.regularizers import *  # noqa: F403
from tomograd.engine.regularizers import __getattr__ as __getattr__
