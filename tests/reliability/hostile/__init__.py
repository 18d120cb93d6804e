"""Hostile inputs: each case builds something broken in a folder, gives it to synthray, and says what may come of it."""

from hostile.checkpoints import checkpoint_cases
from hostile.core import Case, Verdict
from hostile.datasets import dataset_cases
from hostile.dicom import dicom_cases
from hostile.pictures import picture_cases
from hostile.recipes import recipe_cases
from hostile.tables import label_cases, landmark_cases
from hostile.volumes import volume_cases

FAMILIES = {
    "volume": volume_cases,
    "dicom": dicom_cases,
    "labels": label_cases,
    "landmarks": landmark_cases,
    "recipe": recipe_cases,
    "dataset": dataset_cases,
    "picture": picture_cases,
    "checkpoint": checkpoint_cases,
}

__all__ = ["FAMILIES", "Case", "Verdict"]
