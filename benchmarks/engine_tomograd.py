"""The cases on tomograd: kernels called as the engine calls them, networks as a user writes them."""

import math
import warnings
from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

import tomograd as tg
from tomograd import kernels
from tomograd.engine.tensor import library_of

from . import gpu
from .built import Built, NotApplicable
from .convolutions import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Convolution
from .networks import SINGLE, TRAINING, Classifier, Network, Segmenter
from .operations import GRADIENT, INFERENCE, Dense, Operation
from .recurrences import Recurrence

if TYPE_CHECKING:
    from .calls import Call

EPSILON, SMOOTH, RATE = 1e-5, 1.0, 1e-3


def facts(variants: list[str]) -> dict[str, Any]:
    """What a report says of this engine: threads, instruction set; of the GPU, where that is measured."""
    if gpu.CUDA in variants:
        return gpu.facts()
    from tomograd.kernels.cpu import launch, simd

    return {"threads": launch.threads(), "simd": simd.level().name, "vector_bytes": simd.level().bytes}


def build(case: Any, which: str, variants: list[str]) -> Built:
    """The case ready to run. Variants: "cuda", on the GPU; and there a precision, "tf32", "bfloat16" (both of products
    of float32 numbers) or "float16" (of the arrays), and "captured", training steps as CUDA graphs."""
    on_gpu = gpu.CUDA in variants
    if isinstance(case, Classifier | Segmenter):
        built = network(case, which, on_gpu, "captured" in variants)
    elif isinstance(case, Recurrence):
        built = recurrence(case, which, gpu.placed(gpu.drawn(case)) if on_gpu else case.arrays())
    elif isinstance(case, Convolution | Dense | Operation):
        halves = gpu.FLOAT16 in variants
        arrays = gpu.placed(gpu.drawn(case), np.float16 if halves else None) if on_gpu else case.arrays()
        built = Built(run_of(case, which, arrays), first)
    else:
        built = call(case, which)
    rounded = [variant for variant in variants if variant in (gpu.TF32, gpu.BFLOAT16)]
    return built._replace(run=in_precision(built.run, rounded[0])) if rounded else built


def run_of(case: Convolution | Dense | Operation, which: str, arrays: dict[str, Any]) -> Callable:
    """One pass of a kernel."""
    if isinstance(case, Convolution):
        return (transposed if case.transposed else convolution)(case, which, arrays)
    return dense(case, which, arrays) if isinstance(case, Dense) else OPERATIONS[case.kind](case, which, arrays)


def in_precision(run: Callable, name: str) -> Callable:
    """The run with products in this precision."""

    def running() -> Any:
        with kernels.precision(name):
            return run()

    return running


def first(result: Any) -> np.ndarray | None:
    """The first of several results: the others are statistics or gradients of a few numbers."""
    return gpu.fetched(result[0] if isinstance(result, tuple) else result)


# ---- what a worker asks on a GPU -------------------------------------------------------------------------------------

_held_before = 0


def on_gpu(variants: list[str]) -> gpu.OnGPU:
    """How its work is timed."""
    return gpu.OnGPU()


def release() -> None:
    """Give back the memory of the case before; what is held now is what `taken` begins at."""
    global _held_before
    gpu.release()
    _held_before = gpu.held()


def taken() -> int:
    """Bytes of the GPU's memory that were taken since `release`: the pools keep what they have had, so the most."""
    return gpu.held() - _held_before


Arrays = dict[str, Any]

# ---- convolutions and matrix products --------------------------------------------------------------------------------


def _geometry(case: Convolution) -> tuple:
    d = case.dimensions
    return (case.stride,) * d, ((case.padding, case.padding),) * d, (case.dilation,) * d, case.groups


def convolution(case: Convolution, which: str, arrays: Arrays) -> Callable:
    """One pass of a convolution."""
    x, weight, bias, dy = (arrays[name] for name in ("x", "weight", "bias", "dy"))
    k = kernels.of(x)
    geometry, window = _geometry(case), (case.kernel,) * case.dimensions
    return {
        FORWARD: lambda: k.conv(x, weight, bias, *geometry),
        INPUT_GRADIENT: lambda: k.conv_transpose(dy, weight, None, case.size, *geometry),
        WEIGHT_GRADIENT: lambda: k.conv_weight_gradient(x, dy, window, *geometry),
    }[which]


def transposed(case: Convolution, which: str, arrays: Arrays) -> Callable:
    """One pass of a transposed convolution: the gradients of the convolution that it is the transpose of."""
    x, weight, bias, dy = (arrays[name] for name in ("x", "weight", "bias", "dy"))
    k = kernels.of(x)
    geometry, window = _geometry(case), (case.kernel,) * case.dimensions
    return {
        FORWARD: lambda: k.conv_transpose(x, weight, bias, case.output, *geometry),
        INPUT_GRADIENT: lambda: k.conv(dy, weight, None, *geometry),
        WEIGHT_GRADIENT: lambda: k.conv_weight_gradient(dy, x, window, *geometry),
    }[which]


def dense(case: Dense, which: str, arrays: Arrays) -> Callable:
    """One pass of a dense layer."""
    x, weight, bias, dy = (arrays[name] for name in ("x", "weight", "bias", "dy"))
    k = kernels.of(x)
    return {
        FORWARD: lambda: k.matmul(x, weight, bias=bias),
        INPUT_GRADIENT: lambda: k.matmul(dy, weight, transpose_b=True),
        WEIGHT_GRADIENT: lambda: k.matmul(x, dy, transpose_a=True),
    }[which]


# ---- the other kernels -----------------------------------------------------------------------------------------------


def _either(which: str, forward: Callable, gradient: Callable) -> Callable:
    return gradient if which == GRADIENT else forward


def max_pool(case: Operation, which: str, arrays: Arrays) -> Callable:
    k = kernels.of(arrays["x"])
    x, dy, window = arrays["x"], arrays["dy"], _window(case)
    _, choice = k.max_pool(x, *window, (1, 1))
    return _either(
        which,
        lambda: k.max_pool(x, *window, (1, 1)),
        lambda: k.max_pool_scatter(dy, choice, x.shape[1:-1], *window, (1, 1)),
    )


def average_pool(case: Operation, which: str, arrays: Arrays) -> Callable:
    k = kernels.of(arrays["x"])
    x, dy, window = arrays["x"], arrays["dy"], _window(case)
    return _either(
        which,
        lambda: k.average_pool(x, *window, True),
        lambda: k.average_pool_gradient(dy, x.shape[1:-1], *window, True),
    )


def _window(case: Operation) -> tuple[Any, Any, Any]:
    window, stride, padding = (case.options[name] for name in ("window", "stride", "padding"))
    d = len(case.shape) - 2
    return (window,) * d, (stride,) * d, ((padding, padding),) * d


def global_average_pool(case: Operation, which: str, arrays: Arrays) -> Callable:
    x, layer = tg.Tensor(arrays["x"]), tg.layers.GlobalAveragePooling2D()

    def run() -> np.ndarray:
        with tg.no_grad():
            return layer(x).array

    return run


def resize(case: Operation, which: str, arrays: Arrays) -> Callable:
    k = kernels.of(arrays["x"])
    x, dy, method = arrays["x"], arrays["dy"], case.options["method"]
    return _either(
        which,
        lambda: k.resize(x, case.output[1:-1], method),
        lambda: k.resize_gradient(dy, x.shape[1:-1], method),
    )


def affine_transform(case: Operation, which: str, arrays: Arrays) -> Callable:
    """A rotation about the middle of square images."""
    k = kernels.of(arrays["x"])
    x, dy, angle = arrays["x"], arrays["dy"], math.radians(case.options["degrees"])
    turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    images, size = len(x), x.shape[1]
    steps = np.arange(size)[:, None] - (size - 1) / 2
    rows, columns = steps * turned[0] + (size - 1) / 2, steps * turned[1]
    places = [np.ascontiguousarray(np.broadcast_to(each, (images, size, 2))) for each in (rows, columns)]
    places = [library_of(x).asarray(each) for each in places]
    return _either(
        which,
        lambda: k.affine_transform(x, *places, "bilinear", "constant", 0.0),
        lambda: k.affine_transform_gradient(dy, *places, x.shape[1:-1], "bilinear", "constant"),
    )


def batch_norm(case: Operation, which: str, arrays: Arrays) -> Callable:
    k = kernels.of(arrays["x"])
    x, dy, gamma, beta = (arrays[name] for name in ("x", "dy", "gamma", "beta"))
    activation = case.options.get("activation")
    _, mean, variance = k.batch_norm(x, gamma, beta, EPSILON)
    if which == INFERENCE:
        return lambda: k.batch_norm_inference(x, gamma, beta, mean, variance, EPSILON, activation)
    return _either(
        which,
        lambda: k.batch_norm(x, gamma, beta, EPSILON, activation),
        lambda: k.batch_norm_gradient(dy, x, gamma, beta, mean, variance, EPSILON, activation),
    )


def group_norm(case: Operation, which: str, arrays: Arrays) -> Callable:
    k = kernels.of(arrays["x"])
    x, dy, gamma, beta = (arrays[name] for name in ("x", "dy", "gamma", "beta"))
    groups = case.options.get("groups", 1)
    _, mean, variance = k.group_norm(x, groups, gamma, beta, EPSILON)
    return _either(
        which,
        lambda: k.group_norm(x, groups, gamma, beta, EPSILON),
        lambda: k.group_norm_gradient(dy, x, groups, gamma, mean, variance, EPSILON),
    )


def activation(case: Operation, which: str, arrays: Arrays) -> Callable:
    k = kernels.of(arrays["x"])
    x, dy, name = arrays["x"], arrays["dy"], case.options["name"]
    parameter = {"leaky_relu": 0.01, "elu": 1.0}.get(name, 0.0)
    return _either(
        which,
        lambda: k.activation(x, name, parameter),
        lambda: k.activation_gradient(dy, x, name, parameter),
    )


def softmax(case: Operation, which: str, arrays: Arrays) -> Callable:
    k = kernels.of(arrays["x"])
    x, dy = arrays["x"], arrays["dy"]
    forward, gradient = getattr(k, case.kind), getattr(k, f"{case.kind}_gradient")
    y = forward(x)
    return _either(which, lambda: forward(x), lambda: gradient(dy, y))


def sparse_cross_entropy(case: Operation, which: str, arrays: Arrays) -> Callable:
    k = kernels.of(arrays["x"])
    x, dy, labels = arrays["x"], arrays["dy"], arrays["labels"]
    return _either(
        which,
        lambda: k.sparse_cross_entropy(x, labels),
        lambda: k.sparse_cross_entropy_gradient(dy, x, labels),
    )


def binary_cross_entropy(case: Operation, which: str, arrays: Arrays) -> Callable:
    k = kernels.of(arrays["x"])
    x, dy, t = arrays["x"], arrays["dy"], arrays["t"]
    return _either(
        which,
        lambda: k.binary_cross_entropy(x, t),
        lambda: k.binary_cross_entropy_gradient(dy, x, t),
    )


def dice(case: Operation, which: str, arrays: Arrays) -> Callable:
    k = kernels.of(arrays["x"])
    x, dy, t = arrays["x"], arrays["dy"], arrays["t"]
    return _either(which, lambda: k.dice(x, t, SMOOTH), lambda: k.dice_gradient(dy, x, t, SMOOTH))


def embedding(case: Operation, which: str, arrays: Arrays) -> Callable:
    k, dy, labels = kernels.of(arrays["x"]), arrays["dy"], arrays["labels"]
    return lambda: k.add_rows(dy, labels, case.shape[0])


RULES: dict[str, Callable] = {  # with the arguments that are PyTorch's defaults, where the formula is the same
    "adam": lambda: tg.optimizers.Adam(RATE),
    "adamax": lambda: tg.optimizers.Adamax(RATE),
    "nadam": lambda: tg.optimizers.Nadam(RATE),
    "adagrad": lambda: tg.optimizers.Adagrad(RATE),
    "adadelta": lambda: tg.optimizers.Adadelta(RATE, rho=0.9, epsilon=1e-6),
    "rmsprop": lambda: tg.optimizers.RMSprop(RATE, rho=0.99, epsilon=0.0),
    "sgd": lambda: tg.optimizers.SGD(RATE, momentum=0.9),
}


def optimizer(case: Operation, which: str, arrays: Arrays) -> Callable:
    """A step of the public optimizer on one weight."""
    weight, gradient = tg.Variable(arrays["x"]), tg.Tensor(arrays["dy"])
    rule = RULES[case.kind]()

    def run() -> np.ndarray:
        rule.apply([gradient], [weight])
        return weight.array

    return run


OPERATIONS: dict[str, Callable[[Operation, str, Arrays], Callable]] = {
    "max_pool": max_pool,
    "average_pool": average_pool,
    "global_average_pool": global_average_pool,
    "resize": resize,
    "affine_transform": affine_transform,
    "batch_norm": batch_norm,
    "group_norm": group_norm,
    "layer_norm": group_norm,
    "activation": activation,
    "softmax": softmax,
    "log_softmax": softmax,
    "sparse_cross_entropy": sparse_cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "dice": dice,
    "embedding": embedding,
    **dict.fromkeys(RULES, optimizer),
}


# ---- recurrent cells -------------------------------------------------------------------------------------------------


def recurrence(case: Recurrence, which: str, arrays: Arrays) -> Built:
    """The function of a cell; with its gradients, of which the one in x is compared."""
    cell = getattr(tg.functional, case.cell)
    *inputs, dy = (tg.Tensor(arrays[name]) for name in ("x", "weight", "recurrent_weight", "bias", "dy"))
    if which == FORWARD:
        return Built(tg.no_grad()(lambda: cell(*inputs).array), first)
    inputs = [tg.Tensor(each.array, requires_grad=True) for each in inputs]
    return Built(lambda: tg.grad(cell(*inputs), inputs, dy), lambda gradients: first(gradients[0].array))


# ---- networks --------------------------------------------------------------------------------------------------------


def model(case: Network, captured: bool = False) -> tg.Model:
    """The compiled model of a network."""
    tg.random.seed(0)
    made: tg.Model
    if isinstance(case, Classifier):
        made = tg.models.CNN(
            case.input_shape, case.classes, filters=case.filters, dense=case.dense, pool_last=case.pool_last
        )
        sparse = tg.losses.SparseCategoricalCrossentropy(from_logits=True)
        loss = tg.losses.BinaryCrossentropy(from_logits=True) if case.classes == 1 else sparse
    else:
        made = tg.models.UNet(case.input_shape, 1, base_filters=case.base_filters, depth=case.depth)
        loss = tg.losses.BinaryCrossentropy(from_logits=True)
    made.compile("adam", loss, jit_compile=captured)
    return made


def network(case: Network, which: str, on_gpu: bool, captured: bool = False) -> Built:
    """Forward, loss, backward and Adam on one batch; or the forward pass alone."""
    if captured and which != TRAINING:
        raise NotApplicable("training steps are captured, inference is not")
    made = model(case, captured)
    x, y = gpu.network_arrays(case) if on_gpu else case.batch_arrays()
    if on_gpu:
        made.to(gpu.CUDA)
    parameters = sum(prod(weight.shape) for weight in made.trainable_weights)
    if which == TRAINING:
        step = lambda: made.train_on_batch(x, y)  # noqa: E731
        return Built(or_fail(step) if captured else step, parameters=parameters)
    x = x[:1] if which == SINGLE else x
    if on_gpu:  # the outputs stay there, as the peer's do
        return Built(tg.no_grad()(lambda: made(x, training=False)), parameters=parameters)
    return Built(lambda: made.predict_on_batch(x), parameters=parameters)


def or_fail(step: Callable[[], Any]) -> Callable[[], Any]:
    """The step; where it cannot be captured, and would run as it is written, it fails with the reason."""

    def running() -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*not captured into a CUDA graph")
            return step()

    return running


# ---- calls of functions ----------------------------------------------------------------------------------------------


def call(case: "Call", which: str) -> Built:
    """A function of tensors on its sample, in float32."""
    arrays = [array.astype(np.float32) for array in case.sample.arrays]
    if which == FORWARD:
        constants = [tg.Tensor(array) for array in arrays]
        return Built(tg.no_grad()(lambda: case.sample.function(*constants)))
    tensors = [tg.Tensor(array, requires_grad=True) for array in arrays]
    shape = case.sample.function(*tensors).shape
    cotangent = tg.Tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    return Built(lambda: tg.grad(case.sample.function(*tensors), tensors, cotangent, allow_unused=True))
