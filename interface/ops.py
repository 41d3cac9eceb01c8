"""Functions under the names of `keras.ops` (`tg.ops`): the public name of tomograd.engine.ops."""

from tomograd.engine.ops import *  # noqa: F403
from tomograd.engine.ops import __getattr__ as __getattr__
