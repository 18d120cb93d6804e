"""The main job end to end, as one call."""

from synthray.demo.run import DemoResult as DemoResult
from synthray.demo.run import run_demo as run_demo
