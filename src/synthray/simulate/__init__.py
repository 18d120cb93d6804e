"""One scene + views + a seed -> X-ray images with masks, landmarks, depth and pose."""

from synthray.rooms import make_callable as _make_callable
from synthray.simulate.images import detector_geometry as detector_geometry
from synthray.simulate.images import expose as expose
from synthray.simulate.images import simulate as simulate
from synthray.simulate.sample import Sample as Sample
from synthray.simulate.sample import plain_settings as plain_settings
from synthray.simulate.scene import Scene as Scene
from synthray.simulate.sequence import Bolus as Bolus
from synthray.simulate.sequence import Fluoroscopy as Fluoroscopy
from synthray.simulate.sequence import fluoroscopy as fluoroscopy
from synthray.simulate.sequence_files import save_sequence as save_sequence

_make_callable(__name__, simulate)
