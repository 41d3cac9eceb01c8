"""Callbacks under Keras 3's names (`tg.callbacks`): the public name of tomograd.models.callbacks."""

from tomograd.models.callbacks import *  # noqa: F403
