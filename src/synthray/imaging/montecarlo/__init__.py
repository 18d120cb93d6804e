"""Monte Carlo of photons through a body to a detector: slow, obvious physics that the fast scatter model answers to."""

from synthray.imaging.montecarlo.run import Body as Body
from synthray.imaging.montecarlo.run import Field as Field
from synthray.imaging.montecarlo.run import MonteCarloResult as MonteCarloResult
from synthray.imaging.montecarlo.run import Receptor as Receptor
from synthray.imaging.montecarlo.run import follow_photons as follow_photons
from synthray.imaging.montecarlo.tables import cross_sections as cross_sections
