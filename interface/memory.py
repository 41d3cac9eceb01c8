"""The caching allocator (`tg.memory`): summary, release, limit."""

from tomograd.kernels.memory import Summary, limit, release, summary

__all__ = ["Summary", "limit", "release", "summary"]
