"""Training a U-Net, a CNN, a ResNet or a DenseNet on a study; a run that was killed goes on where it stood."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tomograd as tg
from tomograd import imaging
from tomograd.failures import UserError
from tomograd.imaging.transforms import Transform
from tomograd.pipeline import baselines, normalization
from tomograd.pipeline.normalization import Normalization
from tomograd.pipeline.recipe import Recipe
from tomograd.pipeline.settings import Settings
from tomograd.pipeline.study import TASKS, Study, identity

F = tg.functional

WARM_UP = 0.05
"""Share of the steps over which the learning rate rises, before it falls along half a cosine to 0."""
WEIGHT_DECAY = 1e-4
DROPOUT = 0.3
"""Before the last layer of a CNN or a ResNet."""
LARGE = 128
"""Side of images, in pixels, from which residual and dense networks begin by halving them twice."""
LAYERS_OF_A_BLOCK = 4
"""Of a DenseNet."""
DICE_SMOOTH = 1.0
"""Added to both sides of the loss's Dice, in pixels: a batch without foreground has a gradient too."""


@dataclass
class Trained:
    """A trained model, how to use it, and how it came about. history: {name: [one value an epoch]}."""

    model: Any
    recipe: Recipe
    history: dict[str, list[float]]
    loss: str
    optimizer: str
    epochs: int
    steps: int
    seconds: float


class Prepared(imaging.DataSet):
    """Some images of a study, normalised once, as the data set that `imaging.Batches` takes."""

    def __init__(self, study: Study, indices: Iterable[int], normalize: Normalization) -> None:
        self.path, self.kind, self.task = study.path, study.kind, TASKS[study.task]
        self.class_names = tuple(study.classes)
        self.study, self.indices = study, list(indices)
        self.samples = [self._prepared(index, normalize) for index in self.indices]

    def _prepared(self, index: int, normalize: Normalization) -> imaging.Sample:
        target = self.study.targets[index]
        return imaging.Sample(
            image=normalize(self.study.images[index]),
            target=int(target) if self.study.task == "classify" else target[..., np.newaxis],
            name=self.study.names[index],
        )

    def __len__(self) -> int:
        return len(self.samples)

    def sample(self, index: int) -> imaging.Sample:
        return self.samples[index]

    def name(self, index: int) -> str:
        return self.samples[index].name

    def patient(self, index: int) -> str | None:
        return self.study.groups[self.indices[index]] if self.study.unit == "patient" else None

    def part_of(self, index: int) -> str | None:
        return self.study.parts[self.indices[index]]

    def label(self, index: int) -> int:
        return int(self.study.targets[self.indices[index]])


def train(study: Study, parts: Mapping[str, np.ndarray], settings: Settings, backup: Path | None) -> Trained:
    """Train on parts["train"]; parts["validation"] is only looked at. The weights are those after the last step.

    backup: a folder for the state of the run after every epoch; if one is there, the run goes on from it. It is not
        removed: a training that has ended is gone over at once when the run is started again.
    """
    started = time.perf_counter()
    tg.random.seed(settings.seed)
    recipe = make_recipe(study, parts, settings)
    batches = _batches(study, parts["train"], recipe, settings)
    epochs, steps_per_epoch = _length(len(batches), settings)
    model = build(recipe, settings)
    _start_at(model, study.shares(parts["train"]))
    optimizer = _optimizer(settings, epochs * steps_per_epoch)
    loss, loss_name, metric = _objective(recipe)
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric])
    callbacks = []
    if backup is not None:
        callbacks.append(tg.callbacks.BackupAndRestore(backup, double_checkpoint=True, delete_checkpoint=False))
    held_out = _validation(study, parts.get("validation", np.zeros(0, np.int64)), recipe, settings)
    try:
        history = model.fit(
            batches,
            epochs=epochs,
            steps_per_epoch=None if settings.steps is None else steps_per_epoch,
            validation_data=held_out,
            callbacks=callbacks,
            device=settings.device,
        ).history
    except tg.models.NonFiniteLossError as error:
        raise UserError(study.path, f"training stopped: {error}; a lower --learning-rate may help") from error
    return Trained(
        model,
        recipe,
        {name: [float(value) for value in values] for name, values in history.items()},
        loss_name,
        f"AdamW, learning rate {settings.learning_rate:g} (warm-up, then cosine to 0), weight decay {WEIGHT_DECAY:g}",
        epochs,
        epochs * steps_per_epoch,
        time.perf_counter() - started,
    )


def make_recipe(study: Study, parts: Mapping[str, np.ndarray], settings: Settings) -> Recipe:
    """All constants, from the training images only."""
    chosen = parts["train"]
    images = [study.images[i] for i in chosen]
    shares = study.shares(chosen)
    if (shares > 0).sum() < 2:
        only = study.classes[int(shares.argmax())]
        raise UserError(study.path, f"the training part holds one class only ({only}): there is nothing to learn")
    segments = study.task == "segment"
    small = next(
        (i for i in np.concatenate(list(parts.values())) if min(study.images[i].shape[:2]) < 2**settings.depth), None
    )
    if small is not None:
        height, width = study.images[small].shape[:2]
        raise UserError(
            study.path,
            f"{study.names[small]} is {height} × {width} pixels: too small for {settings.depth} halvings (--depth)",
        )
    return Recipe(
        task=study.task,
        classes=study.classes,
        channels=study.channels,
        size=None if segments else tuple(study.images[0].shape[:2]),
        least=2**settings.depth if segments else 1,
        normalization=normalization.fit(images, study.units, study.value_range, settings.window),
        threshold=0.5,
        invert_masks=study.invert_masks,
        spacing=study.mean_spacing(chosen),
        most_frequent=int(shares.argmax()),
        baseline=baselines.fit_intensity(images, [study.targets[i] for i in chosen], len(shares)) if segments else None,
        data=identity(study, parts),
    )


def build(recipe: Recipe, settings: Settings) -> Any:
    """The untrained model: logits out."""
    if settings.architecture == "unet":
        return tg.models.UNet(
            (None, None, recipe.channels),
            classes=recipe.outputs,
            base_filters=settings.base_filters,
            depth=settings.depth,
            normalization="batch",
        )
    height, width = recipe.size or (0, 0)
    shape = (height, width, recipe.channels)
    filters = tuple(settings.base_filters * 2**level for level in range(settings.depth))
    stem = "large" if min(height, width) >= LARGE else "small"
    if settings.architecture == "resnet":
        return tg.models.ResNet(shape, recipe.outputs, filters, stem=stem, dropout=DROPOUT)
    if settings.architecture == "densenet":
        blocks = (LAYERS_OF_A_BLOCK,) * settings.depth
        return tg.models.DenseNet(shape, recipe.outputs, settings.base_filters, blocks, stem=stem)
    return tg.models.CNN(
        shape,
        classes=recipe.outputs,
        filters=filters,
        padding="same",
        normalization="batch",
        kernel_initializer="he_normal",
        dropout=DROPOUT,
    )


def _start_at(model: Any, shares: np.ndarray) -> None:
    """Let the untrained model predict each class as often as it occurs, by the last layer's bias.

    Where the foreground is rare, the first epochs would otherwise only teach that it is (T.-Y. Lin et al., Focal Loss
    for Dense Object Detection, ICCV 2017, section 4.1).
    """
    logarithms = np.log(np.maximum(shares, 1e-4))
    bias = model.get_layer("classes").bias
    bias.assign((logarithms if bias.shape[0] == len(shares) else logarithms[1:] - logarithms[:1]).astype(np.float32))


def cross_entropy_and_dice(y_true: Any, logits: Any) -> Any:
    """Binary cross-entropy plus 1 − Dice, both over all pixels of the batch: a scalar.

    The first has a gradient wherever a pixel is wrong, the second does not mind how rare the foreground is. Dice over
    the batch, not over each image: an image with an empty mask would have a Dice near 0 for a single wrong pixel
    (F. Milletari et al., V-Net, 3DV 2016; F. Isensee et al., nnU-Net, Nature Methods 18, 2021).
    """
    truth = tg.Tensor(np.asarray(y_true, logits.dtype).reshape(logits.shape))
    entropy = F.mean(F.softplus(logits) - logits * truth)
    probability = F.sigmoid(logits)
    overlap = F.sum(probability * truth)
    sizes = F.sum(probability) + F.sum(truth)
    return entropy + 1.0 - (2.0 * overlap + DICE_SMOOTH) / (sizes + DICE_SMOOTH)


def _objective(recipe: Recipe) -> tuple[Any, str, Any]:
    """(loss, its name for the report, the metric to watch)."""
    if recipe.outputs == 1:
        metric = tg.metrics.Dice(threshold=recipe.threshold, from_logits=True, average="pixels")
        return cross_entropy_and_dice, "binary cross-entropy + 1 − Dice", metric
    loss = tg.losses.SparseCategoricalCrossentropy(from_logits=True)
    if recipe.task == "segment":
        metric = tg.metrics.Dice(average="pixels", class_ids=range(1, len(recipe.classes)))
        return loss, "cross-entropy of the pixels", metric
    return loss, "cross-entropy", tg.metrics.SparseCategoricalAccuracy(name="accuracy")


def _optimizer(settings: Settings, steps: int) -> Any:
    warm_up = max(1, round(WARM_UP * steps))
    schedule = tg.optimizers.schedules.CosineDecay(
        settings.learning_rate / warm_up,
        max(1, steps - warm_up),
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
    )
    return tg.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY)


def _length(natural: int, settings: Settings) -> tuple[int, int]:
    """(epochs, steps of each): `natural` steps an epoch; where settings.steps is given never more than that in all."""
    if settings.steps is None:
        return settings.epochs or 1, natural
    epochs = max(1, math.ceil(settings.steps / natural))
    return epochs, max(1, settings.steps // epochs)


def _batches(study: Study, indices: np.ndarray, recipe: Recipe, settings: Settings) -> imaging.Batches:
    """The training batches: whole images where they are of one size and no larger than a crop, else random crops."""
    data = Prepared(study, indices, recipe.normalization)
    sizes = {sample.image.shape[:2] for sample in data.samples}
    smallest = tuple(min(size[axis] for size in sizes) for axis in (0, 1))
    piece = tuple(min(side, settings.crop or side) for side in smallest)
    cropped = recipe.task == "segment" and (len(sizes) > 1 or piece != smallest)
    steps: list[Transform] = [imaging.RandomCrop(piece)] if cropped else []
    if settings.augment:
        steps += _augmentation(recipe, cropped, square=piece[0] == piece[1])
    length = None
    if cropped:
        area = sum(sample.image.shape[0] * sample.image.shape[1] for sample in data.samples)
        length = math.ceil(area / (piece[0] * piece[1]) / settings.batch_size)
    size = min(settings.batch_size, len(data))
    return imaging.Batches(data, size, steps, seed=settings.seed, drop_last=length is None, length=length)


def _augmentation(recipe: Recipe, cropped: bool, square: bool) -> list[Transform]:
    """Masks: mirrored, turned by quarters, brighter or darker; whole images also turned and scaled a little (a crop
    would be continued beyond its edge by guesses). Classes: mirrored left and right, turned and scaled a little.
    """
    if recipe.task == "classify":
        return [imaging.RandomFlip(vertical=False), imaging.RandomAffine(8.0, (0.9, 1.1))]
    steps: list[Transform] = [imaging.RandomFlip()]
    if square:
        steps.append(imaging.RandomQuarterTurn())
    if not cropped:
        steps.append(imaging.RandomAffine(15.0, (0.85, 1.15)))
    return [*steps, imaging.RandomBrightness(0.1, 0.1)]


def _validation(study: Study, indices: np.ndarray, recipe: Recipe, settings: Settings) -> imaging.Batches | None:
    """Batches of the validation images, as they are; one by one where they differ in size."""
    if not len(indices):
        return None
    data = Prepared(study, indices, recipe.normalization)
    same = len({sample.image.shape for sample in data.samples}) == 1
    return imaging.Batches(data, settings.batch_size if same else 1, shuffle=False, seed=settings.seed)
