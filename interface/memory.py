"""The caching allocator (`tg.memory`): summary, release, limit."""

from tomograd.kernels.memory import *  # noqa: F403
