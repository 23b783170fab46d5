"""PSNR and SSIM under the four protocols that papers on deraining use.

The same two pictures score up to 2 dB apart depending on colour space, rounding and the form of SSIM, so a
number means nothing without its protocol. Here a protocol has a name and a written definition:

- `crdnet`: RGB floats, neither clipped nor rounded; SSIM of scikit-image with its uniform 7 x 7 window. The
  published test of CRDNet (Peng et al., IEEE SPL 27, 2020).
- `toolbox-rgb`: RGB rounded to 8 bits; SSIM with a Gaussian window, mean of the channels.
- `prenet-y`: Y of MATLAB's `rgb2ycbcr` from doubles, not rounded; SSIM with automatic downsampling (Wang's
  `ssim.m`). The evaluation of PReNet (Ren et al., CVPR 2019).
- `restormer-y`: Y rounded to 8 bits; SSIM without downsampling (`SSIM_index`). The evaluation of Restormer
  (Zamir et al., CVPR 2022).

SSIM is Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004, with K1 = 0.01 and K2 = 0.03.
`docs/metrics.md` tells how the definitions are checked. Of packages, this needs numpy alone.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crdnet.errors import CRDNetError, ImageError, SizeError

Picture = npt.NDArray[Any]
"""RGB (h, w, 3): uint8, or floats that mean colours in [0, 1]; `score` refuses the rest."""
Planes = npt.NDArray[np.float64]
"""What is compared, (planes, h, w): three colours, or luma alone."""

_K1, _K2 = 0.01, 0.03
_DOWNSAMPLED_SIDE = 256
"""Wang's `ssim.m` brings the shorter side near this many pixels before it compares."""
_BAND_ELEMENTS = 1 << 15
"""Windows whose SSIM is computed at once, so that large pictures stay within the processor's cache too."""


class ProtocolError(CRDNetError, ValueError):
    """A protocol was asked for that does not exist."""


class Scores(NamedTuple):
    """How near a derained picture comes to the ground truth."""

    psnr: float
    """Peak signal-to-noise ratio in dB; infinite if what the protocol compares is identical."""
    ssim: float
    """Structural similarity, at most 1."""


@dataclass(frozen=True)
class Protocol:
    """What is compared, and how."""

    name: str
    description: str
    planes: Callable[[Picture], Planes]
    """Turns a picture into the planes that are compared."""
    peak: float
    """The largest value that PSNR and SSIM suppose a plane to hold."""
    window: tuple[float, ...]
    """Weights of SSIM's window along one side; the window is their outer product."""
    sample_covariance: bool = False
    """Whether SSIM divides variances by the window's pixels less one."""
    downsampling: bool = False
    """Whether SSIM averages blocks of round(shorter side / 256) pixels first."""

    @property
    def smallest_side(self) -> int:
        """Pixels that either side of a picture must have."""
        return len(self.window)


def score(derained: Picture, clean: Picture, protocol: Protocol | str) -> Scores:
    """Score a derained picture against the ground truth.

    Args:
        derained: An estimate of `clean`. Floats may leave [0, 1]; all protocols but `crdnet` clip them.
        clean: The ground truth, of the same shape; floats must lie in [0, 1].
        protocol: One of `PROTOCOLS`, or its name.

    Raises:
        ProtocolError: No protocol has this name.
        SizeError: The pictures differ in size, are not RGB, or are smaller than SSIM's window.
        ImageError: A picture holds something that is not a colour.
    """
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    _check(derained, clean, protocol)
    derained_planes, clean_planes = protocol.planes(derained), protocol.planes(clean)
    return Scores(
        _psnr(derained_planes, clean_planes, protocol.peak), _ssim(derained_planes, clean_planes, protocol)
    )


def psnr(derained: Picture, clean: Picture, protocol: Protocol | str) -> float:
    """Return the first of the scores of `score`, at a tenth of its cost, which is SSIM's."""
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    _check(derained, clean, protocol)
    return _psnr(protocol.planes(derained), protocol.planes(clean), protocol.peak)


def protocol_named(name: str) -> Protocol:
    """Return the protocol of a name.

    Raises:
        ProtocolError: No protocol has this name.
    """
    try:
        return PROTOCOLS[name]
    except KeyError:
        raise ProtocolError(f"no protocol is named {name!r}; choose one of {', '.join(PROTOCOLS)}") from None


def to_8bit(picture: Picture) -> npt.NDArray[np.uint8]:
    """Return a picture as a file of 8 bits holds it: clipped to [0, 1], times 255, rounded to the nearest."""
    if picture.dtype == np.uint8:
        return picture.astype(np.uint8, copy=False)
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), dtype=np.uint8)


def _check(derained: Picture, clean: Picture, protocol: Protocol) -> None:
    if derained.shape != clean.shape:
        raise SizeError(
            f"the derained picture has shape {derained.shape} and the clean one {clean.shape}; "
            "score pictures of one size"
        )
    if clean.ndim != 3 or clean.shape[2] != 3:
        raise SizeError(f"a picture to score is RGB (h, w, 3), got shape {clean.shape}")
    if min(clean.shape[:2]) < protocol.smallest_side:
        raise SizeError(
            f"SSIM under {protocol.name} has a window of {protocol.smallest_side} x {protocol.smallest_side} "
            f"pixels, got a picture of {clean.shape[0]} x {clean.shape[1]}; score larger pictures"
        )
    for role, picture in (("derained", derained), ("clean", clean)):
        if picture.dtype != np.uint8 and not np.issubdtype(picture.dtype, np.floating):
            raise ImageError(f"the {role} picture is {picture.dtype}; score uint8, or floats in [0, 1]")
        if not np.isfinite(picture).all():
            raise ImageError(f"the {role} picture holds values that are not finite; there is no score for it")
    if clean.dtype != np.uint8 and not 0 <= clean.min() <= clean.max() <= 1:
        raise ImageError(
            f"the clean picture's floats reach from {clean.min():g} to {clean.max():g}; scale them to [0, 1]"
        )


# ---- what is compared


def _rgb_as_it_is(picture: Picture) -> Planes:
    if picture.dtype == np.uint8:
        # By way of float32, as networks see pictures: one that changes nothing then scores as its input does.
        picture = picture.astype(np.float32) / np.float32(255)
    return _channels_first(picture)


def _rgb_8bit(picture: Picture) -> Planes:
    return _channels_first(to_8bit(picture))


def _luma_of_double(picture: Picture) -> Planes:
    red, green, blue = _channels_first(to_8bit(picture))
    luma: Planes = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    return luma[np.newaxis]


def _luma_8bit(picture: Picture) -> Planes:
    # (65.481 R + 128.553 G + 24.966 B) / 255, in lowest terms. In integers the rounding (half away from zero,
    # as MATLAB's) is exact; in floats it would depend on the order of the sum.
    red, green, blue = np.moveaxis(to_8bit(picture).astype(np.int32), 2, 0)
    weighted = 21827 * red + 42851 * green + 8322 * blue
    luma = 16 + (weighted + 42500) // 85000
    return np.asarray(luma, dtype=np.float64)[np.newaxis]


def _channels_first(picture: Picture) -> Planes:
    return np.ascontiguousarray(np.moveaxis(picture, 2, 0), dtype=np.float64)


# ---- how


def _psnr(derained: Planes, clean: Planes, peak: float) -> float:
    squared_error = float(np.square(derained - clean).mean())
    return 10 * math.log10(peak * peak / squared_error) if squared_error > 0 else math.inf


def _ssim(derained: Planes, clean: Planes, protocol: Protocol) -> float:
    if protocol.downsampling:
        derained, clean = _downsampled(derained), _downsampled(clean)
    return float(np.mean([_plane_ssim(*pair, protocol) for pair in zip(derained, clean, strict=True)]))


def _plane_ssim(
    derained: npt.NDArray[np.float64], clean: npt.NDArray[np.float64], protocol: Protocol
) -> float:
    """Return the mean SSIM over all windows that lie inside a plane (h, w), computed band by band."""
    overlap = len(protocol.window) - 1
    windows_down, windows_across = clean.shape[0] - overlap, clean.shape[1] - overlap
    band = max(1, _BAND_ELEMENTS // windows_across)
    total = 0.0
    for top in range(0, windows_down, band):
        rows = slice(top, top + band + overlap)
        total += float(_ssim_map(derained[rows], clean[rows], protocol).sum())
    return float(total / (windows_down * windows_across))


def _ssim_map(
    derained: npt.NDArray[np.float64], clean: npt.NDArray[np.float64], protocol: Protocol
) -> npt.NDArray[np.float64]:
    moments = np.stack([derained, clean, derained**2 + clean**2, derained * clean])
    mean_derained, mean_clean, power, product = _windowed(moments, protocol.window)
    means, squares = mean_derained * mean_clean, mean_derained**2 + mean_clean**2
    pixels = len(protocol.window) ** 2
    scale = pixels / (pixels - 1) if protocol.sample_covariance else 1.0
    covariance, variances = scale * (product - means), scale * (power - squares)
    c1, c2 = (_K1 * protocol.peak) ** 2, (_K2 * protocol.peak) ** 2
    similarity: npt.NDArray[np.float64] = (2 * means + c1) * (2 * covariance + c2)
    similarity /= (squares + c1) * (variances + c2)
    return similarity


def _windowed(planes: Planes, window: tuple[float, ...]) -> Planes:
    """Return the planes' weighted means under every window that lies inside: the valid part of a filter."""
    overlap = len(window) - 1
    down, across = planes.shape[1] - overlap, planes.shape[2] - overlap
    columns = window[0] * planes[:, :down]
    for offset, weight in enumerate(window[1:], start=1):
        columns += weight * planes[:, offset : offset + down]
    means: Planes = window[0] * columns[..., :across]
    for offset, weight in enumerate(window[1:], start=1):
        means += weight * columns[..., offset : offset + across]
    return means


def _downsampled(planes: Planes) -> Planes:
    """Average blocks as Wang's `ssim.m` does before it compares.

    It filters with an f x f box, mirroring the border, and keeps every f-th pixel from the first on.
    `imfilter` centres the box at its pixel (f + 1) // 2, counted from 1, so the boxes that are kept adjoin,
    and the first one begins (f - 1) // 2 pixels outside the picture.
    """
    height, width = planes.shape[1:]
    side = max(1, int(min(height, width) / _DOWNSAMPLED_SIDE + 0.5))  # half rounds up, not to even
    outside = (side - 1) // 2
    rows, columns = -(-height // side), -(-width // side)
    mirrored = np.pad(planes, ((0, 0), (outside, side), (outside, side)), mode="symmetric")
    blocks = mirrored[:, : rows * side, : columns * side].reshape(-1, rows, side, columns, side)
    return np.asarray(blocks.mean(axis=(2, 4)))


def _gaussian(size: int, sigma: float) -> tuple[float, ...]:
    weights = np.exp(-((np.arange(size) - (size - 1) / 2) ** 2) / (2 * sigma**2))
    return tuple((weights / weights.sum()).tolist())


_GAUSSIAN_11 = _gaussian(11, 1.5)
_UNIFORM_7 = (1 / 7,) * 7

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        protocol.name: protocol
        for protocol in (
            Protocol(
                "crdnet",
                "RGB floats, neither clipped nor rounded; SSIM of scikit-image, uniform 7 x 7",
                planes=_rgb_as_it_is,
                peak=1.0,
                window=_UNIFORM_7,
                sample_covariance=True,
            ),
            Protocol(
                "toolbox-rgb",
                "RGB rounded to 8 bits; SSIM with a Gaussian window, mean of channels",
                planes=_rgb_8bit,
                peak=255.0,
                window=_GAUSSIAN_11,
            ),
            Protocol(
                "prenet-y",
                "Y of MATLAB from 8-bit pictures, not rounded; SSIM of ssim.m, with downsampling",
                planes=_luma_of_double,
                peak=255.0,
                window=_GAUSSIAN_11,
                downsampling=True,
            ),
            Protocol(
                "restormer-y",
                "Y of MATLAB rounded to 8 bits; SSIM of SSIM_index, without downsampling",
                planes=_luma_8bit,
                peak=255.0,
                window=_GAUSSIAN_11,
            ),
        )
    }
)
"""The protocols by name."""
