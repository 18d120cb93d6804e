"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real CTs and X-rays; tests that need it skip when it is absent."""
    root = Path(os.environ.get("SYNTHRAY_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
    if not (root / "ct").is_dir():
        pytest.skip(f"no real data at {root}: set SYNTHRAY_DATA to the folder that holds ct/ and xray/")
    return root
