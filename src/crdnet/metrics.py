"""PSNR and SSIM under the four protocols that papers on deraining use.

The same two images score up to 2 dB apart depending on colour space, rounding and the form of SSIM.
A number therefore needs its protocol. Each protocol here has a name and a written definition:

- `crdnet`: RGB floats, neither clipped nor rounded; SSIM of scikit-image with its uniform 7 x 7
  window. The published test of CRDNet (Peng et al., IEEE SPL 27, 2020).
- `toolbox-rgb`: RGB rounded to 8 bits; SSIM with a Gaussian window, mean of the channels.
- `prenet-y`: Y of MATLAB's `rgb2ycbcr` from doubles, not rounded; SSIM with automatic downsampling
  (Wang's `ssim.m`). The evaluation of PReNet (Ren et al., CVPR 2019).
- `restormer-y`: Y rounded to 8 bits; SSIM without downsampling (`SSIM_index`). The evaluation of
  Restormer (Zamir et al., CVPR 2022).

SSIM follows Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004, with K1 = 0.01 and K2 = 0.03.
`docs/metrics.md` explains how the definitions are checked. This module needs only numpy.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.errors import CRDNetError, ImageError, SizeError

ScorableImage = npt.NDArray[Any]
"""RGB image (h, w, 3): uint8, or floats with colours in [0, 1]."""
Planes = npt.NDArray[np.float64]
"""Planes to compare (planes, h, w): three colours, or luma alone."""

# Constants of SSIM, from Wang et al., IEEE TIP 13, 2004.
K1, K2 = 0.01, 0.03
DOWNSAMPLED_SIDE = 256
"""Length of the shorter side, in pixels, that Wang's `ssim.m` downsamples to."""
# Number of windows computed at once, so that the work on large images fits into the cache.
_BAND_ELEMENTS = 1 << 15


class ProtocolError(CRDNetError, ValueError):
    """No protocol has the requested name."""


class Scores(NamedTuple):
    """PSNR and SSIM of a derained image against the ground truth."""

    psnr: float
    """Peak signal-to-noise ratio in dB; infinite if the compared planes are identical."""
    ssim: float
    """Structural similarity, at most 1."""


@dataclass(frozen=True)
class Protocol:
    """Definition of PSNR and SSIM: planes, peak and SSIM window."""

    name: str
    description: str
    extract_planes: Callable[[ScorableImage], Planes]
    """Converts an image to the planes to compare."""
    peak: float
    """Largest value of a plane, as PSNR and SSIM assume."""
    window: tuple[float, ...]
    """Weights of the SSIM window along one side; the window is their outer product."""
    sample_covariance: bool = False
    """True if SSIM divides variances by n - 1, for n pixels in the window."""
    downsampling: bool = False
    """True if SSIM first averages blocks of round(shorter side / 256) pixels."""

    @property
    def smallest_side(self) -> int:
        """Smallest height and width of an image, in pixels."""
        return len(self.window)


def score(derained: ScorableImage, clean: ScorableImage, protocol: Protocol | str) -> Scores:
    """Score a derained image against the ground truth.

    Args:
        derained: Estimate of `clean`. Floats may leave [0, 1]; all protocols except `crdnet` clip
            them.
        clean: Ground truth of the same shape; floats must lie in [0, 1].
        protocol: Protocol, or a key of `PROTOCOLS`.

    Raises:
        ProtocolError: No protocol has this name.
        SizeError: The images differ in size, are not RGB, or are smaller than the SSIM window.
        ImageError: An image has another dtype, is not finite, or `clean` leaves [0, 1].
    """
    protocol = find_protocol(protocol) if isinstance(protocol, str) else protocol
    _check_images(derained, clean, protocol)
    derained_planes, clean_planes = (
        protocol.extract_planes(derained),
        protocol.extract_planes(clean),
    )
    return Scores(
        _compute_psnr(derained_planes, clean_planes, protocol.peak),
        _compute_ssim(derained_planes, clean_planes, protocol),
    )


def psnr(derained: ScorableImage, clean: ScorableImage, protocol: Protocol | str) -> float:
    """Return PSNR alone, in dB, at about a tenth of the cost of `score`; see there."""
    protocol = find_protocol(protocol) if isinstance(protocol, str) else protocol
    _check_images(derained, clean, protocol)
    return _compute_psnr(
        protocol.extract_planes(derained),
        protocol.extract_planes(clean),
        protocol.peak,
    )


def find_protocol(name: str) -> Protocol:
    """Return the protocol with a name.

    Raises:
        ProtocolError: No protocol has this name.
    """
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise ProtocolError(
            f"no protocol is named {name!r}; choose one of {', '.join(PROTOCOLS)}",
        ) from None


def round_to_8bit(image: ScorableImage) -> npt.NDArray[np.uint8]:
    """Convert an image to uint8: clip to [0, 1], multiply by 255, round to the nearest integer."""
    if image.dtype == np.uint8:
        return image.astype(np.uint8, copy=False)
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255), dtype=np.uint8)


def _check_images(derained: ScorableImage, clean: ScorableImage, protocol: Protocol) -> None:
    if derained.shape != clean.shape:
        raise SizeError(
            f"the derained image has shape {derained.shape} and the clean one {clean.shape}; "
            "score images of one size"
        )
    if clean.ndim != 3 or clean.shape[2] != 3:
        raise SizeError(f"an image to score is RGB (h, w, 3), got shape {clean.shape}")
    # For PSNR alone too, so that both scores of a data set cover the same images.
    if min(clean.shape[:2]) < protocol.smallest_side:
        raise SizeError(
            f"SSIM under {protocol.name} has a window of "
            f"{protocol.smallest_side} x {protocol.smallest_side} "
            f"pixels, got an image of {clean.shape[0]} x {clean.shape[1]}; score larger images",
        )
    for role, image in (("derained", derained), ("clean", clean)):
        if image.dtype != np.uint8 and not np.issubdtype(image.dtype, np.floating):
            raise ImageError(f"the {role} image is {image.dtype}; score uint8, or floats in [0, 1]")
        if not np.isfinite(image).all():
            raise ImageError(
                f"the {role} image holds values that are not finite; there is no score for it",
            )
    if clean.dtype != np.uint8 and not 0 <= clean.min() <= clean.max() <= 1:
        raise ImageError(
            f"clean floats span {clean.min():g} to {clean.max():g}; scale them to [0, 1]",
        )


# ---- planes


def _extract_float_rgb(image: ScorableImage) -> Planes:
    if image.dtype == np.uint8:
        # Networks get float32, so a network that changes nothing must score like its input.
        image = image.astype(np.float32) / np.float32(255)
    return _move_channels_first(image)


def _extract_8bit_rgb(image: ScorableImage) -> Planes:
    return _move_channels_first(round_to_8bit(image))


def _compute_unrounded_luma(image: ScorableImage) -> Planes:
    red, green, blue = _move_channels_first(round_to_8bit(image))
    # Coefficients of MATLAB's rgb2ycbcr, which maps 0..255 to 16..235.
    luma: Planes = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    return luma[np.newaxis]


def _compute_8bit_luma(image: ScorableImage) -> Planes:
    # (65.481 R + 128.553 G + 24.966 B) / 255 in lowest terms. Integers round exactly (half away
    # from zero, like MATLAB); the rounding of floats would depend on the order of the sum.
    red, green, blue = np.moveaxis(round_to_8bit(image).astype(np.int32), 2, 0)
    weighted = 21827 * red + 42851 * green + 8322 * blue
    luma = 16 + (weighted + 42500) // 85000
    return np.asarray(luma, dtype=np.float64)[np.newaxis]


def _move_channels_first(image: ScorableImage) -> Planes:
    return np.ascontiguousarray(np.moveaxis(image, 2, 0), dtype=np.float64)


# ---- scores


def _compute_psnr(derained: Planes, clean: Planes, peak: float) -> float:
    squared_error = float(np.square(derained - clean).mean())
    # Identical planes would divide by zero.
    return 10 * math.log10(peak * peak / squared_error) if squared_error > 0 else math.inf


def _compute_ssim(derained: Planes, clean: Planes, protocol: Protocol) -> float:
    if protocol.downsampling:
        derained, clean = _downsample(derained), _downsample(clean)
    return float(
        np.mean(
            [_compute_plane_ssim(*pair, protocol) for pair in zip(derained, clean, strict=True)],
        ),
    )


def _compute_plane_ssim(
    derained: npt.NDArray[np.float64], clean: npt.NDArray[np.float64], protocol: Protocol
) -> float:
    """Return the mean SSIM over all windows inside a plane (h, w), computed in bands of rows."""
    overlap = len(protocol.window) - 1
    windows_down, windows_across = clean.shape[0] - overlap, clean.shape[1] - overlap
    # Bands keep the moments of a large image within the cache.
    band = max(1, _BAND_ELEMENTS // windows_across)
    total = 0.0
    for top in range(0, windows_down, band):
        rows = slice(top, top + band + overlap)
        total += float(_map_ssim(derained[rows], clean[rows], protocol).sum())
    return float(total / (windows_down * windows_across))


def _map_ssim(
    derained: npt.NDArray[np.float64], clean: npt.NDArray[np.float64], protocol: Protocol
) -> npt.NDArray[np.float64]:
    # SSIM needs the two squares only as a sum, so four planes are filtered instead of five.
    moments = np.stack([derained, clean, derained**2 + clean**2, derained * clean])
    mean_derained, mean_clean, power, product = _average_windows(moments, protocol.window)
    means, squares = mean_derained * mean_clean, mean_derained**2 + mean_clean**2
    pixels = len(protocol.window) ** 2
    # n / (n - 1) makes the covariance an unbiased estimate, as in scikit-image.
    scale = pixels / (pixels - 1) if protocol.sample_covariance else 1.0
    covariance, variances = scale * (product - means), scale * (power - squares)
    c1, c2 = (K1 * protocol.peak) ** 2, (K2 * protocol.peak) ** 2
    similarity: npt.NDArray[np.float64] = (2 * means + c1) * (2 * covariance + c2)
    # In place, to save another array of this size.
    similarity /= (squares + c1) * (variances + c2)
    return similarity


def _average_windows(planes: Planes, window: tuple[float, ...]) -> Planes:
    """Return the weighted mean of every window inside the planes: the valid part of a filter."""
    overlap = len(window) - 1
    down, across = planes.shape[1] - overlap, planes.shape[2] - overlap
    # The window is separable: 2 n products per pixel replace n * n.
    columns = window[0] * planes[:, :down]
    for offset, weight in enumerate(window[1:], start=1):
        columns += weight * planes[:, offset : offset + down]
    means: Planes = window[0] * columns[..., :across]
    for offset, weight in enumerate(window[1:], start=1):
        means += weight * columns[..., offset : offset + across]
    return means


def _downsample(planes: Planes) -> Planes:
    """Average blocks in the way Wang's `ssim.m` does before it compares.

    `ssim.m` filters with an f x f box, mirrors the border, and keeps every f-th pixel from the
    first. `imfilter` centres the box at its pixel (f + 1) // 2, counted from 1. The kept boxes are
    therefore adjacent, and the first one begins (f - 1) // 2 pixels outside the image.
    """
    height, width = planes.shape[1:]
    side = max(1, int(min(height, width) / DOWNSAMPLED_SIDE + 0.5))  # MATLAB rounds a half up
    outside = (side - 1) // 2
    rows, columns = -(-height // side), -(-width // side)
    mirrored = np.pad(planes, ((0, 0), (outside, side), (outside, side)), mode="symmetric")
    blocks = mirrored[:, : rows * side, : columns * side].reshape(-1, rows, side, columns, side)
    return np.asarray(blocks.mean(axis=(2, 4)))


def _make_gaussian(size: int, sigma: float) -> tuple[float, ...]:
    weights = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * sigma**2))
    return tuple((weights / weights.sum()).tolist())


# Windows of Wang et al. (2004), and of scikit-image by default.
_GAUSSIAN_11 = _make_gaussian(11, 1.5)
_UNIFORM_7 = (1 / 7,) * 7

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol(
                "crdnet",
                "RGB floats, neither clipped nor rounded; SSIM of scikit-image, uniform 7 x 7",
                extract_planes=_extract_float_rgb,
                peak=1.0,
                window=_UNIFORM_7,
                sample_covariance=True,
            ),
            Protocol(
                "toolbox-rgb",
                "RGB rounded to 8 bits; SSIM with a Gaussian window, mean of channels",
                extract_planes=_extract_8bit_rgb,
                peak=255.0,
                window=_GAUSSIAN_11,
            ),
            Protocol(
                "prenet-y",
                "Y of MATLAB from 8-bit images, not rounded; SSIM of ssim.m, with downsampling",
                extract_planes=_compute_unrounded_luma,
                peak=255.0,
                window=_GAUSSIAN_11,
                downsampling=True,
            ),
            Protocol(
                "restormer-y",
                "Y of MATLAB rounded to 8 bits; SSIM of SSIM_index, without downsampling",
                extract_planes=_compute_8bit_luma,
                peak=255.0,
                window=_GAUSSIAN_11,
            ),
        )
    }
)
"""All protocols by name."""
