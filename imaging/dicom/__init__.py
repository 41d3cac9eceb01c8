"""DICOM: one file or one series in, an `Image` in physical values out (pydicom parses and decodes, we check and place).

elements    reading header elements without trust
parsing     a file to its header, and the bytes of its pixel data
header      the Image Pixel module, checked, and the size it implies
codestream  what a compressed frame says of itself, before a decoder sees it
decoding    pixel bytes to the array of stored values
lookup      modality, VOI and palette tables
values      stored values to physical values: rescale, palettes, MONOCHROME1
geometry    spacing, positions and orientation
reading     all of the above for one file
series      the slices of a folder, in order, as one volume
"""

from .reading import read_dicom, read_header, read_stored
from .series import read_series

__all__ = ["read_dicom", "read_header", "read_series", "read_stored"]
