"""Scene + cameras -> area densities, structure masks, depth and path lengths, from one march."""

from synthray.projector.project import BACKENDS as BACKENDS
from synthray.projector.project import SceneLike as SceneLike
from synthray.projector.project import project as project
from synthray.projector.project import with_tools as with_tools
from synthray.projector.result import MaskStack as MaskStack
from synthray.projector.result import Projection as Projection
from synthray.projector.volume import MarchVolume as MarchVolume
from synthray.projector.volume import prepare as prepare
