"""Metrics under Keras 3's names (`tg.metrics`): the public name of tomograd.models.metrics."""

from tomograd.models.metrics import *  # noqa: F403
from tomograd.models.metrics import __getattr__ as __getattr__
