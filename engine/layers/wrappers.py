"""Layers around layers: TimeDistributed over the steps of a sequence, Bidirectional over it from both ends,
SpectralNormalization of a kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import functions as F
from ..capture import capturing
from ..config import serialize
from ..functions.linear_algebra import matmul_transposed
from ..initializers import TruncatedNormal
from ..lengths import unit_length
from ..masks import as_mask, mask_of, with_mask
from ..tape import no_grad
from ..tensor import Tensor, from_array
from .base import Layer, call_arguments
from .core import positive
from .masks import with_masks
from .nesting import copy_of, layer_of
from .shapes import is_shape, map_shapes
from .symbolic import map_structure

__all__ = ["Bidirectional", "SpectralNormalization", "TimeDistributed", "Wrapper"]


class Wrapper(Layer):
    """Base class of layers around a layer, kept as `layer`; a subclass defines `call`. It has the layer's type unless
    told otherwise.

    Raises TypeError for something that is no layer.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        layer = layer_of(layer, type(self).__name__, "layer")
        super().__init__(**{"dtype": layer.dtype} | kwargs)
        self.layer = layer

    def build(self, input_shape: Any) -> None:
        self.layer._prepare_for(input_shape)


class TimeDistributed(Wrapper):
    """A layer, or a whole model, on each step of sequences: (N, T, …) → (N, T, …).

    The steps are folded into the batch: the layer is called once, on (N·T, …). So a BatchNormalization within takes its
    statistics over all steps of all sequences, where Keras goes step by step; everything else gives the same.

    A mask (N, T) stays with the output; a layer within that takes masks and holds no others (BatchNormalization) gets
    it too. One of more axes, (N, T, S, …), is that of the steps: it goes in, and the output has the one that comes out,
    or else True for the steps of which anything was.

    Raises TypeError for something that is no layer, ValueError for inputs of fewer than 3 dimensions and masks that do
    not fit.
    """

    supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.layer._prepare_for((None, *input_shape[2:]))

    def call(self, inputs: Tensor, mask: Any = None) -> Any:
        leading = inputs.shape[:2]
        folded = F.reshape(inputs, (leading[0] * leading[1], *inputs.shape[2:]))
        arguments = {}
        if mask is not None:
            mask = self._checked(mask, inputs)
            of_steps = from_array(mask.array.reshape(folded.shape[0], *mask.shape[2:]))
            if of_steps.ndim > 1:
                folded = with_mask(folded, of_steps)
            elif "mask" in call_arguments(self.layer) and not self.layer.layers:
                arguments["mask"] = of_steps

        def unfolded(output: Tensor) -> Tensor:
            steps = F.reshape(output, (*leading, *output.shape[1:]))
            own = mask_of(output)
            return steps if own is None else with_mask(steps, own.array.reshape(*leading, *own.shape[1:]))

        return map_structure(unfolded, self.layer(folded, **arguments))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """(N, T): True for the steps of which anything counts."""
        if previous_mask is None:
            return None
        mask = as_mask(previous_mask, inputs)
        return F.any(mask, axis=tuple(range(2, mask.ndim))) if mask.ndim > 2 else mask

    def _checked(self, mask: Any, inputs: Tensor) -> Tensor:
        mask = as_mask(mask, inputs)
        if mask.ndim < 2 or mask.shape != inputs.shape[: mask.ndim]:
            raise ValueError(
                f"{self.name}: a mask of shape {mask.shape} does not fit an input of shape {inputs.shape}: expected "
                f"{inputs.shape[:2]}, or further axes of the input after these"
            )
        return mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = self.layer.compute_output_shape((input_shape[0], *input_shape[2:]))
        return map_shapes(lambda shape: (shape[0], input_shape[1], *shape[1:]), shapes)

    def compute_output_dtype(self, input_dtypes: Any) -> Any:
        return self.layer.compute_output_dtype(input_dtypes)

    def _check_input_shape(self, shape: Any) -> None:
        if len(shape) < 3 or not is_shape(shape):
            raise ValueError(f"{self.name}: expected an input of 3 dimensions or more, (N, T, …), got shape {shape}")


MERGE_MODES = ("concat", "sum", "mul", "ave", None)


class Bidirectional(Layer):
    """A recurrent layer over sequences from the first step on, and one like it from the last step back.

    layer: a recurrent layer, after whose configuration both are made, with weights of their own: `forward_layer` and
    `backward_layer`. backward_layer: another one for the way back, with go_backwards the opposite of layer's, and the
    same return_sequences, return_state and stateful. merge_mode: what becomes of the two outputs: "concat" (side by
    side), "sum", "mul" (their product), "ave" (their mean), None (both, as a tuple). With return_sequences the outputs
    of the way back stand beside those of the same steps. weights: arrays to begin with, those of the forward layer
    first (Keras takes them and forgets them).

    In a call: initial_state: a list, the states of the forward layer first; mask: see RNN; with return_sequences,
    outputs at masked steps are zeros. With return_state: (output, *the forward layer's states, *the backward layer's).

    Raises TypeError for something that is no layer, ValueError for another merge_mode, and for layers that do not go
    together, such as one that goes backwards itself.
    """

    casts_integers = True
    supports_masking = True

    def __init__(
        self,
        layer: Any,
        merge_mode: str | None = "concat",
        weights: Sequence[Any] | None = None,
        backward_layer: Any = None,
        **kwargs: Any,
    ) -> None:
        layer = layer_of(layer, "Bidirectional", "layer")
        super().__init__(**{"dtype": layer.dtype} | kwargs)
        if merge_mode not in MERGE_MODES:
            expected = ", ".join(map(repr, MERGE_MODES))
            raise ValueError(f"{self.name}: merge_mode = {merge_mode!r}: expected one of {expected}")
        for attribute in ("go_backwards", "return_sequences", "return_state", "stateful"):
            if not hasattr(layer, attribute):
                raise ValueError(f"{self.name}: layer = {layer!r}: expected a recurrent layer, with {attribute!r}")
        self.merge_mode = merge_mode
        name = layer.name
        self.forward_layer: Any = copy_of(layer, name=f"forward_{name.removeprefix('forward_')}")
        if backward_layer is None:
            backward_layer = copy_of(layer, name=f"backward_{name.removeprefix('backward_')}", go_backwards=True)
        self.backward_layer: Any = layer_of(backward_layer, self.name, "backward_layer")
        self._require_fitting_layers()
        each: Any
        for each in (self.forward_layer, self.backward_layer):
            if hasattr(each, "zero_output_for_mask"):
                each.zero_output_for_mask = each.return_sequences
        self._first_weights = weights

    def _require_fitting_layers(self) -> None:
        there, back = self.forward_layer, self.backward_layer
        if there.go_backwards == back.go_backwards:
            raise ValueError(f"{self.name}: layer and backward_layer both have go_backwards = {there.go_backwards}")
        for attribute in ("stateful", "return_sequences", "return_state"):
            if getattr(there, attribute) != getattr(back, attribute):
                raise ValueError(
                    f"{self.name}: layer has {attribute} = {getattr(there, attribute)}, backward_layer the opposite"
                )

    @property
    def layer(self) -> Any:
        """The forward layer."""
        return self.forward_layer

    return_sequences = property(lambda self: self.forward_layer.return_sequences, doc="Whether all outputs are given.")
    return_state = property(lambda self: self.forward_layer.return_state, doc="Whether the states are given.")
    stateful = property(lambda self: self.forward_layer.stateful, doc="Whether states are kept between batches.")

    @property
    def states(self) -> tuple[Any, ...] | None:
        """The states that stateful layers keep, those of the forward layer first; None unless they are."""
        there, back = self.forward_layer.states, self.backward_layer.states
        return (*there, *back) if there and back else None

    def build(self, sequences_shape: Any) -> None:
        for layer in (self.forward_layer, self.backward_layer):
            layer._prepare_for(sequences_shape)
        if self._first_weights is not None:
            self.set_weights(self._first_weights)

    def call(self, sequences: Tensor, initial_state: Any = None, mask: Any = None) -> Any:
        sequences = with_masks(sequences, mask)
        half = 0 if initial_state is None else len(initial_state) // 2
        if initial_state is not None and (half == 0 or len(initial_state) != 2 * half):
            raise ValueError(f"{self.name}: initial_state: expected as many states for one layer as for the other")
        given = (None, None) if initial_state is None else (initial_state[:half], initial_state[half:])
        layers = self.forward_layer, self.backward_layer
        there, back = (layer(sequences, initial_state=state) for layer, state in zip(layers, given, strict=True))
        states: tuple[Any, ...] = ()
        if self.return_state:
            there, back, states = there[0], back[0], (*there[1:], *back[1:])
        if self.return_sequences:
            back = F.flip(back, 1)
        if self.merge_mode is None:
            return (there, back, *states)
        output = self._merged(there, back)
        return (output, *states) if self.return_state else output

    def _merged(self, there: Tensor, back: Tensor) -> Tensor:
        if self.merge_mode == "concat":
            return F.concatenate([there, back], -1)
        if self.merge_mode == "mul":
            return there * back
        return there + back if self.merge_mode == "sum" else (there + back) / 2

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The input's mask for outputs at all steps; None for states."""
        if isinstance(previous_mask, (list, tuple)):
            previous_mask = previous_mask[0]
        mask = previous_mask if self.return_sequences else None
        masks = [mask] if self.merge_mode else [mask, mask]
        return masks if len(masks) > 1 or self.return_state else mask

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        there = self.forward_layer.compute_output_shape(sequences_shape)
        back = self.backward_layer.compute_output_shape(sequences_shape)
        states: tuple[Any, ...] = ()
        if self.return_state:
            there, back, states = there[0], back[0], (*there[1:], *back[1:])
        if self.merge_mode is None:
            return (there, back, *states)
        output = (*there[:-1], there[-1] + back[-1]) if self.merge_mode == "concat" else there
        return (output, *states) if self.return_state else output

    def reset_state(self) -> None:
        """Set the states that stateful layers keep to 0. Raises AttributeError unless they are stateful."""
        if not self.stateful:
            raise AttributeError(f"{self.name}: the layers are not stateful")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def get_config(self) -> dict[str, Any]:
        """Without the weights to begin with."""
        config: dict[str, Any] = {"name": self.name, "trainable": self._trainable, "dtype": str(self.dtype)}
        config |= {"layer": serialize(self.forward_layer), "merge_mode": self.merge_mode}
        return config | {"backward_layer": serialize(self.backward_layer)}

    def _check_input_shape(self, shape: Any) -> None:
        self.forward_layer._check_input_shape(shape)


class SpectralNormalization(Wrapper):
    """A layer whose kernel K is divided, at each call in training, by its largest singular value σ, K seen as a matrix
    of all axes but the last against the last (Miyato et al. 2018): what the layer does to a difference is bounded.

    layer: one with a `kernel` or `embeddings`. σ is found by power iteration, `power_iterations` steps of

        v = u·Kᵀ/|u·Kᵀ|,   u = v·K/|v·K|,   σ = v·K·uᵀ,

    which go on from the u of the step before, the weight vector_u (1, C). As in Keras the kernel itself is replaced, so
    that its gradient is that of the divided one, and in inference it is taken as it is. A kernel of zeros stays.
    (Of an Embedding, whose inputs are integers, Keras makes integers too; here its rows come out.)

    Raises ValueError for a layer with neither, and for a number of iterations below 1.
    """

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self.power_iterations = positive(power_iterations, "power_iterations", self.name)

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        kernel = getattr(self.layer, "kernel", None)
        kernel = getattr(self.layer, "embeddings", None) if kernel is None else kernel
        if kernel is None:
            raise ValueError(f"{self.name}: {self.layer.name} has neither a kernel nor embeddings")
        self.kernel = kernel
        self.vector_u = self.add_weight(
            (1, kernel.shape[-1]), TruncatedNormal(stddev=0.02), trainable=False, name="vector_u", dtype=kernel.dtype
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self._divide()
        return self.layer(inputs)

    def _divide(self) -> None:
        with no_grad():
            u: Tensor = self.vector_u
            size = F.max(F.abs(self.kernel))
            some = size != 0
            if not capturing() and not some.item():
                return
            kernel = self.kernel / size  # so that products of the smallest and the largest entries are in range
            matrix = F.reshape(kernel, (-1, kernel.shape[-1]))
            for _ in range(self.power_iterations):
                v = unit_length(matmul_transposed(u, matrix))
                u = unit_length(F.matmul(v, matrix))
            largest = matmul_transposed(F.matmul(v, matrix), u)
            self.kernel.assign(F.where(some, kernel / largest[0, 0], self.kernel))
            self.vector_u.assign(F.where(some, u, self.vector_u))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def compute_output_dtype(self, input_dtypes: Any) -> Any:
        return self.layer.compute_output_dtype(input_dtypes)

    def _check_input_shape(self, shape: Any) -> None:
        self.layer._check_input_shape(shape)
