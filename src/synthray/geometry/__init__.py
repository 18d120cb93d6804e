"""Rigid transforms, cameras, C-arms and view sampling. NumPy only."""

from synthray.geometry.camera import Camera as Camera
from synthray.geometry.carm import PRESETS as PRESETS
from synthray.geometry.carm import VIEWS as VIEWS
from synthray.geometry.carm import CArm as CArm
from synthray.geometry.carm import named_view as named_view
from synthray.geometry.sampling import Spread as Spread
from synthray.geometry.sampling import ViewParameters as ViewParameters
from synthray.geometry.sampling import ViewSampler as ViewSampler
from synthray.geometry.transforms import apply as apply
from synthray.geometry.transforms import check_affine as check_affine
from synthray.geometry.transforms import check_rigid as check_rigid
from synthray.geometry.transforms import compose as compose
from synthray.geometry.transforms import invert_rigid as invert_rigid
from synthray.geometry.transforms import rotation_about as rotation_about
