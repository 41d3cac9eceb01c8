"""Model: a layer that can be compiled, trained, evaluated, asked for predictions, summed up, saved and loaded.

Three ways to make one, as in Keras:

    Model(inputs, outputs)                  # a graph of layers over Input symbols (see `functional`)
    Sequential([layer, layer, …])           # layers in a row (see `sequential`)
    class Net(Model):                       # a subclass: layers as attributes, and what they do in call()
        def __init__(self): super().__init__(); self.dense = Dense(3)
        def call(self, x): return self.dense(x)
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import operator
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..engine import optimizers
from ..engine.absent import ABSENT_METHODS
from ..engine.config import constructor_arguments, serialize
from ..engine.device import checked, computing_on, gpu_library, weights_on
from ..engine.layers import Layer
from ..engine.layers.symbolic import flatten, has_symbols, map_structure
from ..engine.masks import mask_of, with_mask
from ..engine.sending import Sender
from ..engine.tape import enable_grad, grad, no_grad
from ..engine.tensor import Tensor, as_tensor
from . import saving, training
from .callbacks.base import Callback, History
from .captured import CapturedSteps
from .compiling import CompiledLoss, CompiledMetrics, UnmadeMetrics, output_names
from .data import Batch, as_arrays, step_data, unpack_x_y_sample_weight
from .freezing import Trained
from .metrics.base import Mean, Metric
from .nonfinite import NonFiniteLossError, blame
from .summary import summarize


class Model(Layer):
    """A layer with what it takes to train it and to use it. See this module's first lines for how to make one.

    inputs, outputs: the symbols of a graph; left out by subclasses that define `call`. Further arguments are `Layer`'s:
    name, trainable, dtype ("float32" unless set: floating inputs are converted to it).
    """

    built: bool
    optimizer: Any = None
    stop_training = stop_evaluating = stop_predicting = False  # a callback sets them to end the loop after the step
    run_eagerly = False
    steps_per_execution = 1
    output_names: list[str] | None = None
    training_run: Any = None  # the TrainingRun while `fit` runs
    history: History | None = None  # that `fit` last returned
    _takes_graph = True  # whether symbols among the constructor's arguments are a graph to be made a model of
    _device: str | None = None  # where `to` moved it; None: wherever its weights were made
    _senders: tuple[Sender, ...] = ()  # while loops over data run: what copies their next batches there
    _loss: CompiledLoss | None = None
    _metrics: CompiledMetrics | None = None
    _trained: Trained
    _captured: CapturedSteps | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if has_symbols((args, kwargs)) and cls._takes_graph:
            from .functional import with_graph

            return Layer.__new__(with_graph(cls))  # type: ignore[arg-type]
        return Layer.__new__(cls)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.loss_tracker = Mean("loss")

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles, also those made while the model is trained, are no part of the training that goes on."""
        return {name: value for name, value in vars(self).items() if name not in ("training_run", "_senders")}

    # ------------------------------------------------------------------------------------------------- its parts

    def build(self, input_shape: Any) -> None:
        """Make all weights by a trial call on zeros of this shape, (batch or None, …), or a list of such shapes.

        Raises NotImplementedError for open sizes besides the batch for which `call` cannot be tried.
        """
        if not self.built:
            self._probe(input_shape)

    def _prepare_for(self, shape: Any) -> None:
        """The layers of a subclass are built as `call` reaches them."""
        self._check_input_shape(shape)
        if not self.built:
            self.built = True
            self._notes.built_shape = shape

    def to(self, device: str) -> Any:
        """Move the model to "cpu", "cuda" or "cuda:N": its weights, the optimizer's slots, those made later, and from
        now on the inputs of every call; returns the model.

        Raises ValueError for another name, ImportError without CuPy, engine.device.DeviceError without such a GPU.
        """
        if checked(device) != "cpu":
            gpu_library(device)
        super().to(device)
        for layer in self.all_layers():
            if isinstance(layer, Model):
                layer._device = device
        if self.optimizer is not None:
            self.optimizer.follow()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """For copies, and for pickles, whose weights are in main memory: the model computes where they are."""
        vars(self).update(state)
        if self._device is not None:
            self._device = next((weight.device for weight in self.weights), self._device)

    @property
    def device(self) -> str:
        """Where the model computes."""
        return self._device or "cpu"

    def __call__(self, inputs: Any, *further: Any, training: bool | None = None, **arguments: Any) -> Any:
        if self._device is None:
            return super().__call__(inputs, *further, training=training, **arguments)
        with weights_on(self._device), computing_on(self._device):
            return super().__call__(inputs, *further, training=training, **arguments)

    def _convert(self, leaf: Any) -> Any:
        tensor = super()._convert(self._arrived(leaf))
        if self._device is None or tensor is None:
            return tensor
        return with_mask(tensor.to(self._device), mask_of(tensor))

    def _warn_of_lost_mask(self) -> None:
        """Nothing: the layers within have done with the mask what they do with masks."""

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name, or number `index`. ValueError if there is none, or unless one of both is given."""
        layers = self.layers
        if (name is None) == (index is None):
            raise ValueError("get_layer: give either name or index")
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(f"get_layer: index {index} is out of range: {self.name} has {len(layers)} layers")
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in layers)
        raise ValueError(f"get_layer: {self.name} has no layer {name!r}; its layers are {known}")

    def summary(
        self,
        line_length: int | None = None,
        positions: Sequence[float] | None = None,
        print_fn: Callable[[str], Any] | None = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Sequence[str] | None = None,
    ) -> None:
        """Print Keras's table of the layers: output shapes, numbers of parameters and, where the layers are no row,
        what each is connected to.

        line_length: its width. positions: where the columns end, as shares of it. print_fn: called with each line.
        expand_nested: also the layers within models. show_trainable: whether each is trained. layer_range: the first
        and the last layer to show, by names or regular expressions. The total is that of the model's own weights; those
        that the optimizer keeps stand apart. Raises ValueError for a model that is not built.
        """
        lines = summarize(self, line_length, positions, expand_nested, show_trainable, layer_range)
        for line in lines:
            (print_fn or print)(line)

    # ------------------------------------------------------------------------------------------------- compiling

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how to train: optimizer and loss (objects or names), and the metrics to watch.

        metrics: names, Metric objects or functions (y_true, y_pred) of arrays; they do not see sample weights, those of
        `weighted_metrics` do. For several outputs: lists or dicts, one entry for each output; then loss is
        Σ loss_weights · loss, and each output's loss is logged as "NAME_loss". "accuracy" is taken by loss and shapes;
        metrics made from names are told when the loss takes logits.

        Which weights will be trained is settled here, as in Keras: a layer's `trainable` that is set later takes effect
        at the next `compile`. (A layer's own behaviour follows at once: a BatchNormalization with trainable = False
        uses its moving averages and leaves them as they are.) So a model that holds another one frozen can be trained
        by turns with it, each compiled while its own weights were trainable.

        jit_compile: True: on a GPU, whole training steps (the optimizer's with them) on batches of a shape that was
        seen before are captured into a CUDA graph and launched as one, with the same numbers (see `captured`); where
        that cannot be, and on the CPU, a warning says why, and steps run as they are written. "auto" and False: they
        always do.
        run_eagerly, auto_scale_loss: both values mean the same here: a step is run as it is written but for
        jit_compile, and no loss is of half precision. steps_per_execution: 1. ValueError for others.
        """
        _check_execution(run_eagerly, steps_per_execution, jit_compile)
        self._captured = CapturedSteps(self) if jit_compile is True else None
        self.run_eagerly, self.steps_per_execution = bool(run_eagerly), 1
        self.optimizer = optimizers.get(optimizer)
        self._loss = None if loss is None else CompiledLoss(loss, loss_weights)
        self._metrics = CompiledMetrics(metrics, weighted_metrics, self._loss)
        self._trained = Trained(self)
        self.stop_training = False

    @property
    def compiled(self) -> bool:
        return self._metrics is not None

    @property
    def loss(self) -> Any:
        """The loss that `compile` was given, as an object (or several)."""
        return None if self._loss is None else self._loss.loss

    @property
    def metrics(self) -> list[Any]:
        """The loss's running mean and, once the first batch has been seen, those of several outputs' losses and the
        compiled metrics (before it, one that stands for all of these); then those that a subclass keeps as attributes,
        for a train_step of its own."""
        found: list[Any] = list(self._named_metrics().values())
        if self._metrics is not None and self._metrics.waiting:
            found.insert(1, UnmadeMetrics(self._metrics, self.output_names))
        return found

    @property
    def metrics_names(self) -> list[str]:
        """The names that they are logged under."""
        return list(self._named_metrics())

    def _named_metrics(self) -> dict[str, Metric]:
        losses = self._loss.trackers if self._loss else {}
        own = {metric.name: metric for metric in self._own_metrics().values()}
        return {"loss": self.loss_tracker} | losses | (self._metrics.named if self._metrics else {}) | own

    def _own_metrics(self) -> dict[str, Metric]:
        """The metrics that a subclass keeps as attributes, under their paths."""
        return {path: metric for path, metric in self._own(Metric) if metric is not self.loss_tracker}

    def reset_metrics(self) -> None:
        """Forget all batches."""
        self.loss_tracker.reset_state()
        if self._loss is not None:
            self._loss.reset()
        if self._metrics is not None:
            self._metrics.reset()
        for metric in self._own_metrics().values():
            metric.reset_state()

    def metric_results(self, running: bool = False) -> dict[str, Any]:
        """The values of all metrics that have seen a batch; `running`: without those too costly for every step."""
        return {
            name: metric.result()
            for name, metric in self._named_metrics().items()
            if metric.updates and (metric.running or not running)
        }

    def get_metrics_result(self) -> dict[str, Any]:
        """The values of all metrics that have seen a batch."""
        return self.metric_results()

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was given, in the types that JSON knows; None before.

        Raises NotImplementedError if a loss or metric is a function.
        """
        if self._metrics is None:
            return None
        loss = {"loss": None} if self._loss is None else self._loss.get_config()
        captured = {} if self._captured is None else {"jit_compile": True}
        return {"optimizer": serialize(self.optimizer)} | loss | self._metrics.get_config() | captured

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` told."""
        self.compile(**config)

    # --------------------------------------------------------------------------------------------------- one step

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """The compiled loss plus the penalties of the regularizers, a scalar. May be overridden (without `training`,
        too)."""
        terms = list(self.losses)
        if self._loss is not None:
            terms.insert(0, self._loss(y, y_pred, sample_weight, output_names(y_pred, self.output_names)))
        if not terms:
            raise ValueError(f"{self.name}: compile was given no loss")
        return functools.reduce(operator.add, terms)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of training: the numbers so far. May be overridden.

        data: a batch as Keras packs it: x, (x,) where x is a list or tuple, (x, y) or (x, y, sample_weight);
        `utils.unpack_x_y_sample_weight` takes any of them apart.

        Raises NonFiniteLossError, before any trained weight is changed, for a loss that is NaN or infinite, unless a
        TerminateOnNaN callback is there to deal with it.
        """
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with self._trained.applied(self) as trained:
            captured = None if self._captured is None else self._captured.step(x, y, sample_weight)
            if captured is None:
                y_pred, loss = self._forward(x, y, sample_weight)
                value = float(loss.item())
            else:
                value, y_pred, gradients = captured
            if not math.isfinite(value):
                return self._lost(value, x, y_pred, (x, y, sample_weight))
            variables = trained()
            if captured is None:
                y_pred = map_structure(Tensor.detach, y_pred)
                gradients = self._gradients(loss, variables)
                del loss
        if variables and gradients is not None:  # a model that is frozen altogether is measured, not trained
            self.optimizer.apply(gradients, variables)
        return self._track(value, x, y, y_pred, sample_weight)

    def _forward(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Tensor]:
        """Predictions and loss of a batch in training."""
        with enable_grad():
            y_pred = self(x, training=True)
            return y_pred, self._compute_loss(x, self._placed(y), y_pred, self._placed(sample_weight), True)

    def _gradients(self, loss: Tensor, variables: list[Any]) -> list[Any]:
        """Of the scaled loss, in the weights that are trained; None for one that it does not depend on."""
        return list(grad(self.optimizer.scale_loss(loss), variables, allow_unused=True)) if variables else []

    def _compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any, training: bool) -> Tensor:
        """`compute_loss`, whose argument `training` a subclass may have left out."""
        further = {"training": training} if _takes_training(type(self).compute_loss) else {}
        return self.compute_loss(x, y, y_pred, sample_weight, **further)

    def _placed(self, structure: Any) -> Any:
        """Targets or weights where the model computes."""
        device = self._device
        if device is None or structure is None:
            return structure

        def place(leaf: Any) -> Any:
            return None if leaf is None else self._on_device(leaf)

        return map_structure(place, as_arrays(structure))

    def _on_device(self, leaf: Any) -> Tensor:
        """An array where the model computes."""
        return as_tensor(self._arrived(leaf)).to(self.device)

    def _arrived(self, leaf: Any) -> Any:
        """What a feed sent ahead of an array, else the array."""
        for sender in self._senders:
            sent = sender.arrived(leaf)
            if sent is not None:
                return sent
        return leaf

    def _lost(self, value: float, x: Any, y_pred: Any, data: Batch) -> dict[str, Any]:
        if not (self.training_run is not None and self.training_run.tolerates_nan):
            raise NonFiniteLossError(f"the loss is {value}: {blame(self, x, y_pred, data)}")
        self.loss_tracker.update_state(value)
        return self.metric_results(running=True)

    def test_step(self, data: Any) -> dict[str, Any]:
        """Loss and metrics of one batch, in the form of `train_step`'s, added to those so far. May be overridden."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with no_grad():
            y_pred = self(x, training=False)
            loss = None
            if self._loss is not None or self.losses:
                losses = self._compute_loss(x, self._placed(y), y_pred, self._placed(sample_weight), False)
                loss = float(losses.item())
        return self._track(loss, x, y, y_pred, sample_weight)

    def _track(self, loss: float | None, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> dict[str, Any]:
        if loss is not None:
            self.loss_tracker.update_state(loss, _batch_size(x))
            if self._loss is not None:
                self._loss.track(_batch_size(x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Add a batch to the compiled metrics; the numbers so far. May be overridden, to return further ones."""
        if self._metrics is not None:
            self._metrics.update(y, y_pred, sample_weight, output_names(y_pred, self.output_names))
        return self.metric_results(running=True)

    def predict_step(self, data: Any) -> Any:
        """The outputs for one batch, in the form of `train_step`'s, as arrays. May be overridden."""
        x, _, _ = unpack_x_y_sample_weight(data)
        with no_grad():
            return map_structure(lambda output: output.numpy(), self(x, training=False))

    def train_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, class_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """One step on one batch: its loss and metrics in a list (without metrics the loss itself), or in a dict.

        class_weight: {class: weight}, for models of one output; times sample_weight if both are given.
        """
        self._require_compiled("train_on_batch")
        self.reset_metrics()
        if class_weight is not None:
            sample_weight = training.class_weights(y, class_weight, sample_weight)
        with computing_on(self._device):
            logs = training.numbers(self.train_step(step_data(*as_arrays((x, y, sample_weight)))))
            return _as_list(logs | self.metric_results(), return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Loss and metrics of one batch, without training; as `train_on_batch`."""
        self._require_compiled("test_on_batch")
        self.reset_metrics()
        with computing_on(self._device):
            logs = training.numbers(self.test_step(step_data(*as_arrays((x, y, sample_weight)))))
            return _as_list(logs | self.metric_results(), return_dict)

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for one batch, as NumPy arrays."""
        with computing_on(self._device):
            return map_structure(np.array, self.predict_step(step_data(as_arrays(x))))

    def _require_compiled(self, caller: str) -> None:
        if not self.compiled:
            raise RuntimeError(f"{caller}: compile the model first: model.compile(optimizer, loss, metrics)")

    # -------------------------------------------------------------------------------------------------- all steps

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int | Sequence[int] = 1,
        device: str | None = None,
    ) -> History:
        """Train until `epochs` epochs are done, from number `initial_epoch` on; returns the History of the numbers at
        the end of each.

        x, y, sample_weight: arrays, or lists or dicts of them for several inputs or outputs, with one leading axis.
        Or x alone: a `utils.PyDataset` (or another object with `len` and `[number]`), whose batches are taken in a new
        order every epoch if `shuffle`; or an iterable of batches, of which each iter() is an epoch: lists, generators
        (which have one pass) or `imaging.Batches`. A batch is (x, y) or (x, y, sample_weight); one with no targets (x,)
        is for models whose losses are all their layers'.
        The next batches are made ready on a thread while a step runs (see `feeding.Feed`).

        batch_size: 32 for arrays. shuffle: in a new order every epoch, drawn from `tg.random`: the same seed gives the
        same run. verbose: 0 nothing, 1 a progress bar, 2 a line an epoch; "auto" is 1, which in a file shows lines.
        validation_data: as x, or (x, y), (x, y, sample_weight); validation_split: the last share of the arrays.
        validation_freq: every how many epochs, or the numbers (from 1) of the epochs, after which it is looked at.
        validation_steps: how many of its batches. class_weight: {class: weight}, for models of one output; times
        sample_weight where both are given. steps_per_epoch: how many batches make an epoch; where x are arrays without
        a batch_size they are cut into as many. device: move the model to "cpu", "cuda" or "cuda:N" first, and leave it
        there (see `to`).

        Raises NonFiniteLossError at the first loss that is NaN or infinite, unless a TerminateOnNaN callback is given.
        """
        self._require_compiled("fit")
        if device is not None:
            self.to(device)
        with computing_on(self._device):
            return training.fit(
                self, x, y, batch_size, epochs, verbose, callbacks, validation_split, validation_data, shuffle,
                class_weight, sample_weight, initial_epoch, steps_per_epoch, validation_steps, validation_batch_size,
                validation_freq,
            )  # fmt: skip

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Loss and metrics over all of the data (or `steps` batches): a list (the loss alone without metrics), or a
        dict. The list is in the order of `metrics_names`. A callback may end it by `model.stop_evaluating = True`."""
        self._require_compiled("evaluate")
        with computing_on(self._device):
            logs = training.evaluate(self, x, y, batch_size, verbose, sample_weight, steps, callbacks)
            return _as_list(logs, return_dict)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
    ) -> Any:
        """The outputs for all of x (or `steps` batches), as one array (or in the structure of the model's outputs). A
        callback may end it by `model.stop_predicting = True`; on_predict_batch_end is told {"outputs": …}."""
        with computing_on(self._device):
            return training.predict(self, x, batch_size, verbose, steps, callbacks)

    # --------------------------------------------------------------------------------------------------- on disk

    @classmethod
    def from_config(cls, config: Any, custom_objects: dict[str, type] | None = None) -> Any:
        """The model that `get_config` described, with new weights. A constructor that knows nothing of name, trainable
        and dtype is not given them."""
        if "calls" in config and cls._takes_graph:
            from .functional import model_from_graph

            return model_from_graph(cls, config, custom_objects)
        accepted = constructor_arguments(cls)
        general = ("name", "trainable", "dtype")
        return cls(**{key: value for key, value in config.items() if key in accepted or key not in general})

    def save(
        self,
        filepath: str | os.PathLike[str],
        overwrite: bool = True,
        zipped: bool | None = None,
        metadata: dict[str, str] | None = None,
        include_optimizer: bool = True,
    ) -> None:
        """Write weights, configuration, compile settings and the optimizer's state into one safetensors file; see
        `load_model`.

        The name should end in .safetensors; endings of other formats (.keras, .h5 …) are an error. overwrite: replace a
        file that is there. metadata: further strings to keep in the file; see `read_metadata`. The file is written
        under another name, synced and renamed: it is whole or not there. include_optimizer: False for a model that is
        not to be trained on, whose file is then smaller. Where a training stands in its data and its random numbers are
        not in it (see `BackupAndRestore`).
        """
        saving.save_model(self, filepath, overwrite, zipped, metadata, include_optimizer)

    def save_weights(
        self, filepath: str | os.PathLike[str], overwrite: bool = True, max_shard_size: float | None = None
    ) -> None:
        """Write the weights alone, as safetensors."""
        saving.save_weights(self, filepath, overwrite, max_shard_size)

    def load_weights(
        self, filepath: str | os.PathLike[str], skip_mismatch: bool = False, by_name: bool = False
    ) -> None:
        """Read weights that `save_weights` or `save` wrote for a model of the same structure.

        by_name: those of the layers alone whose names are in the file, of whatever model: to go on from a part of
        another one. skip_mismatch: leave layers whose weights are missing there or of other shapes as they are, with a
        warning for each, in place of an error.
        """
        saving.load_weights(self, filepath, skip_mismatch, by_name)

    def to_json(self, **kwargs: Any) -> str:
        """The model without its weights as text, for `model_from_json`; arguments are those of json.dumps."""
        return json.dumps(saving.described(self), **kwargs)


class _Absent:
    """In place of a method that Keras's models have: asking for it says why it is not here."""

    def __init__(self, name: str, why: str) -> None:
        self.text = f"keras.Model.{name} is not in tomograd: {why}"

    def __get__(self, model: Any, cls: type) -> Any:
        raise AttributeError(self.text)


for _name, _why in ABSENT_METHODS.items():
    setattr(Model, _name, _Absent(_name, _why))


def _check_execution(run_eagerly: Any, steps_per_execution: Any, jit_compile: Any) -> None:
    """ValueError for what Keras's `compile` takes and ours does not do."""
    if steps_per_execution != 1:
        raise ValueError(f"steps_per_execution = {steps_per_execution!r} is not supported: steps are run one by one")
    if jit_compile not in ("auto", False, True):
        raise ValueError(f"jit_compile = {jit_compile!r}: expected 'auto', True or False")
    if run_eagerly and jit_compile is True:
        raise ValueError("run_eagerly = True and jit_compile = True contradict each other")


@functools.cache
def _takes_training(compute_loss: Callable[..., Any]) -> bool:
    return "training" in inspect.signature(compute_loss).parameters


def _as_list(logs: dict[str, Any], return_dict: bool) -> Any:
    if return_dict:
        return logs
    values = list(logs.values())
    return values[0] if len(values) == 1 else values


def _batch_size(x: Any) -> int:
    leaf = flatten(x)[0]
    return len(leaf)
