"""Regularizers under Keras 3's names (`tg.regularizers`)."""

from tomograd.engine.regularizers import *  # noqa: F403
