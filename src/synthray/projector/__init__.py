"""Scene + cameras -> area densities, structure masks, depth and path lengths, from one march."""

from synthray.projector.march import MarchVolume as MarchVolume
from synthray.projector.march import MaskStack as MaskStack
from synthray.projector.march import Projection as Projection
from synthray.projector.march import prepare as prepare
from synthray.projector.project import BACKENDS as BACKENDS
from synthray.projector.project import SceneLike as SceneLike
from synthray.projector.project import project as project
