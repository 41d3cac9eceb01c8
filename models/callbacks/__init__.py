"""Callbacks under Keras 3's names: what happens beside the training steps."""

from __future__ import annotations

from ...engine.absent import absent
from .averages import SwapEMAWeights
from .base import Callback, CallbackList, History, LambdaCallback
from .checkpoints import BackupAndRestore, ModelCheckpoint
from .progress import ProgbarLogger, ProgressBar
from .schedules import LearningRateScheduler, ReduceLROnPlateau
from .stopping import EarlyStopping, TerminateOnNaN
from .tables import CSVLogger
from .tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ProgressBar",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]


__getattr__ = absent("callbacks", __name__)
