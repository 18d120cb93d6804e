import numpy as np

from synthray.anatomy import Patient


def test_a_patient_prints_as_one_line():
    labels = np.zeros((4, 5, 6), dtype=np.uint8)
    labels[1, 1, 1] = 3
    patient = Patient.from_arrays(np.zeros((4, 5, 6), np.int16), np.diag([0.5, 1, 2.25, 1]), labels, {3: "heart"})
    assert repr(patient) == (
        "Patient('patient', Volume(4 x 5 x 6 voxels of 0.5 x 1 x 2.25 mm, int16), "
        "LabelMap(1 structures, uint8), 0 landmarks)"
    )
