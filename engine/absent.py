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
        **dict.fromkeys(
            ("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"), "take TimeDistributed convolutions and an LSTM over them"
        ),
        "GroupQueryAttention": "take MultiHeadAttention",
        "InputSpec": "layers check their inputs themselves, in `_check_input_shape`",
        "ReversibleEmbedding": "take an Embedding, and matmul with its transposed weights",
    },
    "losses": {},
    "metrics": {},
    "models": {},
    "optimizers": {
        "Adafactor": "AdamW keeps twice as much for each weight, which our models have room for",
        "LossScaleOptimizer": "there is no float16 arithmetic that would need it",
        "MultiOptimizer": "train parts of a model with optimizers of their own in a train_step",
        "Muon": "made for the matrices of language models; AdamW or Lion train what is here",
        "OptimizerMap": "as MultiOptimizer",
    },
    "optimizers.schedules": {},
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
        "clear_session": "there is no session to clear",
        "get_source_inputs": "a Model's inputs are its `inputs`",
        "is_keras_tensor": "ask isinstance(x, tomograd.engine.layers.Symbol)",
        "model_to_dot": "plot_model draws SVG by itself, without Graphviz",
        "standardize_dtype": "numpy.dtype does it",
    },
}


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
