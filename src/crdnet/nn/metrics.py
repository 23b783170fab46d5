"""The protocols of `crdnet.metrics` on torch tensors, on any device, as torchmetrics classes.

Every number equals that of the NumPy functions up to the order of sums in float64, so scores from a
GPU may stand beside those of `crdnet evaluate`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from crdnet.errors import ImageError, MissingExtraError, SizeError
from crdnet.metrics import DOWNSAMPLED_SIDE, K1, K2, Protocol, find_protocol

try:
    from torchmetrics import Metric
except ModuleNotFoundError as error:
    raise MissingExtraError("crdnet.nn.metrics", "train") from error


class BatchScores(NamedTuple):
    """Scores (b,) of a batch, float64."""

    psnr: Tensor
    """PSNR in dB; infinite if the compared planes are identical."""
    ssim: Tensor


def score_batch(derained: Tensor, clean: Tensor, protocol: Protocol | str) -> BatchScores:
    """Score a batch of derained images; see `crdnet.metrics.score`.

    Args:
        derained: RGB (b, 3, h, w), uint8, or floats with colours in [0, 1] that may leave it.
        clean: Ground truth of the same shape; floats must lie in [0, 1].
        protocol: Protocol, or a key of `crdnet.metrics.PROTOCOLS`.

    Raises:
        ProtocolError: No protocol has this name.
        SizeError: The shapes differ, are not (b, 3, h, w), or are smaller than the SSIM window.
        ImageError: A tensor has another dtype or is not finite, or `clean` leaves [0, 1].
    """
    protocol = find_protocol(protocol) if isinstance(protocol, str) else protocol
    _check(derained, clean, protocol)
    extract = _PLANES[protocol.name]
    ours, truth = extract(derained), extract(clean)
    squared_error = (ours - truth).square().mean((1, 2, 3))
    psnr = 10 * torch.log10(protocol.peak**2 / squared_error)
    if protocol.downsampling:
        ours, truth = _downsample(ours), _downsample(truth)
    return BatchScores(psnr, _compute_ssim(ours, truth, protocol))


def _check(derained: Tensor, clean: Tensor, protocol: Protocol) -> None:
    if derained.shape != clean.shape or clean.ndim != 4 or clean.shape[1] != 3:
        raise SizeError(
            f"a batch to score is two tensors (b, 3, h, w) of one shape, got "
            f"{tuple(derained.shape)} and {tuple(clean.shape)}"
        )
    if min(clean.shape[2:]) < protocol.smallest_side:
        raise SizeError(
            f"SSIM under {protocol.name} has a window of {protocol.smallest_side} pixels, got "
            f"images of {clean.shape[2]} x {clean.shape[3]}; score larger images"
        )
    for role, images in (("derained", derained), ("clean", clean)):
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise ImageError(f"the {role} images are {images.dtype}; score uint8 or floats")
        if not torch.isfinite(images).all():
            raise ImageError(f"the {role} images hold values that are not finite")
    if clean.dtype != torch.uint8 and not (clean.min() >= 0 and clean.max() <= 1):
        raise ImageError(
            f"clean floats span {clean.min():g} to {clean.max():g}; scale them to [0, 1]"
        )


def _round_to_8bit(images: Tensor) -> Tensor:
    if images.dtype == torch.uint8:
        return images.double()
    # In the dtype of the input, as NumPy does.
    return (images.clamp(0, 1) * 255).round().double()


def _extract_float_rgb(images: Tensor) -> Tensor:
    return (images.float() / 255 if images.dtype == torch.uint8 else images).double()


def _compute_unrounded_luma(images: Tensor) -> Tensor:
    red, green, blue = _round_to_8bit(images).unbind(1)
    return (16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255).unsqueeze(1)


def _compute_8bit_luma(images: Tensor) -> Tensor:
    # In integers, like `crdnet.metrics`, so that no order of summation can matter.
    red, green, blue = _round_to_8bit(images).long().unbind(1)
    weighted = 21827 * red + 42851 * green + 8322 * blue
    luma = 16 + torch.div(weighted + 42500, 85000, rounding_mode="floor")
    return luma.double().unsqueeze(1)


_PLANES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "crdnet": _extract_float_rgb,
    "toolbox-rgb": _round_to_8bit,
    "prenet-y": _compute_unrounded_luma,
    "restormer-y": _compute_8bit_luma,
}


def _average_windows(planes: Tensor, window: tuple[float, ...]) -> Tensor:
    """Return the weighted mean of every window inside planes (n, 1, h, w)."""
    weights = planes.new_tensor(window)
    down = conv2d(planes, weights.view(1, 1, -1, 1))
    return conv2d(down, weights.view(1, 1, 1, -1))


def _compute_ssim(derained: Tensor, clean: Tensor, protocol: Protocol) -> Tensor:
    batch = len(clean)
    derained, clean = (each.flatten(0, 1).unsqueeze(1) for each in (derained, clean))
    moments = (derained, clean, derained.square() + clean.square(), derained * clean)
    ours, truth, power, product = (_average_windows(each, protocol.window) for each in moments)
    means, squares = ours * truth, ours.square() + truth.square()
    pixels = len(protocol.window) ** 2
    scale = pixels / (pixels - 1) if protocol.sample_covariance else 1.0
    covariance, variances = scale * (product - means), scale * (power - squares)
    c1, c2 = (K1 * protocol.peak) ** 2, (K2 * protocol.peak) ** 2
    similarity = (2 * means + c1) * (2 * covariance + c2) / ((squares + c1) * (variances + c2))
    return similarity.mean((1, 2, 3)).view(batch, -1).mean(1)


def _downsample(planes: Tensor) -> Tensor:
    """Average blocks like Wang's `ssim.m`; see `crdnet.metrics`."""
    height, width = planes.shape[2:]
    side = max(1, int(min(height, width) / DOWNSAMPLED_SIDE + 0.5))
    outside = (side - 1) // 2
    rows, columns = (_mirror(extent, outside, side, planes.device) for extent in (height, width))
    return avg_pool2d(planes[:, :, rows][:, :, :, columns], side)


def _mirror(extent: int, outside: int, side: int, device: torch.device) -> Tensor:
    """Return indices of whole blocks, mirrored with the border repeated."""
    length = -(-extent // side) * side
    places = torch.arange(-outside, length - outside, device=device)
    places = torch.where(places < 0, -1 - places, places)
    return torch.where(places >= extent, 2 * extent - 1 - places, places)


class _MeanOverImages(Metric):
    """Mean of a score over the images of all batches, on all processes."""

    higher_is_better = True
    is_differentiable = False
    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self, protocol: str = "restormer-y", **options: Any) -> None:
        super().__init__(**options)
        self.protocol = find_protocol(protocol)
        zero = torch.zeros((), dtype=torch.float64)
        self.add_state("total", zero.clone(), dist_reduce_fx="sum")
        self.add_state("count", zero.clone(), dist_reduce_fx="sum")

    def _add(self, scores: Tensor) -> None:
        finite = scores[torch.isfinite(scores)]
        self.total = self.total + finite.sum()
        self.count = self.count + len(finite)

    def compute(self) -> Tensor:
        """Return the mean; NaN without images."""
        return self.total / self.count


class DerainingPSNR(_MeanOverImages):
    """Mean PSNR in dB over images, as papers print it; identical images are left out.

    Args:
        protocol: Key of `crdnet.metrics.PROTOCOLS`.
        options: Options of `torchmetrics.Metric`.
    """

    def update(self, derained: Tensor, clean: Tensor) -> None:
        """Add a batch; see `score_batch`."""
        self._add(score_batch(derained, clean, self.protocol).psnr)


class DerainingSSIM(_MeanOverImages):
    """Mean SSIM over images.

    Args:
        protocol: Key of `crdnet.metrics.PROTOCOLS`.
        options: Options of `torchmetrics.Metric`.
    """

    def update(self, derained: Tensor, clean: Tensor) -> None:
        """Add a batch; see `score_batch`."""
        self._add(score_batch(derained, clean, self.protocol).ssim)
