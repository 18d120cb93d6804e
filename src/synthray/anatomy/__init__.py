"""People: CT volumes, labels, landmarks, and what follows from them (densities, lungs, body)."""

from synthray.anatomy.body import body as body
from synthray.anatomy.coarsen import resample_patient as resample_patient
from synthray.anatomy.diaphragm import below_diaphragm as below_diaphragm
from synthray.anatomy.hounsfield import basis_densities as basis_densities
from synthray.anatomy.inspection import CtReport as CtReport
from synthray.anatomy.inspection import draw_ct as draw_ct
from synthray.anatomy.inspection import inspect_ct as inspect_ct
from synthray.anatomy.label_files import find_label_names as find_label_names
from synthray.anatomy.label_files import read_labels as read_labels
from synthray.anatomy.label_files import totalsegmentator_names as totalsegmentator_names
from synthray.anatomy.landmark_files import read_landmarks as read_landmarks
from synthray.anatomy.morph import Deformation as Deformation
from synthray.anatomy.morph import jittered as jittered
from synthray.anatomy.morph import mirrored as mirrored
from synthray.anatomy.morph import random_deformation as random_deformation
from synthray.anatomy.morph import turned_legs as turned_legs
from synthray.anatomy.patient import LabelMap as LabelMap
from synthray.anatomy.patient import Patient as Patient
from synthray.anatomy.patient import Volume as Volume
from synthray.anatomy.readers import load_patient as load_patient
from synthray.anatomy.segmentation import body_mask as body_mask
from synthray.anatomy.segmentation import remove_table as remove_table
from synthray.anatomy.thorax import lungs as lungs
from synthray.anatomy.thorax import with_lungs as with_lungs
from synthray.anatomy.writers import save_patient as save_patient
