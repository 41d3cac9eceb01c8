"""Data sets: folders and files to samples of image and target, read when they are asked for.

dataset    what a data set and a sample are
masks      what the numbers in a mask file mean
folders    folders of images with masks, or one folder for each class
arrays     npz and idx files
opening    which of these a path is
"""

from .dataset import DataSet, Sample
from .masks import mask_classes, read_mask
from .opening import open_dataset

__all__ = ["DataSet", "Sample", "mask_classes", "open_dataset", "read_mask"]
