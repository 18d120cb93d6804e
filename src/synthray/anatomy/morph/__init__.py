"""More people from one CT: smooth deformation, mirror images, turned legs, other Hounsfield units."""

from synthray.anatomy.morph.build import random_deformation as random_deformation
from synthray.anatomy.morph.build import turned_legs as turned_legs
from synthray.anatomy.morph.deformation import Deformation as Deformation
from synthray.anatomy.morph.jitter import jittered as jittered
from synthray.anatomy.morph.mirror import mirrored as mirrored
from synthray.anatomy.morph.mirror import swap_sides as swap_sides
