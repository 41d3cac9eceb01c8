"""Layers under Keras 3's names (`tg.layers`): the public name of tomograd.engine.layers."""

from tomograd.engine.layers import *  # noqa: F403
