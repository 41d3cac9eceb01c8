"""The engine's random numbers (`tg.random`): seed, generator, state."""

from tomograd.engine.random import *  # noqa: F403
