"""Disease with ground truth: functions from a patient to a patient with new labels. Every one takes a seed."""

from synthray.anatomy.disease.blobs import calcifications as calcifications
from synthray.anatomy.disease.blobs import lung_nodules as lung_nodules
from synthray.anatomy.disease.fracture import fracture as fracture
from synthray.anatomy.disease.lesion_labels import with_labels as with_labels
from synthray.anatomy.disease.opacities import lung_opacities as lung_opacities
from synthray.anatomy.disease.pleura import pleural_effusion as pleural_effusion
from synthray.anatomy.disease.pleura import pneumothorax as pneumothorax
