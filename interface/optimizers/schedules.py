"""Learning-rate schedules under Keras 3's names (`tg.optimizers.schedules`)."""

from tomograd.engine.schedules import *  # noqa: F403
from tomograd.engine.schedules import __getattr__ as __getattr__
