"""Network for images of any size: it senses rain at several scales, cuts tiles and pads.

An image is an array, or bands of rows that are read from top to bottom. Bands give the same result
as an array and keep memory bounded for images of gigapixels.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal, NamedTuple, overload

import numpy as np

from crdnet.density import average_intensity, average_strongest, luma, measure_misfit
from crdnet.runtime.direction import (
    choose_shear,
    is_better_sheared,
    measure_direction,
    shear_rows,
)
from crdnet.runtime.pixels import Array, Colours, as_colours, as_dtype, as_rgb, drop_alpha
from crdnet.runtime.scales import (
    choose_reduction,
    compute_margin,
    enlarge_bands,
    list_reductions,
    list_samples,
    measure_detail,
    reduce_image,
)
from crdnet.runtime.sensing import UNKNOWN, Look, SenseReport
from crdnet.runtime.session import Session
from crdnet.sizes import cut_reflected_window, round_up_size
from crdnet.tiling import Tile, choose_tile_sides, cut_tiles

OnTile = Callable[[int, int], object]
"""Callback after each tile of an image; takes the number of finished tiles and of all tiles."""
# Few enough rows to stay in the CPU cache from step to step.
_FINISHED_ROWS = 32
# Every second pixel of every fourth row gives the misfit of all pixels in an eighth of the time.
_MISFIT_STEPS = (4, 2)


@dataclass(frozen=True)
class Bands:
    """Image that is read in bands of rows, never held in memory as a whole."""

    height: int
    width: int
    read: Callable[[], Iterator[Array]]
    """Function that yields rows (n, w) or (n, w, channels) from top to bottom, alpha last; each
    call starts at the top."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels, like the shape of an array."""
        return self.height, self.width


class _Sample(NamedTuple):
    """Part of an image on which the network runs to sense rain."""

    reduction: int
    top: int
    left: int
    height: int
    """Height in pixels of the reduced image, as is `width`; `top` and `left` are in pixels of the
    full image."""
    width: int


class Network:
    """Opened model for images of any size.

    Args:
        session: The opened model.
        tile: Side of a tile in pixels; 0 runs every image whole, "auto" chooses a side that bounds
            the memory.
        ensemble: If True, average the outputs for the image and for its mirror image (left to
            right), which takes twice the time.
    """

    def __init__(
        self, session: Session, tile: int | Literal["auto"], *, ensemble: bool = False
    ) -> None:
        self.session = session
        self._ensemble = ensemble
        self._multiple = session.info.size_multiple
        self._tile = tile

    def enable_ensemble(self) -> "Network":
        """Return a copy of this network with `ensemble` on."""
        return Network(self.session, self._tile, ensemble=True)

    def sense(self, rainy: Array | Bands) -> SenseReport:
        """Sense the rain in an image at several scales; return the report.

        Bands are read once.
        """
        if not self.session.senses:
            return UNKNOWN
        height, width = rainy.shape[:2]
        places = _list_samples(height, width)
        if isinstance(rainy, Bands):
            parts = _cut_out(rainy.read(), places, height, width)
            sources = [(part, 0, 0) for part in parts]
        else:
            sources = [(rainy, each.top, each.left) for each in places]

        def look_at(reduction: int, shear: int = 0) -> list[tuple[_Sample, Look]]:
            return [
                (place, self._look(*source, place.height, place.width, reduction, shear))
                for place, source in zip(places, sources, strict=True)
                if place.reduction == reduction
            ]

        looked = {each: look_at(each) for each in list_reductions(height, width)}
        report = self._combine_looks([look for looks in looked.values() for look in looks])
        chosen = looked[report.reduction]
        if not report.dry:
            # Steep rain is missed most at full size, and may be found at a smaller scale instead.
            for reduction in [each for each in looked if each <= report.reduction]:
                shear = choose_shear(measure_direction(_list_changes(looked[reduction])))
                if not shear:
                    continue
                sheared = look_at(reduction, shear)
                if is_better_sheared(_list_changes(sheared), _list_changes(chosen)):
                    # Each view may miss rain that the other one shows.
                    reports = (report, self._combine_looks(sheared))
                    strongest = max(reports, key=lambda each: each.intensity or 0.0)
                    report = replace(strongest, scale=1 / reduction, shear=shear)
                    chosen = sheared
                    break
        is_whole = len(chosen) == 1 and not isinstance(rainy, Bands)
        return replace(report, look=chosen[0][1]) if is_whole else report

    def iterate_estimates(
        self, rainy: Array, sensed: SenseReport, on_tile: OnTile | None = None
    ) -> Iterator[tuple[slice, slice, Colours]]:
        """Yield the estimate of the derained image piece by piece, neither clipped nor rounded.

        Each piece is (rows, columns, colours (h, w, 3)).
        """
        height, width = rainy.shape[:2]
        plan = list(self._plan(height, width, sensed))
        for done, tile in enumerate(plan, 1):
            yield from self._estimate_piece(
                rainy, tile, sensed, sensed.look if len(plan) == 1 else None
            )
            if on_tile is not None:
                on_tile(done, len(plan))

    @overload
    def derain(
        self, rainy: Array, sensed: SenseReport, strength: float, on_tile: OnTile | None = None
    ) -> Array: ...

    @overload
    def derain(
        self, rainy: Bands, sensed: SenseReport, strength: float, on_tile: OnTile | None = None
    ) -> Iterator[Array]: ...

    def derain(
        self,
        rainy: Array | Bands,
        sensed: SenseReport,
        strength: float,
        on_tile: OnTile | None = None,
    ) -> Array | Iterator[Array]:
        """Return the derained image in the shape, dtype and range of the rainy one, with its alpha.

        Args:
            rainy: Pixels (h, w), (h, w, 3) or (h, w, 4), or bands of such pixels.
            sensed: Report of `sense`.
            strength: Share of the rain to remove, 0 to 1.
            on_tile: Called with the number of finished tiles and of all tiles.

        Returns:
            An array, or bands from top to bottom, computed on demand.
        """
        if isinstance(rainy, Bands):
            return self._derain_bands(rainy, sensed, strength, on_tile)
        derained = _make_like(rainy)
        colours = drop_alpha(rainy)
        into = drop_alpha(derained)
        for rows, columns, estimate in self.iterate_estimates(colours, sensed, on_tile):
            _finish(into[rows, columns], colours[rows, columns], estimate, strength)
            del estimate  # frees it before the next one is computed
        return derained

    def _derain_bands(
        self, bands: Bands, sensed: SenseReport, strength: float, on_tile: OnTile | None
    ) -> Iterator[Array]:
        """Yield the derained bands; read the bands once and hold only one row of tiles."""
        height, width = bands.shape
        rows_read = RowsRead(bands.read())
        plan = list(self._plan(height, width, sensed))
        done = 0
        for _, row in groupby(plan, key=lambda tile: tile.core_rows.start):
            across = list(row)
            window, core = across[0].window_rows, across[0].core_rows
            rainy = rows_read.read_between(window.start, min(window.stop, height))
            above = core.start - window.start
            derained = _make_like(rainy[above : min(core.stop, height) - window.start])
            colours, into = drop_alpha(rainy), drop_alpha(derained)
            for tile in across:
                lowered = tile._replace(
                    core_rows=slice(above, core.stop - window.start),
                    window_rows=slice(0, window.stop - window.start),
                )
                for rows, columns, estimate in self._estimate_piece(colours, lowered, sensed, None):
                    place = into[rows.start - above : rows.stop - above, columns]
                    _finish(place, colours[rows, columns], estimate, strength)
                    del estimate
                done += 1
                if on_tile is not None:
                    on_tile(done, len(plan))
            del rainy, colours
            yield derained

    def _look(
        self,
        rainy: Array,
        top: int,
        left: int,
        height: int,
        width: int,
        reduction: int,
        shear: int = 0,
    ) -> Look:
        """Return the output of the network for a part of an image.

        The sides of the part are rounded up to the model's size multiple.

        Args:
            rainy: Pixels of the image.
            top: First row of the part, in pixels of the image.
            left: First column of the part, in pixels of the image.
            height: Height of the part, in pixels of the reduced image, as is `width`.
            width: Width of the part.
            reduction: Factor by which the network sees the image smaller.
            shear: Shear under which it sees the image; see `crdnet.runtime.direction`.
        """
        high, wide = (reduction * side for side in round_up_size(height, width, self._multiple))
        window = cut_reflected_window(
            drop_alpha(rainy), slice(top, top + high), slice(left, left + wide)
        )
        seen = as_rgb(reduce_image(window, reduction))
        return self._run_sheared(seen, shear) if shear else self._run(seen)

    def _run_sheared(self, seen: Colours, shear: int) -> Look:
        """Return the output of the network for sheared colours, sheared back."""
        # A rotated row ends where it begins. Reflected columns keep these ends away from the part;
        # repeated ones keep the border of the sheared image away.
        margin, _ = round_up_size(self.session.info.margin, 0, self._multiple)
        reflected = margin * (1 + abs(shear))
        padded = np.pad(seen, ((0, 0), (reflected, reflected), (0, 0)), mode="reflect")
        sheared = shear_rows(padded, shear)
        look = self._run(np.pad(sheared, ((0, 0), (margin, margin), (0, 0)), mode="wrap"))

        def shear_back(output: Colours, cell: int) -> Colours:
            rotated = output[:, margin // cell : output.shape[1] - margin // cell]
            whole = shear_rows(rotated, -shear)
            return whole[:, reflected // cell : whole.shape[1] - reflected // cell]

        density = None if look.density is None else shear_back(look.density, self._multiple)
        return Look(seen, shear_back(look.derained, 1), density)

    def _run(self, seen: Colours) -> Look:
        """Return the output of the network for colours whose sides are multiples of its own."""
        answer = self.session(seen)
        look = Look(seen, answer.derained, answer.density)
        return self._average_mirrored(look) if self._ensemble else look

    def _average_mirrored(self, look: Look) -> Look:
        """Return the mean of a look and of the look at the mirror image, mirrored back."""
        mirrored = self.session(np.ascontiguousarray(look.rainy[:, ::-1]))
        half = np.float32(0.5)
        derained = half * (look.derained + mirrored.derained[:, ::-1])
        if look.density is None or mirrored.density is None:
            return look._replace(derained=derained)
        return Look(look.rainy, derained, half * (look.density + mirrored.density[:, ::-1]))

    def _combine_looks(self, looked: list[tuple[_Sample, Look]]) -> SenseReport:
        """Combine the looks at the parts of an image into one report."""
        reports: dict[int, SenseReport] = {}
        details: dict[int, float] = {}
        for reduction, group in groupby(looked, key=lambda each: each[0].reduction):
            parts = list(group)
            intensity = float(np.mean([self._average_intensity(*part) for part in parts]))
            cells = np.concatenate([self._cut_cells(*part) for part in parts])
            reports[reduction] = SenseReport(
                intensity, 1 / reduction, float(np.median(cells)), average_strongest(cells)
            )
            details[reduction] = float(
                np.mean(
                    [
                        measure_detail(look.rainy[: sample.height, : sample.width])
                        for sample, look in parts
                    ]
                )
            )
        reduction = choose_reduction(
            {each: report.intensity or 0.0 for each, report in reports.items()}, details
        )
        rainy, derained = (
            np.concatenate(pixels)
            for pixels in zip(
                *(_thin_out(*part) for part in looked if part[0].reduction == reduction),
                strict=True,
            )
        )
        return replace(reports[reduction], misfit=measure_misfit(rainy - derained, derained))

    def _cut_cells(self, sample: _Sample, look: Look) -> Colours:
        """Return the intensities of the cells (n,) that a sample covers."""
        assert look.density is not None
        rows, columns = (-(-side // self._multiple) for side in (sample.height, sample.width))
        return look.density[:rows, :columns].ravel()

    def _average_intensity(self, sample: _Sample, look: Look) -> float:
        assert look.density is not None
        return average_intensity(look.density, sample.height, sample.width, self._multiple)

    def _estimate_piece(
        self, rainy: Array, tile: Tile, sensed: SenseReport, look: Look | None
    ) -> Iterator[tuple[slice, slice, Colours]]:
        """Yield (rows, columns, estimate) of the core of a tile.

        `look` is an earlier output of the network for the tile's window, if there is one.
        """
        reduction = sensed.reduction
        window_rows, window_columns = tile.window_rows, tile.window_columns
        if look is None:
            high, wide = (
                (span.stop - span.start) // reduction for span in (window_rows, window_columns)
            )
            look = self._look(
                rainy, window_rows.start, window_columns.start, high, wide, reduction, sensed.shear
            )
        if reduction == 1:
            estimates = iter([(tile.core_rows.start, look.derained[tile.core_in_window])])
        else:
            estimates = (
                (
                    rows.start,
                    as_rgb(as_colours(cut_reflected_window(rainy, rows, tile.core_columns))) - rain,
                )
                for rows, rain in enlarge_bands(look.rainy - look.derained, reduction, tile)
            )
        # Drop the padding beyond the image.
        height, width = rainy.shape[:2]
        columns = slice(tile.core_columns.start, min(tile.core_columns.stop, width))
        for start, estimate in estimates:
            rows = slice(start, min(start + len(estimate), height))
            if rows.stop > rows.start:
                yield (
                    rows,
                    columns,
                    estimate[: rows.stop - rows.start, : columns.stop - columns.start],
                )

    def _plan(self, height: int, width: int, sensed: SenseReport) -> Iterator[Tile]:
        """Return the tiles of an image, row by row."""
        reduction = sensed.reduction
        multiple = self._multiple * reduction
        # What is `margin` rows away is moved by as many columns, or by twice as many.
        margin = compute_margin(reduction, self.session.info.margin * (1 + abs(sensed.shear)))
        padded = round_up_size(height, width, multiple)
        sides = (
            choose_tile_sides(*padded, margin, multiple, reduction=reduction)
            if self._tile == "auto"
            else (self._tile, self._tile)
        )
        return cut_tiles(*padded, sides, margin, multiple)


class RowsRead:
    """Buffer of the most recently read rows of an image."""

    def __init__(self, bands: Iterator[Array]) -> None:
        self._bands = bands
        self._coming = next(bands)
        self._held = self._coming[:0]
        self._first = 0

    def read_between(self, start: int, stop: int) -> Array:
        """Return rows `start` to `stop`; neither may be less than at the previous call.

        Rows above `start` are dropped, which bounds the memory. Delete the result of a call before
        the next call, otherwise both stay in memory.
        """
        self._held, self._first = self._held[start - self._first :].copy(), start
        rows = np.empty((stop - start, *self._held.shape[1:]), self._held.dtype)
        at = len(self._held)
        rows[:at] = self._held
        while at < len(rows):
            taken = self._coming[: len(rows) - at]
            rows[at : at + len(taken)] = taken
            at += len(taken)
            self._coming = self._coming[len(taken) :]
            if at < len(rows):
                self._coming = next(self._bands)
        self._held = rows
        return rows

    @property
    def count(self) -> int:
        """Number of rows in memory."""
        return len(self._held) + len(self._coming)


def _list_samples(height: int, width: int) -> list[_Sample]:
    """Return the parts on which to sense rain, in the order of reductions."""
    return [
        _Sample(reduction, top * reduction, left * reduction, high, wide)
        for reduction in list_reductions(height, width)
        for top, left, high, wide in list_samples(-(-height // reduction), -(-width // reduction))
    ]


def _cut_out(bands: Iterator[Array], places: list[_Sample], height: int, width: int) -> list[Array]:
    """Return the pixels of each part, cut at the border of the image; the bands are read once."""
    parts: list[list[Array]] = [[] for _ in places]
    first = 0
    for band in bands:
        for sample, pieces in zip(places, parts, strict=True):
            begin, end = sample.top, min(sample.top + sample.height * sample.reduction, height)
            right = min(sample.left + sample.width * sample.reduction, width)
            if first < end and first + len(band) > begin:
                rows = slice(max(begin - first, 0), min(end - first, len(band)))
                pieces.append(band[rows, sample.left : right].copy())
        first += len(band)
    return [np.concatenate(pieces) for pieces in parts]


def _thin_out(sample: _Sample, look: Look) -> tuple[Colours, Colours]:
    """Return the rainy and the derained colours (n, 3) of some pixels of a sample.

    Successive rows use different columns, so that no vertical streak is missed.
    """
    down, across = _MISFIT_STEPS
    parts = [
        (slice(turn * down, sample.height, across * down), slice(turn, sample.width, across))
        for turn in range(across)
    ]
    rainy, derained = (
        np.concatenate([colours[part].reshape(-1, 3) for part in parts])
        for colours in (look.rainy, look.derained)
    )
    return rainy, derained


def _list_changes(looked: list[tuple[_Sample, Look]]) -> list[Colours]:
    """Return the luma (h, w) that is removed from each sample, in units of white."""
    areas = [(slice(0, sample.height), slice(0, sample.width)) for sample, _ in looked]
    return [
        luma(look.rainy[area] - look.derained[area])
        for area, (_, look) in zip(areas, looked, strict=True)
    ]


def _make_like(rainy: Array) -> Array:
    """Return an array for the derained pixels, with the alpha of the rainy ones filled in."""
    derained = np.empty_like(rainy, order="C")
    if rainy.ndim == 3 and rainy.shape[2] in (2, 4):
        derained[..., -1] = rainy[..., -1]
    return derained


def _finish(into: Array, before: Array, estimate: Colours, strength: float) -> None:
    """Write the estimate in the dtype of the rainy pixels, with `strength` of the rain removed."""
    for start in range(0, len(into), _FINISHED_ROWS):
        rows = slice(start, start + _FINISHED_ROWS)
        after = np.clip(estimate[rows], 0.0, 1.0)
        if before.ndim == 2:
            after = luma(after)
        if strength != 1.0:
            colours = as_colours(before[rows])
            after = colours + np.float32(strength) * (after - colours)
        into[rows] = as_dtype(after, before.dtype)
