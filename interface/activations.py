"""Activation functions under Keras 3's names (`tg.activations`): the public name of tomograd.engine.activations."""

from tomograd.engine.activations import *  # noqa: F403
from tomograd.engine.activations import __getattr__ as __getattr__
