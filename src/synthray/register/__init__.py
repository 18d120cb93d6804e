"""2-D/3-D registration: the pose of a real X-ray from the CT of the same person."""

from synthray.register.annotate import Annotation as Annotation
from synthray.register.annotate import Comparison as Comparison
from synthray.register.annotate import annotate as annotate
from synthray.register.annotate import coco as coco
from synthray.register.annotate import compared as compared
from synthray.register.annotate import save_coco as save_coco
from synthray.register.annotate import save_posed_list as save_posed_list
from synthray.register.annotate import save_twins as save_twins
from synthray.register.annotate import twin as twin
from synthray.register.fit import Fit as Fit
from synthray.register.fit import save_fits as save_fits
from synthray.register.fit import to_json as to_json
from synthray.register.initialise import camera_from_dicom as camera_from_dicom
from synthray.register.initialise import camera_from_landmarks as camera_from_landmarks
from synthray.register.intrinsics import intrinsics_jacobian as intrinsics_jacobian
from synthray.register.parts import register_parts as register_parts
from synthray.register.quality import Quality as Quality
from synthray.register.run import register as register
from synthray.register.search import Range as Range
from synthray.register.together import register_together as register_together
from synthray.rooms import make_callable as _make_callable

_make_callable(__name__, register)
