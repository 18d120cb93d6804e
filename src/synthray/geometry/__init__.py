"""Rigid transforms, cameras, C-arms and view sampling. NumPy only."""

from synthray.geometry.camera import Camera as Camera
from synthray.geometry.carm import PRESETS as PRESETS
from synthray.geometry.carm import VIEWS as VIEWS
from synthray.geometry.carm import CArm as CArm
from synthray.geometry.carm import named_view as named_view
from synthray.geometry.exchange import DeepDrrView as DeepDrrView
from synthray.geometry.exchange import DeepFluoroView as DeepFluoroView
from synthray.geometry.exchange import DiffDrrView as DiffDrrView
from synthray.geometry.exchange import NanoDrrView as NanoDrrView
from synthray.geometry.exchange import OpenCvView as OpenCvView
from synthray.geometry.exchange_dicom import DicomView as DicomView
from synthray.geometry.pnp import agreed_view as agreed_view
from synthray.geometry.polygon import polygon_mask as polygon_mask
from synthray.geometry.sampling import Spread as Spread
from synthray.geometry.sampling import ViewParameters as ViewParameters
from synthray.geometry.sampling import ViewSampler as ViewSampler
from synthray.geometry.transforms import apply as apply
from synthray.geometry.transforms import check_affine as check_affine
from synthray.geometry.transforms import check_rigid as check_rigid
from synthray.geometry.transforms import compose as compose
from synthray.geometry.transforms import invert_rigid as invert_rigid
from synthray.geometry.transforms import rotation_about as rotation_about
