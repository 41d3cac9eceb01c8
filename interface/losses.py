"""Losses under Keras 3's names (`tg.losses`): the public name of tomograd.engine.losses."""

from tomograd.engine.losses import *  # noqa: F403
from tomograd.engine.losses import __getattr__ as __getattr__
