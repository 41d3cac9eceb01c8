"""Where our arguments differ from Keras's on purpose, with the reason; and examples of arguments that must be given.

The tests allow these differences and no other, and docs/keras.md is made from them.
"""

from __future__ import annotations

from typing import Any

# (subject, name) → argument, or "order", → why
DIFFERENT: dict[tuple[str, str], dict[str, str]] = {
    **{
        ("layers", name): {"order": "data_format stands behind output_padding, as in one and two dimensions"}
        for name in ("Conv3DTranspose", "Convolution3DTranspose")
    },
    ("utils", "plot_model"): {"to_file": '"model.svg" by default: pictures are SVG'},
}
DIFFERENT |= {
    ("metrics", name): {"num_thresholds": "None, the default, is exact, from all scores; a number gives Keras's value"}
    for name in (
        "AUC",
        "PrecisionAtRecall",
        "RecallAtPrecision",
        "SensitivityAtSpecificity",
        "SpecificityAtSensitivity",
    )
}

# What behaves otherwise: (what, in Keras, here)
BEHAVIOUR: list[tuple[str, str, str]] = [
    (
        "data layout",
        "`data_format` chooses",
        'channels last, `(N, *spatial, C)`; `data_format="channels_first"` is an error',
    ),
    (
        "float64",
        "computed in float32 outside of TensorFlow, whatever `floatx` says",
        "computed in float64",
    ),
    (
        "shapes in losses and metrics",
        "broadcast silently: (N,) against (N, 1) gives N × N numbers",
        "one axis of size 1 at the end is matched; all else is an error",
    ),
    (
        "sample weights",
        "line up with the last axes",
        "line up with the first axes: one weight for each example, or for each of its positions",
    ),
    (
        "losses near 0",
        "1e-7 in Dice, Tversky, KL divergence and squared logarithmic error",
        "exact, with 0·log 0 = 0 and a region empty in both hit; cosines of the shortest vectors too",
    ),
    (
        "an ignored class",
        "in the metric of sparse cross-entropy, counts as zeros unless there are weights",
        "does not count",
    ),
    (
        "`IoU`",
        "rounds weights to whole numbers and leaves out class indices out of range",
        "takes weights as they are; an index out of range is an error",
    ),
    (
        "metrics without a value",
        "0 (an area with one class alone, say)",
        "NaN while one class alone was seen; over no samples, an error",
    ),
    (
        "`F1Score`, `FBetaScore` of one score a sample",
        "everything is found unless a threshold is given",
        "found above 0.5",
    ),
    (
        "`R2Score`",
        "adjusted by the number of elements; NaN for a constant truth",
        "adjusted by the number of samples; a constant truth scores 1 if hit, else 0",
    ),
    (
        "`sparsemax`",
        "wrong on PyTorch: rows do not add up to 1",
        "the projection onto the simplex",
    ),
    (
        'average pooling, padding="same"',
        "on PyTorch, where the padding is odd, the border counts twice",
        "padding does not count",
    ),
    (
        "a recurrent layer with a mask and an `initial_state`",
        "ignores the mask, as every layer with two inputs does that asks for `mask`",
        "skips the masked steps: `mask` is the first input's",
    ),
    (
        "the mask of outputs with `go_backwards=True`",
        "stands the other way round than the outputs",
        "is turned round with them",
    ),
    (
        "a mask and metrics",
        "heeded by means of a function alone",
        "weighs 0 in all metrics",
    ),
    (
        "a mask and `sample_weight`, on PyTorch",
        "the loss writes the mask into the array of weights that it was given",
        "the weights stay as they are",
    ),
    (
        "`GlobalAveragePooling1D` of a sequence that is masked altogether",
        "NaN",
        "an error",
    ),
    (
        "`TimeDistributed(BatchNormalization())` in training",
        "statistics of each step by itself, one after the other",
        "statistics over all steps: the layer is called once, with the steps folded into the batch",
    ),
    (
        "masks of more than two axes through `TimeDistributed`",
        "stay as they are, too long for the outputs",
        "go into the layer; the output has the mask that comes out, or (N, T)",
    ),
    (
        "`recurrent_dropout` together with `dropout`",
        "each gate draws its own share of the inputs",
        "each gate draws its own share of the state, all share that of the inputs; a rate of 1 drops everything",
    ),
    (
        "states of stateful layers",
        "not among the weights, lost in files",
        "weights that are not trained: files and backups hold them",
    ),
    (
        "`Bidirectional(weights=…)`",
        "taken, and never used",
        "the weights to begin with",
    ),
    (
        "`Masking(mask_value=nan)`",
        "masks nothing",
        "masks steps whose values are all missing; `step_axes` takes steps that are images",
    ),
    (
        "`unroll`, `use_cudnn`",
        "choose how it is computed",
        "change nothing; `use_cudnn=True` is an error",
    ),
    (
        "masks that hide everything from a query",
        "`Attention` gives the mean of what is hidden",
        "weights 0, so 0",
    ),
    ("`SpectralNormalization(Embedding(…))`", "the output is cut to integers", "the embedding's rows"),
    ("`MultiHeadAttention(query_mask=…)`", "ignored", "hides these queries"),
    ("`GlobalAveragePooling1D` of no steps", "NaN", "an error"),
    (
        "averages of weights beside gathered gradients",
        "move in every call, and forget gradients of a weight that has none in the last one",
        "move with the steps; nothing that was gathered is forgotten",
    ),
    ("`clipnorm=0`", "means none", "an error"),
    ("`ScheduleFreeAdamW`", "averages the wrong iterates on PyTorch", "the averages of the paper"),
    ("labels and outputs of masked steps", "enter loss and metrics as they are", "may be anything: they do not count"),
    (
        "`jit_compile=True`",
        "the backend's compiler",
        "steps captured into CUDA graphs on a GPU; a warning that says why where that cannot be",
    ),
    ("`schedules.OneCycle`", "not there", "Smith's one cycle, as PyTorch defines it"),
    ("a loss that is NaN", "training goes on", "an error that says where it came from, before any weight is changed"),
    (
        "a callback that watches a number",
        "warns and does nothing where the logs lack it; a first value of NaN stays the best for ever",
        "an error; NaN is never better",
    ),
    (
        "`BackupAndRestore`",
        "goes back to the beginning of an epoch with the weights of its middle; removes the folder with all in it",
        "goes on at the very step, bit for bit; a damaged backup is refused; removes its own files only",
    ),
    (
        "`CSVLogger`",
        "the first epoch's columns, sorted, and without validation each once more as `val_…`",
        "columns in the order of the logs; one that appears later is added",
    ),
    (
        "`LambdaCallback(on_epoch_finish=…)`",
        "taken, and never called",
        "an error: there is no such event",
    ),
    (
        "`SwapEMAWeights`",
        "leaves the averages in the model after `predict`; loses them where `swap_on_epoch` meets an early stop",
        "puts the weights back; the averages are there in the end",
    ),
    (
        "`TensorBoard`",
        "needs TensorFlow",
        "writes its files itself; `profile_batch`, `embeddings_freq` and `embeddings_metadata` are errors",
    ),
    (
        "a full disk",
        "ends the training, whatever is written",
        "a log waits for room with a warning; saving is an error",
    ),
    (
        "`trainable` after `compile`",
        "documented to wait for the next `compile`, and followed at once on some backends",
        "waits for the next `compile` (a frozen batch normalisation uses its averages at once)",
    ),
    ("class and sample weights in `fit`", "not both", "multiplied"),
    (
        "weights within `MaxNorm` or `MinMaxNorm`",
        "shrink at every step, by norm/(norm + 1e-7)",
        "stay to the last bit",
    ),
    (
        '`regularizers.get("l1_l2")`',
        "unknown; `l1l2` is one without a penalty",
        "`L1L2(0.01, 0.01)`, as Keras documents it",
    ),
    ("`OrthogonalRegularizer` of one row", "NaN", "0"),
    ("`HeNormal(input_axes=…)` without output_axes, and its like", "ignored", "an error"),
    (
        "an initializer object without a seed",
        "repeats its numbers at every call",
        "draws new ones",
    ),
    ("a Variable beside a symbol", "a constant, neither trained nor saved", "an error"),
    (
        '`RandomFlip("horizontal_and_vertical")`',
        "one draw for both directions: turned by 180°, or as it was",
        "a draw for each direction",
    ),
    (
        "`RandomCrop` outside of training, and of small images",
        "leaves the size as it is; distorts",
        "the largest part of the wanted ratio, resized, as Keras documents it",
    ),
    (
        "`RandomContrast(f)`",
        "a factor from 1 … 1 + f; a pair is sorted",
        "from 1 − f … 1 + f, or 1 − lower … 1 + upper, as Keras documents it",
    ),
    (
        "images and masks in a dict for a random layer",
        "on PyTorch masks are turned by another map than their images; the dict and the images are written to",
        "by the same map; nothing is written to; masks keep their type",
    ),
    (
        "a step of one's own",
        "gradients by TensorFlow's `GradientTape`, `jax.grad`, or PyTorch's `loss.backward()`",
        "`loss.backward()` as with PyTorch (`zero_grad`, `weight.value.grad`, `optimizer.apply` under `tg.no_grad()`), "
        "or `tg.grad(loss, weights)`; a batch holds NumPy's arrays",
    ),
    (
        "`model.metrics`, `model.metrics_names`",
        "the compiled metrics as one, `compile_metrics`",
        "each by itself, as they are logged; as one before the first batch",
    ),
    (
        "names of weights",
        '`name` "kernel", `path` "sequential/dense/kernel"',
        "both \"dense/kernel\": the layer's name and the weight's",
    ),
    (
        "`optimizer.learning_rate`, `optimizer.iterations`",
        "variables, with `assign` and `numpy`",
        "numbers: set them (`optimizer.learning_rate = 1e-4`)",
    ),
    (
        "`Variable(…)`",
        "an initializer or value, shape, dtype, trainable …",
        "a value, name, trainable, dtype, constraint; `Layer.add_weight` takes initializers, with Keras's arguments",
    ),
    ("`Model(inputs, outputs)` of symbols that layers gave as inputs", "the graph from there on", "an error"),
    (
        "`verbose=1` and `2`",
        "a bar of its own; two lines an epoch, metrics sorted by name",
        "a bar (rich's) in a terminal, lines in a file; a line an epoch, metrics in the order of `compile`",
    ),
    ("`ops.arange`, `argmax`, `argsort` …", "int32", "int64"),
    ("`ops.one_hot` of a negative index", "zeros", "an error, as for every index out of range"),
    ("`ops.dot`, `ops.average` with weights, on PyTorch", "broadcast otherwise than documented", "as NumPy has them"),
    ("`ops.top_k(sorted=False)`", "in any order", "the largest first"),
    (
        "`ops` of symbols that compare, sort or count",
        "symbols",
        "an error: put them into a layer's `call`, or a Lambda",
    ),
    (
        "`random.normal(…)` and its like without a seed",
        "numbers that `set_random_seed` decides",
        "so does `tg.random.seed`",
    ),
    (
        "labels outside of 0 … 1 in binary cross-entropy (a mask of 0 and 255; the noise of some GANs)",
        "computed from logits, an error from probabilities",
        "an error: such masks are the commoner mistake",
    ),
    (
        "`interpolation` of UpSampling2D and Resizing",
        '"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"',
        '"nearest" and "bilinear"; others are an error; UpSampling1D and 3D have it too',
    ),
    ("`BatchNormalization(axis=…)`", "any axis", "the last, of the channels; others are an error"),
    ("`dtype` of layers and weights", "a string; `dtype_policy`", "NumPy's type, which equals its name; no policies"),
    (
        "a layer of one's own without `get_config`",
        "written down by its constructor's arguments, which are noted",
        "by the attributes of the arguments' names; an error where one is not kept",
    ),
    ("`steps_per_epoch` beyond a pass", "ends the epoch with a warning", "the next pass follows"),
    (
        "`PyDataset.on_epoch_end`",
        "called once before the first epoch, too; draws from Python's `random`",
        "called after each epoch; the order is drawn from `tg.random`",
    ),
    ("`PyDataset(workers=…)`", "threads or processes", "one thread loads ahead of all data; 0: none"),
    (
        "`model.summary`",
        "the total counts what the optimizer keeps, its counters too; shapes of a model without `Input` have the first "
        "batch's size; question marks before it is built",
        "the total counts the model's weights; the batch is open; before it is built, an error",
    ),
    ("`to_categorical`", "takes −1 for the last class", "an error"),
    ("`normalize(axis=None)`", "the last axis", "all of the array"),
    ("`save(overwrite=False)`", "asks at the keyboard", "an error where the file exists"),
    ("files", "`.keras`, `.h5`, pickled code for lambdas", "safetensors with a configuration, no code"),
]

# Values for arguments that must be given, wherever they stand.
EXAMPLES: dict[str, Any] = {
    "activation": "relu",
    "dims": (1,),
    "filters": 2,
    "input_dim": 3,
    "kernel_size": 3,
    "noise_shape": None,
    "output_dim": 2,
    "pool_size": 2,
    "rate": 0.5,
    "scale": 1.0,
    "stddev": 1.0,
    "target_shape": (1,),
    "units": 2,
}
