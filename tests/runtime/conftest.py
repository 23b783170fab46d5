from pathlib import Path

import numpy as np
import pytest

from crdnet import Derainer
from tests.runtime.tiny import write_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny.onnx")


@pytest.fixture(scope="session")
def derainer(tiny_model: Path) -> Derainer:
    return Derainer(tiny_model, threads=1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)
