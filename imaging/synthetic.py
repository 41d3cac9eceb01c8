"""`write_study`: a small study of synthetic chest CT slices as DICOM files, with masks of the nodules in them.

For demonstrations and tests where no real patient's images can be used. See imaging.phantom for what is drawn.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ImagingError
from .phantom import FIELD_OF_VIEW, SLICE_SPACING, Chest
from .raster import png_bytes

CT_IMAGE_STORAGE: Any = "1.2.840.10008.5.1.4.1.1.2"
INTERCEPT = -1024
SLICES_PER_NODULE = 3  # a nodule is seen in three to eight slices: most slices show one, some none


@dataclass(frozen=True)
class Study:
    """What `write_study` wrote: `images` and `masks` belong together by position."""

    folder: Path
    images: tuple[Path, ...]
    masks: tuple[Path, ...]


def write_study(
    folder: str | os.PathLike[str], patients: int = 20, slices: int = 12, size: int = 96, seed: int = 0
) -> Study:
    """Write `patients` × `slices` CT slices of `size` × `size` pixels into `folder`, the same ones for the same seed.

    folder/images/SYNTHETIC-0001/slice-000.dcm: CT Image Storage, Hounsfield units as int16 with rescale slope 1 and
    intercept −1024, pixel spacing, positions 5 mm apart, a lung and a soft-tissue window, and patients that are
    plainly synthetic. folder/masks/SYNTHETIC-0001/slice-000.png: 255 where a nodule is, else 0.

    Vessels, heart and chest wall are as bright as nodules, so that brightness alone finds none. The folder must not
    exist yet, or be empty; it appears when everything is written. Raises ImagingError otherwise, and for a size
    outside of 48 to 512 or counts below 1.
    """
    for name, value, low, high in (
        ("patients", patients, 1, 9999),
        ("slices", slices, 1, 40),
        ("size", size, 48, 512),
        ("seed", seed, 0, 2**63),
    ):
        if not low <= value <= high:
            raise ImagingError(folder, f"{name} is {value}, expected {low} to {high}")
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ImagingError(folder, "exists already and is not an empty folder")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise ImagingError(folder, f"cannot be written: {error.strerror or error}") from error
    try:
        written = [_write_patient(work, number, slices, size, seed) for number in range(1, patients + 1)]
        work.chmod(0o755)
        if target.exists():
            target.rmdir()
        work.rename(target)
    except OSError as error:
        raise ImagingError(folder, f"cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    names = [name for patient in written for name in patient]
    return Study(
        target,
        tuple(target / "images" / f"{name}.dcm" for name in names),
        tuple(target / "masks" / f"{name}.png" for name in names),
    )


def _write_patient(folder: Path, number: int, slices: int, size: int, seed: int) -> list[str]:
    """Write one patient's slices and masks; returns their names, SYNTHETIC-0001/slice-000 and so on."""
    generator = np.random.default_rng([seed, number])
    identifier = f"SYNTHETIC-{number:04d}"
    for kind in ("images", "masks"):
        (folder / kind / identifier).mkdir(parents=True)
    length = (slices - 1) * SLICE_SPACING
    low = generator.uniform(-65, max(-65, 55 - length))
    nodules = max(1, round(slices / SLICES_PER_NODULE))
    chest = Chest.random(generator, low, low + length, FIELD_OF_VIEW / size, nodules)
    names = []
    for index in range(slices):
        z = low + index * SLICE_SPACING
        hounsfield, mask = chest.slice(z, size, generator)
        name = f"{identifier}/slice-{index:03d}"
        dataset = _dataset(hounsfield, number, index, z, seed)
        dataset.save_as(folder / "images" / f"{name}.dcm", enforce_file_format=True)
        (folder / "masks" / f"{name}.png").write_bytes(png_bytes(mask))
        names.append(name)
    return names


def _dataset(hounsfield: np.ndarray, number: int, index: int, z: float, seed: int) -> Any:
    """One slice as a pydicom Dataset of CT Image Storage (DICOM PS3.3 A.3)."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    size = len(hounsfield)
    pixel = FIELD_OF_VIEW / size
    stored = np.clip(np.rint(hounsfield), INTERCEPT, 3071).astype(np.int16) - np.int16(INTERCEPT)

    def uid(*what: object) -> Any:
        return generate_uid(entropy_srcs=["tomograd synthetic study", str(seed), str(size), *map(str, what)])

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CT_IMAGE_STORAGE
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid("image", number, index)
    _describe(dataset, number)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid("study", number), uid("series", number)
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = uid("frame of reference", number), ""
    dataset.SeriesNumber, dataset.AcquisitionNumber, dataset.InstanceNumber = 1, 1, index + 1
    dataset.PixelSpacing = [_decimal(pixel), _decimal(pixel)]
    corner = _decimal((pixel - FIELD_OF_VIEW) / 2)
    dataset.ImagePositionPatient = [corner, corner, _decimal(z)]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SliceThickness = SLICE_SPACING
    dataset.SliceLocation = _decimal(z)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, INTERCEPT, "HU"
    dataset.WindowCenter, dataset.WindowWidth = [-600, 40], [1500, 400]
    dataset.WindowCenterWidthExplanation = ["LUNG", "SOFT TISSUE"]
    dataset.PixelData = stored.astype("<i2").tobytes()
    return dataset


def _describe(dataset: Any, number: int) -> None:
    """Who and what: nobody, and nothing that was ever scanned."""
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.DerivationDescription = "Computed from formulas; not an image of a patient"
    dataset.Modality, dataset.Manufacturer = "CT", "tomograd"
    dataset.StudyDescription = dataset.SeriesDescription = "Synthetic chest CT"
    dataset.StudyDate = dataset.ContentDate = "20000101"
    dataset.StudyTime = dataset.ContentTime = "000000"
    dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.StudyID = ""
    dataset.PatientName, dataset.PatientID = f"Synthetic^Patient{number:04d}", f"SYNTHETIC-{number:04d}"
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.PatientIdentityRemoved, dataset.DeidentificationMethod = "YES", "Synthetic: there is no patient"
    dataset.BurnedInAnnotation, dataset.PatientPosition = "NO", "HFS"
    dataset.KVP = None


def _decimal(value: float) -> str:
    """A number for DICOM's decimal strings, which hold 16 characters."""
    return f"{value:.6f}"
