"""The models that come with crdnet keep what the runtime promises for them."""

import numpy as np
import numpy.typing as npt
import pytest

from crdnet import Derainer
from crdnet.runtime import list_models

NAMES = [model.name for model in list_models()]


@pytest.mark.skipif(not NAMES, reason="no models lie in src/crdnet/weights")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1500, 50, 3), (50, 1500, 3)])
def test_tiles_of_a_shipped_model_agree_with_the_whole(name: str, shape: tuple[int, ...]) -> None:
    """Long strips are cheap, and long enough for tiles with both ends inside the image."""
    rainy = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    whole, tiled = Derainer(name, tile=0), Derainer(name, tile=128)
    assert 2 * whole.session.info.margin + 128 < 1500
    colours: npt.NDArray[np.float32] = np.divide(rainy, 255, dtype=np.float32)
    assert np.abs(np.subtract(whole.estimate(colours), tiled.estimate(colours))).max() <= 1e-4
    apart = np.abs(np.subtract(whole(rainy), tiled(rainy), dtype=int))
    assert apart.max() <= 1
    assert apart.mean() <= 255 * 1e-4  # what rounding makes of the difference above


@pytest.mark.skipif(not NAMES, reason="no models lie in src/crdnet/weights")
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 33), (31, 2, 3), (33, 65)])
def test_the_default_takes_sizes_from_one_pixel_up(shape: tuple[int, ...]) -> None:
    rainy = np.full(shape, 77, np.uint8)
    derained = Derainer()(rainy)
    assert derained.shape == shape
    assert derained.dtype == np.uint8
