"""Fusion of a frame with its aligned neighbours.

Each frame is a measurement of the same scene with an error that is large where the network removed
rain. The estimates of a pixel are averaged by their inverse variances, as a Kalman filter does:

- the frame itself: error in proportion to the rain removed around the pixel;
- the estimate up to the previous frame: its variance, and more if it was moved;
- the next frame.

A neighbour that disagrees over a window wider than a streak shows other content: an occlusion, a
moving object, a cut, another exposure. Its variance grows by the disagreement, so that the frame
itself decides. Pixels that are equal in three frames are restored even if the network changed them,
because rain does not stay in place.

A small model of three frames (`FusionModel`) then improves the result.
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from crdnet.density import luma
from crdnet.errors import ModelError
from crdnet.runtime import FUSE, FUSED_NAME, IMAGES_NAME, count_cpus, find_model, read_info
from crdnet.sizes import reflect_border, round_up_size
from crdnet.video.engine import Colours
from crdnet.video.flow import Flow, Plane, average_box, warp

NOISE_LEVELS = 0.1
"""Error of a pixel without rain, in grey levels."""
ERROR_OF_RAIN = 0.5
"""Error of a derained pixel, as a share of the rain removed around it."""
MOVED_PIXELS = 0.25
"""Error of a displacement, in pixels; moved detail has an error of its gradient times this."""
STILL_LEVELS = 1.0
"""Error of a neighbour that is not moved, in grey levels."""
LEAST_VARIANCE = 0.3
"""Smallest variance, which a long static scene reaches, in squared grey levels."""
# Standard deviation added for each grey level of disagreement that rain does not explain.
_DISAGREEMENT = 1.5
# Share of the rain around a pixel by which neighbours may disagree.
_EXPLAINED = 0.2
_UNEXPLAINED_LEVELS = 1.0
# Displacement that counts as movement, in pixels.
_LEAST_MOVE_PIXELS = 0.05
# Side of the window for disagreement, in pixels.
_WINDOW = 7
# Side of the window for rain at a pixel, in pixels.
_NEAR = 3
# Range of three rainy frames that counts as no change, in grey levels.
_ALIKE_LEVELS = 8.0

MODEL_MARGIN = 24
"""Pixels that a model of three frames may see around a pixel."""

_ERRORS_ONLY = 3
# Distance from the range of the rainy neighbours that counts as noise, in grey levels.
_OWN_LEVELS = 3.0


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame, the estimate of the network, and the rain between them.

    Attributes:
        rainy: The input frame (h, w, 3).
        derained: Estimate of the network (h, w, 3).
        luma: Luma of the estimate (h, w).
        rain: Rain removed around each pixel (h, w), in grey levels.
        wide: Rain removed over the window for disagreement (h, w), in grey levels.
    """

    rainy: Colours
    derained: Colours
    luma: Plane
    rain: Plane
    wide: Plane

    @classmethod
    def from_estimate(cls, rainy: Colours, derained: Colours) -> "Seen":
        """Measure the rain that was removed from a frame."""
        light = np.asarray(luma(derained), np.float32)
        rain = average_box(np.abs(luma(rainy) - light), _NEAR)
        return cls(rainy, derained, light, rain, average_box(rain, _WINDOW))

    @property
    def variance(self) -> Plane:
        """Squared error of the estimate (h, w)."""
        return np.asarray(
            np.float32(NOISE_LEVELS**2) + (np.float32(ERROR_OF_RAIN) * self.rain) ** 2
        )

    @cached_property
    def steepness(self) -> Plane:
        """Squared gradient around each pixel (h, w), in squared grey levels per pixel."""
        down, right = np.gradient(self.luma)
        return average_box(np.asarray(down**2 + right**2, np.float32), _NEAR)


class Fused(NamedTuple):
    """Frame fused with its neighbours.

    Attributes:
        colours: Derained frame (h, w, 3).
        belief: Estimate without the next frame (h, w, 3), used as the previous one later.
        variance: Squared error of the belief (h, w).
    """

    colours: Colours
    belief: Colours
    variance: Plane


class Neighbour(NamedTuple):
    """Previous or next frame, moved onto the frame to fuse.

    Attributes:
        rainy: Input frame of the neighbour (h, w, 3).
        colours: Estimate to fuse: that of the neighbour alone, or the belief up to it.
        variance: Squared error of the estimate (h, w).
        wide: Rain removed over the window for disagreement (h, w).
        moved: Mask of the moved pixels (h, w); None if no pixel was moved.
    """

    rainy: Colours
    colours: Colours
    variance: Plane
    wide: Plane
    moved: npt.NDArray[np.bool_] | None


def align(
    seen: Seen,
    colours: Colours,
    variance: Plane,
    flow: Flow | None,
    offset: tuple[int, int] = (0, 0),
) -> Neighbour:
    """Move a neighbour onto a frame.

    Args:
        seen: The neighbour.
        colours: Estimate to fuse: that of the neighbour alone, or the belief up to it.
        variance: Squared error of the estimate.
        flow: Displacement from the frame towards the neighbour; None if nothing moved.
        offset: Position (row, column) of the frame within the neighbour.
    """
    if flow is None:
        return Neighbour(seen.rainy, colours, variance, seen.wide, None)
    moved = np.maximum(*np.abs(flow)) > _LEAST_MOVE_PIXELS
    images = [seen.rainy, colours, variance, seen.wide]
    rainy, colours, variance, wide = warp(images, flow, offset)
    return Neighbour(rainy, colours, variance, wide, moved)


def fuse(here: Seen, before: Neighbour | None, after: Neighbour | None) -> Fused:
    """Fuse a frame with its neighbours by their variances.

    Args:
        here: The frame.
        before: The previous frame with the belief up to it, if it shows the same scene.
        after: The next frame, if it shows the same scene.
    """
    measured = here.derained
    if before is not None and after is not None:
        measured = _restore_what_stays(here, before, after)
    belief, weight = measured, np.asarray(1 / here.variance, np.float32)
    if before is not None:
        belief, weight = _average(belief, weight, before.colours, _weigh(here, before))
    fused = belief
    if after is not None:
        fused, _ = _average(belief, weight, after.colours, _weigh(here, after))
    return Fused(fused, belief, np.asarray(1 / weight, np.float32))


def _average(
    one: Colours, weight: Plane, other: Colours, other_weight: Plane
) -> tuple[Colours, Plane]:
    """Return the weighted mean of two estimates, and its weight."""
    total = weight + other_weight
    return _mix(one, other, other_weight / total), total


def _mix(one: Colours, other: Colours, share: Plane) -> Colours:
    """Blend an image with a share (h, w) of another."""
    mixed = other - one
    for channel in range(3):  # several times as fast as a broadcast over the last axis
        mixed[..., channel] *= share
    mixed += one
    return mixed


def _weigh(here: Seen, neighbour: Neighbour) -> Plane:
    """Return the weight of a neighbour for each pixel."""
    at_least = np.maximum(neighbour.variance, np.float32(LEAST_VARIANCE))
    variance = np.asarray(at_least + np.float32(STILL_LEVELS**2), np.float32)
    if neighbour.moved is not None:
        slip = np.float32(MOVED_PIXELS**2) * here.steepness * neighbour.moved
        variance = np.asarray(variance + slip, np.float32)
    # In all channels, because a moving object may differ from its background only in hue.
    apart = average_box(_average_colours(np.abs(neighbour.colours - here.derained)), _WINDOW)
    explained = _EXPLAINED * (here.wide + neighbour.wide) + _UNEXPLAINED_LEVELS
    strange = (_DISAGREEMENT * np.maximum(0, apart - explained)) ** 2
    return np.asarray(1 / (variance + strange), np.float32)


def _restore_what_stays(here: Seen, before: Neighbour, after: Neighbour) -> Colours:
    """Return the estimate of the network, with rainy pixels where three rainy frames agree."""
    low, high = np.minimum(before.rainy, after.rainy), np.maximum(before.rainy, after.rainy)
    spread = _average_colours(np.maximum(high, here.rainy) - np.minimum(low, here.rainy))
    apart = average_box(np.minimum(spread, np.float32(30)), _NEAR)
    share = np.exp(-((apart / np.float32(_ALIKE_LEVELS)) ** 2))
    # The pixels of the frame itself, noise included, unless a faint streak covers them.
    low -= np.float32(_OWN_LEVELS)
    high += np.float32(_OWN_LEVELS)
    return _mix(here.derained, np.clip(here.rainy, low, high), share)


def _average_colours(colours: Colours) -> Plane:
    # Several times as fast as mean(2), which goes over three values at a time.
    red, green, blue = (colours[..., channel] for channel in range(3))
    return np.asarray((red + green + blue) * np.float32(1 / 3))


class FusionModel:
    """Model that improves a fused frame from the inputs of the fusion; see `crdnet.nn.fusion`.

    It is not thread-safe, because it reuses the memory of its input.

    Args:
        model: Name of a shipped model, or path of an .onnx file.
        threads: Number of threads; None uses all CPUs.

    Raises:
        ModelError: There is no such model, it has another task, or its margin is too large.
    """

    def __init__(self, model: str | Path = "video", threads: int | None = None) -> None:
        stored = find_model(model, task=FUSE)
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        options.intra_op_num_threads = count_cpus() if threads is None else threads
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self._info = read_info(stored)
        if self._info.margin > MODEL_MARGIN:
            raise ModelError(
                f"the model {model} sees {self._info.margin} pixels far, and tiles of frames have "
                f"a margin of {MODEL_MARGIN}; give one with fewer layers"
            )
        self._session = ort.InferenceSession(
            stored.read(), options, providers=["CPUExecutionProvider"]
        )
        # Reused, because so much memory would otherwise be mapped again for each frame.
        self._memory: npt.NDArray[np.float32] = np.empty(0, np.float32)

    def __call__(
        self, here: Seen, before: Neighbour | None, after: Neighbour | None, fused: Colours
    ) -> Colours:
        """Return the improved frame (h, w, 3).

        Args:
            here: The frame.
            before: The previous frame with the belief up to it, moved onto the frame.
            after: The next frame, moved onto the frame.
            fused: The frame fused by variances.
        """
        images = list_images(here, before, after, fused)
        height, width = fused.shape[:2]
        size = round_up_size(height, width, self._info.size_multiple)
        shape = (1, 3 * len(images), *size)
        if self._memory.size < prod(shape):
            self._memory = np.empty(prod(shape), np.float32)
        batch = self._memory[: prod(shape)].reshape(shape)
        for number, image in enumerate(images):
            into = batch[0, 3 * number : 3 * number + 3, :height, :width]
            np.multiply(image.transpose(2, 0, 1), np.float32(1 / 255), out=into)
        reflect_border(batch[0], height, width)
        (answer,) = self._session.run([FUSED_NAME], {IMAGES_NAME: batch})
        return np.asarray(answer[0].transpose(1, 2, 0)[:height, :width] * np.float32(255))


def list_images(
    here: Seen, before: Neighbour | None, after: Neighbour | None, fused: Colours
) -> list[Colours]:
    """Return the images of `FUSED_IMAGES`; the frame itself replaces a missing neighbour."""
    images = [fused, here.derained, here.rainy]
    for neighbour in (before, after):
        if neighbour is None:
            images += [here.derained, here.rainy]
        else:
            images += [neighbour.colours, neighbour.rainy]
    return images
