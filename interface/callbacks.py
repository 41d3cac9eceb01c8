"""Callbacks under Keras 3's names (`tg.callbacks`): the public name of tomograd.models.callbacks."""

from tomograd.models.callbacks import *  # noqa: F403
from tomograd.models.callbacks import __getattr__ as __getattr__
