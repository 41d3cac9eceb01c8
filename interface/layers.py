"""Layers under Keras 3's names (`tg.layers`): the public name of tomograd.engine.layers."""

from tomograd.engine.layers import *  # noqa: F403
from tomograd.engine.layers import __getattr__ as __getattr__
