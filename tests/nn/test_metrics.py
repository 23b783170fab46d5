"""Scores of tensors equal those of arrays."""

import numpy as np
import pytest
import torch

from crdnet.errors import ImageError, SizeError
from crdnet.metrics import PROTOCOLS, score
from crdnet.nn.metrics import DerainingPSNR, DerainingSSIM, score_batch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SIZES = [(11, 12), (40, 57), (400, 390), (640, 650)]


def make_pair(size: tuple[int, int], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size[0])
    clean = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    derained = np.clip(clean + rng.integers(-20, 20, clean.shape), 0, 255).astype(np.uint8)
    if dtype == "uint8":
        return derained, clean
    floats = (derained / np.float32(255) + 0.01, clean / np.float32(255))
    return floats[0].astype(np.float32), floats[1].astype(np.float32)


def to_batch(*images: np.ndarray) -> torch.Tensor:
    return torch.stack([torch.from_numpy(image.transpose(2, 0, 1).copy()) for image in images])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tensors_score_like_arrays(
    protocol: str, size: tuple[int, int], dtype: str, device: str
) -> None:
    derained, clean = make_pair(size, dtype)
    expected = score(derained, clean, protocol)
    found = score_batch(to_batch(derained).to(device), to_batch(clean).to(device), protocol)
    assert float(found.psnr) == pytest.approx(expected.psnr, abs=1e-9)
    assert float(found.ssim) == pytest.approx(expected.ssim, abs=1e-9)


def test_the_classes_average_over_images_of_all_batches() -> None:
    psnr, ssim = DerainingPSNR("crdnet"), DerainingSSIM("crdnet")
    pairs = [make_pair(size, "float32") for size in ((20, 30), (20, 31), (25, 30))]
    expected = [score(*pair, "crdnet") for pair in pairs]
    for derained, clean in pairs:
        psnr.update(to_batch(derained), to_batch(clean))
        ssim.update(to_batch(derained), to_batch(clean))
    assert float(psnr.compute()) == pytest.approx(np.mean([each.psnr for each in expected]))
    assert float(ssim.compute()) == pytest.approx(np.mean([each.ssim for each in expected]))


def test_an_identical_image_is_left_out_of_psnr() -> None:
    derained, clean = make_pair((20, 30), "uint8")
    metric = DerainingPSNR()
    metric.update(to_batch(derained, clean), to_batch(clean, clean))
    expected = score(derained, clean, "restormer-y").psnr
    assert float(metric.compute()) == pytest.approx(expected)


def test_batches_that_cannot_be_scored_are_refused() -> None:
    image = torch.rand(1, 3, 20, 20)
    with pytest.raises(SizeError, match="of one shape"):
        score_batch(image, image[..., 1:], "crdnet")
    with pytest.raises(SizeError, match="score larger images"):
        score_batch(image[..., :5], image[..., :5], "crdnet")
    with pytest.raises(ImageError, match="scale them to"):
        score_batch(image, 2 + image, "crdnet")
