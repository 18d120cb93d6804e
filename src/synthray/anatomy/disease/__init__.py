"""Disease with ground truth: functions from a patient to a patient with new labels. Every one takes a seed."""

from synthray.anatomy.disease.blobs import calcifications as calcifications
from synthray.anatomy.disease.blobs import lung_nodules as lung_nodules
from synthray.anatomy.disease.fracture import fracture as fracture
from synthray.anatomy.disease.lesion_labels import with_labels as with_labels
from synthray.anatomy.disease.opacities import lung_opacities as lung_opacities
from synthray.anatomy.disease.pleura import pleural_effusion as pleural_effusion
from synthray.anatomy.disease.pleura import pneumothorax as pneumothorax
from synthray.anatomy.disease.registry import DISEASES as DISEASES
from synthray.anatomy.disease.registry import labels_of as labels_of
from synthray.anatomy.disease.registry import takes_structure as takes_structure
