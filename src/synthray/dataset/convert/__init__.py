"""A data set in other people's formats."""

from synthray.dataset.convert.run import TARGETS as TARGETS
from synthray.dataset.convert.run import Converted as Converted
from synthray.dataset.convert.run import convert as convert
