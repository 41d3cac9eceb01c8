"""Real images where they are at hand, and DICOM files made to order."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def dicom_folder(data_folder):
    if not (data_folder / "dicom" / "manifest.json").exists():
        pytest.skip(f"no real DICOM files at {data_folder / 'dicom'}")
    return data_folder / "dicom"


@pytest.fixture
def make_dicom(tmp_path):
    """`make(name, stored, **elements)` writes a DICOM file and returns its path.

    stored: (H, W), (frames, H, W) or (…, 3) of uint8 to int32 or float32. An element given as None is left out.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    def make(name, stored, syntax=ExplicitVRLittleEndian, pixels=None, **elements):
        stored = np.asarray(stored)
        color = stored.ndim > 2 and stored.shape[-1] == 3
        spatial = stored.shape[:-1] if color else stored.shape
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        uid = generate_uid(entropy_srcs=["test", str(name)])
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = uid
        bits = stored.dtype.itemsize * 8
        values = {
            "Modality": "OT",
            "PatientID": "TEST",
            "SeriesInstanceUID": "1.2.3",
            "SamplesPerPixel": 3 if color else 1,
            "PhotometricInterpretation": "RGB" if color else "MONOCHROME2",
            "Rows": spatial[-2],
            "Columns": spatial[-1],
            "BitsAllocated": bits,
            "BitsStored": bits,
            "HighBit": bits - 1,
            "PixelRepresentation": int(stored.dtype.kind == "i"),
        }
        if color:
            values["PlanarConfiguration"] = 0
        if len(spatial) == 3:
            values["NumberOfFrames"] = spatial[0]
        values.update(elements)
        for keyword, value in values.items():
            if value is not None:
                setattr(dataset, keyword, value)
        data = stored.astype(stored.dtype.newbyteorder("<")).tobytes() if pixels is None else pixels
        if data:
            keyword = "FloatPixelData" if stored.dtype.kind == "f" else "PixelData"
            setattr(dataset, keyword, data + b"\0" * (len(data) % 2))
            if keyword == "PixelData":
                dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
                dataset["PixelData"].is_undefined_length = dataset.file_meta.TransferSyntaxUID.is_encapsulated
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return path

    return make
