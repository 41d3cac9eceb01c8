"""The engine's random numbers (`tg.random`): seed, generator, state; and tensors of them, as in `keras.random`."""

from tomograd.engine.absent import absent
from tomograd.engine.draws import *  # noqa: F403
from tomograd.engine.random import *  # noqa: F403

__getattr__ = absent("random", __name__)
del absent
