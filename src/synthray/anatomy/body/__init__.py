"""The built-in body: a labelled person from a seed, without any download."""

from synthray.anatomy.body.build import body as body
from synthray.anatomy.body.proportions import Proportions as Proportions
