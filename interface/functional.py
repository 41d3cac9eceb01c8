"""Differentiable functions (`tg.functional`): the public name of tomograd.engine.functions."""

from tomograd.engine.functions import *  # noqa: F403
