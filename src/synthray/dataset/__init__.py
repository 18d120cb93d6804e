"""Recipes, resumable generation, sharded storage, and reading it back."""

from synthray.dataset.check import VerifyReport as VerifyReport
from synthray.dataset.check import mend as mend
from synthray.dataset.check import verify as verify
from synthray.dataset.job import GenerateResult as GenerateResult
from synthray.dataset.job import generate as generate
from synthray.dataset.plan import Planned as Planned
from synthray.dataset.plan import plan as plan
from synthray.dataset.plan import plan_rows as plan_rows
from synthray.dataset.read import Dataset as Dataset
from synthray.dataset.read import StoredSample as StoredSample
from synthray.dataset.recipe import Recipe as Recipe
from synthray.dataset.recipe import load_recipe as load_recipe
from synthray.dataset.redraw import Redraw as Redraw
