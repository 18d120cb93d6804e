"""One worker for all hostile inputs: starting it costs more than a hundred cases."""

import os

import pytest
from crew import Crew


@pytest.fixture(scope="session")
def crew():
    """Works through cases; SYNTHRAY_HOSTILE_SEEDS raises how often damage at random places is tried."""
    found = Crew(int(os.environ.get("SYNTHRAY_HOSTILE_SEEDS", "2")))
    yield found
    found.close()
