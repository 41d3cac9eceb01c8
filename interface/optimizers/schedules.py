"""Learning-rate schedules under Keras 3's names (`tg.optimizers.schedules`)."""

from tomograd.engine.schedules import *  # noqa: F403
