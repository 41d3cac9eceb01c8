"""Optimizers under Keras 3's names (`tg.optimizers`), with the learning-rate schedules in `tg.optimizers.schedules`."""

from tomograd.engine.optimizers import *  # noqa: F403
from tomograd.engine.optimizers import __getattr__ as __getattr__

from . import schedules as schedules  # type: ignore[no-redef]
