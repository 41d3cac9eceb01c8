"""What Keras has and tomograd has not: names with the reason, so that asking for one raises an error that says so.

A module of public names takes `__getattr__ = absent("layers", __name__)` for the names of a subject.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

_PHOTOGRAPHS = "an augmentation of colour photographs; write it as a step of your data set"
_TEXT = "a lookup of words or keys; do it before the data reach the model"
_OTHER_ENGINE = "it wraps a model of another engine"
_FILES = "reading folders and images is tomograd.imaging's"
_CODE = "files of tomograd hold no code"
_VALUES = "NumPy's function takes the values; no gradient of it is written here"
_WHOLE = "NumPy's function takes the values, which have no gradient"

ABSENT: dict[str, dict[str, str]] = {
    "activations": {},
    "callbacks": {
        "OrbaxCheckpoint": "it is JAX's format; ModelCheckpoint and BackupAndRestore write safetensors",
        "RemoteMonitor": "it sends logs over the network; a LambdaCallback can",
    },
    "constraints": {},
    "initializers": {"STFT": "there are no layers of spectrograms", "STFTInitializer": "as STFT", "stft": "as STFT"},
    "layers": {
        **dict.fromkeys(
            (
                "AugMix",
                "AutoContrast",
                "ContrastLimitedAdaptiveHistogramEqualization",
                "CutMix",
                "Equalization",
                "MixUp",
                "Pipeline",
                "RandAugment",
                "RandomColorDegeneration",
                "RandomColorJitter",
                "RandomElasticTransform",
                "RandomErasing",
                "RandomGaussianBlur",
                "RandomGrayscale",
                "RandomHue",
                "RandomInvert",
                "RandomPerspective",
                "RandomPosterization",
                "RandomSaturation",
                "RandomSharpness",
                "RandomShear",
                "Solarization",
            ),
            _PHOTOGRAPHS,
        ),
        **dict.fromkeys(
            (
                "CategoryEncoding",
                "Discretization",
                "HashedCrossing",
                "Hashing",
                "IntegerLookup",
                "StringLookup",
                "TextVectorization",
            ),
            _TEXT,
        ),
        **dict.fromkeys(("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"), _OTHER_ENGINE),
        **dict.fromkeys(("MelSpectrogram", "STFTSpectrogram"), "a transform of sound"),
        "MaxNumBoundingBoxes": "there are no layers that take boxes",
        "GroupQueryAttention": "take MultiHeadAttention",
        "InputSpec": "layers check their inputs themselves, in `_check_input_shape`",
        "ReversibleEmbedding": "take an Embedding, and matmul with its transposed weights",
    },
    "losses": {},
    "metrics": {},
    "models": {},
    "ops": {
        **dict.fromkeys(
            (
                *(
                    "arccos",
                    "arccosh",
                    "arcsin",
                    "arcsinh",
                    "arctan",
                    "arctan2",
                    "arctanh",
                    "cbrt",
                    "cdist",
                    "corrcoef",
                ),
                *("correlate", "cross", "cumprod", "cumsum", "deg2rad", "diag", "diagflat", "diagonal", "diff", "erf"),
                *("erfc", "erfinv", "fmax", "fmin", "fmod", "hypot", "i0", "kron", "ldexp", "logaddexp2", "median"),
                *("nan_to_num", "nancumprod", "nancumsum", "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile"),
                *("nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "percentile", "ptp", "quantile", "rad2deg"),
                *("sinc", "trace", "trapezoid", "vander"),
            ),
            _VALUES,
        ),
        **dict.fromkeys(
            (
                *("argpartition", "bincount", "bitwise_and", "bitwise_invert", "bitwise_left_shift", "bitwise_not"),
                *("bitwise_or", "bitwise_right_shift", "bitwise_xor", "digitize", "gcd", "heaviside", "histogram"),
                *("in_top_k", "isin", "isneginf", "isposinf", "lcm", "left_shift", "multi_hot", "nanargmax"),
                *("nanargmin", "nextafter", "nonzero", "right_shift", "searchsorted", "signbit", "trunc", "unique"),
                "unravel_index",
            ),
            _WHOLE,
        ),
        **dict.fromkeys(
            ("bartlett", "blackman", "empty", "empty_like", "geomspace", "hamming", "hanning", "kaiser", "logspace"),
            "NumPy makes such arrays",
        ),
        **dict.fromkeys(("meshgrid", "tri"), "NumPy makes such arrays"),
        **dict.fromkeys(
            ("angle", "conj", "conjugate", "imag", "isreal", "polar", "real", "view_as_complex", "view_as_real"),
            "there are no complex numbers",
        ),
        **dict.fromkeys(
            ("extract_sequences", "fft", "fft2", "ifft2", "irfft", "istft", "rfft", "stft"),
            "there are no complex numbers, and no transforms of sound",
        ),
        **dict.fromkeys(
            (
                *("cholesky", "cholesky_inverse", "det", "eig", "eigh", "inv", "logdet", "lstsq", "lu_factor"),
                *("matrix_rank", "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd"),
            ),
            "numpy.linalg has it for arrays; no gradient of it is written here",
        ),
        **dict.fromkeys(
            ("associative_scan", "cond", "fori_loop", "map", "scan", "switch", "while_loop"),
            "Python's own loops and conditions are recorded as they run",
        ),
        **dict.fromkeys(("vectorize", "vectorized_map"), "functions here take whole batches"),
        **dict.fromkeys(
            ("scatter", "scatter_update", "segment_max", "segment_min", "segment_prod", "segment_sum", "slice_update"),
            "computed tensors are not written to; take where, concatenate, or matmul with one_hot",
        ),
        **dict.fromkeys(
            ("array_split", "dsplit", "dstack", "fliplr", "flipud", "hsplit", "rot90", "vsplit"),
            "take split, stack, flip and swapaxes",
        ),
        **dict.fromkeys(
            ("depth_to_space", "fold", "rearrange", "space_to_depth", "unfold", "view"), "take reshape and transpose"
        ),
        **dict.fromkeys(("tensordot", "vdot"), "take einsum"),
        **dict.fromkeys(("adaptive_average_pool", "adaptive_max_pool"), "take the layer"),
        **dict.fromkeys(
            ("batch_normalization", "layer_normalization", "rms_normalization"),
            "take the layer, or batch_norm and layer_norm of tg.functional",
        ),
        "ctc_decode": "it searches for words in sound",
        "ctc_loss": "take losses.CTC",
        "custom_gradient": "write a Function (see tomograd.engine.tape)",
        "dot_product_attention": "take scaled_dot_product_attention of tg.functional",
        "dtype": "ask x.dtype",
        "jvp": "gradients go from results to arguments: tg.grad",
        "psnr": "metrics.MeanSquaredError and a logarithm give it",
        "saturate_cast": "take clip and cast",
        "select": "take where",
    },
    "optimizers": {
        "Adafactor": "AdamW keeps twice as much for each weight, which our models have room for",
        "LossScaleOptimizer": "layers compute in float32 and float64, which need none",
        "MultiOptimizer": "train parts of a model with optimizers of their own in a train_step",
        "Muon": "made for the matrices of language models; AdamW or Lion train what is here",
        "OptimizerMap": "as MultiOptimizer",
    },
    "optimizers.schedules": {},
    "random": dict.fromkeys(
        ("beta", "binomial", "categorical", "gamma"),
        "NumPy draws it: tomograd.random.generator().numpy is its Generator",
    ),
    "regularizers": {},
    "utils": {
        **dict.fromkeys(
            (
                "array_to_img",
                "audio_dataset_from_directory",
                "get_file",
                "image_dataset_from_directory",
                "img_to_array",
                "load_img",
                "save_img",
                "text_dataset_from_directory",
            ),
            _FILES,
        ),
        **dict.fromkeys(
            (
                "CustomObjectScope",
                "custom_object_scope",
                "deserialize_keras_object",
                "get_custom_objects",
                "get_registered_name",
                "get_registered_object",
                "register_keras_serializable",
                "serialize_keras_object",
            ),
            f"{_CODE}; tomograd.models.register names a class for load_model",
        ),
        **dict.fromkeys(
            ("disable_interactive_logging", "enable_interactive_logging", "is_interactive_logging_enabled"),
            "a terminal gets a progress bar and a file plain lines; `verbose` says whether",
        ),
        **dict.fromkeys(
            ("split_dataset", "timeseries_dataset_from_array"), "data sets are arrays, PyDataset or tomograd.imaging's"
        ),
        "Config": "a dict does it",
        "FeatureSpace": _TEXT,
        "Progbar": "callbacks.ProgressBar shows a training's progress",
        "get_source_inputs": "a Model's inputs are its `inputs`",
        "is_keras_tensor": "ask isinstance(x, tomograd.engine.layers.Symbol)",
        "model_to_dot": "plot_model draws SVG by itself, without Graphviz",
        "standardize_dtype": "numpy.dtype does it",
    },
}


ABSENT_AT_TOP: dict[str, str] = {
    **dict.fromkeys(
        ("DTypePolicy", "FloatDTypePolicy", "dtype_policies", "mixed_precision"),
        'arithmetic is float32 or float64: give layers dtype="float64"',
    ),
    **dict.fromkeys(("Quantizer", "quantizers"), "weights are float32 or float64"),
    **dict.fromkeys(("Function", "Operation"), "functions of tomograd.ops and tomograd.functional take symbols"),
    **dict.fromkeys(
        ("RematScope", "StatelessScope", "SymbolicScope", "name_scope", "remat"),
        "it belongs to one of Keras's backends",
    ),
    **dict.fromkeys(("device", "distribution"), 'model.to("cuda") and fit(device="cuda") say where is computed'),
    "GradientTape": "it is TensorFlow's; take loss.backward(), or tomograd.grad(loss, weights)",
    "InputSpec": "layers check their inputs themselves, in `_check_input_shape`",
    "KerasTensor": "a symbol is a tomograd.engine.layers.Symbol",
    "applications": "weights of others are not shipped; tomograd.models has ResNet, DenseNet, CNN and UNet, and "
    "load_torch_weights",
    "backend": "take tomograd.ops, and set_random_seed and clear_session of tomograd.utils",
    "config": "there is nothing to configure: layers take dtype",
    "datasets": "tomograd.imaging reads files; nothing is fetched from the network",
    "distillation": "override compute_loss",
    "export": "models are saved as safetensors, and run by tomograd",
    "legacy": "names are those of Keras 3",
    "preprocessing": "tomograd.imaging reads images; layers such as RandomFlip augment them",
    "saving": "tomograd.models has save_model, load_model and register",
    "src": "tomograd's own parts are tomograd.engine, tomograd.kernels and tomograd.models",
    "tree": "tomograd.engine.layers.symbolic has flatten and map_structure",
    "version": "tomograd.__version__ tells it",
    "visualization": "tomograd.utils.plot_model draws models",
    "wrappers": "scikit-learn's estimators are not wrapped",
}
"""Names of the module keras itself, and one that programs of TensorFlow's expect."""

ABSENT_METHODS: dict[str, str] = {
    **dict.fromkeys(
        ("forward", "named_parameters", "rematerialized_call", "stateless_call", "stateless_compute_loss"),
        "it belongs to one of Keras's backends",
    ),
    **dict.fromkeys(
        ("make_predict_function", "make_test_function", "make_train_function"),
        "steps are run as they are written; override train_step, test_step or predict_step",
    ),
    **dict.fromkeys(
        ("get_quantization_layer_structure", "quantize", "quantized_build", "quantized_call"),
        "weights are float32 or float64",
    ),
    **dict.fromkeys(
        ("get_state_tree", "load_own_variables", "save_own_variables", "set_state_tree"),
        "take named_weights, get_weights and set_weights",
    ),
    **dict.fromkeys(("build_from_config", "get_build_config"), "a file holds the shape that a model was built for"),
    "add_metric": "give metrics to compile, or override compute_metrics",
    "add_variable": "take add_weight",
    "compute_output_spec": "take compute_output_shape",
    "export": "models are saved as safetensors, and run by tomograd",
    "symbolic_call": "call the model on an Input",
}
"""Methods of keras.Model."""


def absent(subject: str, module: str) -> Callable[[str], Any]:
    """A module's `__getattr__`: an AttributeError that tells a name of Keras's that is missing from an unknown one."""

    def __getattr__(name: str) -> NoReturn:
        why = ABSENT[subject].get(name)
        if why is None:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise AttributeError(f"keras.{subject}.{name} is not in tomograd: {why}")

    return __getattr__
