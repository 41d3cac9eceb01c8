"""What Keras makes of the programs in training_programs.py: numbers of every epoch, and weights at the end."""

from __future__ import annotations

import keras
import numpy as np
import torch
from keras_family import KerasFamily
from training_programs import PROGRAMS


def training() -> KerasFamily:
    """h0_<name>, h1_<name>, …: what the histories list; w0, w1, …: the weights."""
    family = KerasFamily("training", seed=0)
    for name, run in PROGRAMS.items():
        model, histories = run(keras)
        arrays = {
            f"h{number}_{key}": torch.as_tensor(np.asarray(values, np.float64))
            for number, history in enumerate(histories)
            for key, values in history.items()
        }
        weights = {f"w{number}": torch.as_tensor(weight) for number, weight in enumerate(model.get_weights())}
        family.keep(name, arrays | weights, histories=len(histories))
    return family


FAMILIES = (training,)
