"""`Settings`: what a training is asked to do; stated in the report, and compared when a run is resumed."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tomograd.failures import UserError
from tomograd.files import written


@dataclass(frozen=True)
class Settings:
    """architecture: "unet" for masks; "cnn", "resnet" or "densenet" for classes. epochs and steps: one of them; steps
    is the number of all optimizer steps.

    crop: side of the squares cut from larger images in segmentation, None for whole images. augment: flips, turns,
    scalings. window: level and width to clip to, or None. device: where it is trained.
    """

    architecture: str
    epochs: int | None
    steps: int | None
    batch_size: int
    crop: int | None
    base_filters: int
    depth: int
    learning_rate: float
    augment: bool
    window: tuple[float, float] | None
    seed: int
    device: str = "cpu"

    def config(self) -> dict[str, Any]:
        return asdict(self)


def remember(path: Path, settings: Settings, data: dict[str, Any], resume: bool) -> None:
    """Write what this run was asked for into `path`; when resuming, check that it was asked the same before.

    data: what identifies the training data. Raises UserError where the two differ, naming the first difference.
    """
    asked = json.loads(json.dumps({**settings.config(), "data": data}))
    if not resume or not path.exists():
        with written(path) as file:
            file.write(json.dumps(asked, indent=1).encode())
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(path, f"is damaged ({error}); start again without --resume and with --force") from error
    for name, value in asked.items():
        if before.get(name) != value:
            what = "the data or their split" if name == "data" else f"{name.replace('_', ' ')} {before.get(name)}"
            now = "others" if name == "data" else value
            raise UserError(
                path.parent, f"the interrupted run had {what}, now it is asked for {now}: resume with the same options"
            )
