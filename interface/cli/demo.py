"""`tomograd demo`: from DICOM files to a report in three minutes, on a synthetic study that it writes itself."""

import time
from pathlib import Path
from typing import Annotated

import typer

from tomograd.cli.options import Force, Output, Seed

LIMITS = (
    "The images are synthetic: drawn by a program, not taken of people. A model trained on them knows nothing of real "
    "lungs, and its scores say nothing about how it would do on them.",
    "The nodules are drawn by a few rules (blurred, slightly irregular blobs), which a network learns faster than the "
    "variety of real ones; and the masks are exactly right, which no hand-drawn mask is.",
)


def command(
    output: Output = Path("tomograd-demo"),
    seed: Seed = 0,
    epochs: Annotated[int, typer.Option(help="Passes over the training slices.", min=1)] = 12,
    patients: Annotated[int, typer.Option(help="Synthetic patients to draw.", min=5, max=999)] = 40,
    slices: Annotated[int, typer.Option(help="Slices of each patient.", min=1, max=40)] = 10,
    size: Annotated[int, typer.Option(help="Side of a slice in pixels.", min=48, max=512)] = 96,
    force: Force = False,
) -> None:
    """Draw a synthetic chest-CT study as DICOM files, train a U-Net on it, and show how it does on unseen patients."""
    started = time.time()
    from tomograd import imaging, report
    from tomograd.report.folder import check_output, written_folder

    report.check_libraries()
    check_output(output, force)
    from tomograd.pipeline import study as studies
    from tomograd.pipeline.experiment import closing_table, run
    from tomograd.pipeline.settings import Settings

    settings = Settings(
        architecture="unet",
        epochs=epochs,
        steps=None,
        batch_size=8,
        crop=None,
        base_filters=12,
        depth=3,
        learning_rate=4e-3,
        augment=True,
        window=None,
        seed=seed,
    )
    with written_folder(output, force) as folder:
        clock = time.perf_counter()
        imaging.write_study(folder / "study", patients, slices, size, seed)
        times = {"drawing the study": time.perf_counter() - clock}
        clock = time.perf_counter()
        study = studies.load(folder / "study", "segment", class_names=["background", "nodule"])
        parts = studies.split(study, seed=seed)
        study.path = str(output / "study")  # where it will be in a moment
        times["reading the study"] = time.perf_counter() - clock
        print(studies.announcement(study, parts))
        title = "Nodules in synthetic CT slices, found by a U-Net"
        _, evaluation = run(study, parts, settings, folder, title, started, times, LIMITS)
    print("\n" + closing_table(evaluation, study.task))
    print(f"\nreport: {output / 'index.html'} ({time.time() - started:.0f} s in all)")
    largest = max(parts["test"], key=lambda i: study.targets[i].sum())
    scan = output / "study" / "images" / f"{study.names[largest]}.dcm"
    print(f"try:    tomograd predict {output / 'model.safetensors'} {scan}")
