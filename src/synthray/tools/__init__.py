"""Instruments and implants as posed, watertight meshes: parametric ones, a continuum manipulator, the user's own."""

from synthray.tools.tool import Part as Part
from synthray.tools.tool import Tool as Tool
