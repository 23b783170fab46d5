"""Settings and fixtures for all tests, and for the processes that they start."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The time of an example depends more on the machine than on the code.
settings.register_profile("crdnet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crdnet")

# The reference engine, even if a faster one is installed: tests compare its results exactly. Tests
# of engines name their devices; CRDNET_DEVICE=openvino runs all other tests on another engine.
os.environ.setdefault("CRDNET_DEVICE", "cpu")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the data sets of the field, which this repository may not publish."""
    folder = Path(os.environ.get("CRDNET_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(
            f"needs the data sets of the field, which are not at {folder}; "
            "set CRDNET_SHARED to the folder above data/"
        )
    return folder
