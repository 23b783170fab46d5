"""What holds for all tests, and for the processes that they start."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says more of the machine than of the code.
settings.register_profile("crdnet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("crdnet")

# The reference, whatever faster engine is installed: tests compare its numbers exactly. The engines' own tests name
# their devices, and CRDNET_DEVICE=openvino runs everything else on another.
os.environ.setdefault("CRDNET_DEVICE", "cpu")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the field's pictures, which are not ours to publish."""
    folder = Path(os.environ.get("CRDNET_SHARED", REPOSITORY.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(
            f"needs the field's pictures, which are not at {folder}; CRDNET_SHARED says where they are"
        )
    return folder
