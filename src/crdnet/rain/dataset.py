"""Folder of synthetic pairs that can be interrupted, resumed and reproduced exactly.

    pairs/input/a.png  target/a.png  streaks/a.png  labels.csv  manifest.json

The manifest holds all options that determine the pixels. A folder is resumed only with equal
options, and its content is replaced only on request. Several variants of an image are
`input/a_1.png` and `input/a_2.png` with one `target/a.png`, which the layouts of the field read as
one scene.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO, StringIO
from pathlib import Path, PurePosixPath
from time import monotonic
from types import TracebackType
from typing import Any
from zlib import crc32

import numpy as np
from PIL import Image

from crdnet.errors import OutputError
from crdnet.files import write_whole
from crdnet.rain.layers import Layer
from crdnet.rain.synthesis import RainyPair

_SECONDS_BETWEEN_SAVES = 5.0
_LABELS = ("rainy", "clean", "density", "intensity", "photo")


def make_rng(seed: int, source: str, variant: int) -> np.random.Generator:
    """Make the generator of one pair, independent of the other pairs and of their order.

    Args:
        seed: Seed of the whole data set.
        source: Path of the clean image below its folder, with `/`.
        variant: Number of the pair of this image, from 1.
    """
    # crc32 is the same in every process, unlike hash().
    return np.random.default_rng([seed, crc32(source.encode("utf-8", "surrogateescape")), variant])


@dataclass(frozen=True, slots=True)
class PairPlace:
    """Paths of a pair below the folder of the data set."""

    rainy: str
    clean: str
    streaks: str

    @classmethod
    def from_source(cls, source: PurePosixPath, suffix: str, variant: int | None) -> "PairPlace":
        """Return the place of a pair of a clean image; `variant` is None for a single pair."""
        stem = source.with_suffix("").as_posix()
        numbered = stem if variant is None else f"{stem}_{variant}"
        return cls(f"input/{numbered}{suffix}", f"target/{stem}{suffix}", f"streaks/{numbered}.png")


class PairFolder:
    """Context manager that writes a data set and saves its labels and manifest at the end."""

    def __init__(self, root: Path, options: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Begin or resume a data set.

        Args:
            root: Folder of the data set; created if it is missing.
            options: Options that determine the pixels, as JSON values.
            overwrite: Whether to replace the content of the folder, whatever its options.

        Raises:
            OutputError: The folder holds content that must not be replaced.
        """
        self.root = root
        self.options = dict(options)
        self._records: dict[str, dict[str, Any]] = {}
        self._targets: set[str] = set()
        self._saved = monotonic()
        before = self._read_manifest(overwrite=overwrite)
        if overwrite:
            self._remove(before)
        else:
            self._records = before

    def __enter__(self) -> "PairFolder":
        self.save()  # The manifest marks the folder as a data set of crdnet, even after a kill.
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.save()

    def has(self, place: PairPlace) -> bool:
        """Return whether all files of a pair exist."""
        return place.rainy in self._records and all(
            (self.root / path).is_file() for path in (place.rainy, place.clean, place.streaks)
        )

    def write(self, place: PairPlace, pair: RainyPair, about: Mapping[str, Any]) -> None:
        """Write a pair; each file is complete or absent.

        Args:
            place: Paths of the pair.
            pair: Pair to write. If it went through JPEG and the place is a `.jpg`, its JPEG files
                are written.
            about: Additional entries for the manifest.

        Raises:
            OutputError: A file cannot be written.
        """
        as_jpeg = place.rainy.endswith(".jpg")
        rainy, clean = (
            pair.jpeg_files
            if as_jpeg and pair.jpeg_files
            else (_encode_png(pair.rainy), _encode_png(pair.clean))
        )
        # Variants share one target, which is written once.
        if place.clean not in self._targets:
            write_whole(self.root / place.clean, clean)
            self._targets.add(place.clean)
        write_whole(self.root / place.streaks, _encode_png(pair.streaks))
        write_whole(self.root / place.rainy, rainy)
        self._records[place.rainy] = {
            "rainy": place.rainy,
            "clean": place.clean,
            "streaks": place.streaks,
            **about,
            "density": pair.density.name.lower(),
            "intensity": round(pair.intensity, 3),
            "sha256": sha256(pair.rainy.tobytes()).hexdigest(),
            "spec": pair.spec.as_dict(),
        }
        # Each save writes all records, so saving after every pair would cost quadratic time.
        if monotonic() - self._saved > _SECONDS_BETWEEN_SAVES:
            self.save()

    def save(self) -> None:
        """Write labels and manifest."""
        records = [self._records[name] for name in sorted(self._records)]
        table = StringIO()
        rows = csv.DictWriter(table, _LABELS, extrasaction="ignore", lineterminator="\n")
        rows.writeheader()
        rows.writerows(records)
        write_whole(self.root / "labels.csv", table.getvalue().encode("utf-8", "surrogateescape"))
        manifest = {**self.options, "pairs": records}
        write_whole(self.root / "manifest.json", (json.dumps(manifest, indent=1) + "\n").encode())
        self._saved = monotonic()

    @property
    def records(self) -> tuple[Mapping[str, Any], ...]:
        """Entry of the manifest for each pair."""
        return tuple(self._records.values())

    def _read_manifest(self, *, overwrite: bool) -> dict[str, dict[str, Any]]:
        hint = "name another folder, or replace it with `overwrite=True`"
        path = self.root / "manifest.json"
        if not path.exists():
            outputs = ("input", "target", "streaks", "labels.csv")
            taken = [name for name in outputs if (self.root / name).exists()]
            if taken and not overwrite:
                raise OutputError(
                    f"{self.root / taken[0]}: exists and was not made by crdnet synth; {hint}",
                )
            return {}
        try:
            manifest = json.loads(path.read_text())
            pairs = {str(record["rainy"]): dict(record) for record in manifest.pop("pairs")}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if overwrite:
                return {}
            raise OutputError(
                f"{path}: is not the manifest of a data set of crdnet synth; {hint}",
            ) from error
        # Compared as JSON values, because JSON turns tuples into lists.
        wanted = json.loads(json.dumps(self.options))
        if manifest != wanted and not overwrite:
            names = sorted(manifest.keys() | wanted.keys())
            differing = [name for name in names if manifest.get(name) != wanted.get(name)]
            raise OutputError(
                f"{self.root}: was made with another {' and '.join(differing)}, "
                f"and pairs must not mix; {hint}",
            )
        return pairs

    def _remove(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Remove the files of an earlier data set, so that its pairs do not mix with new ones."""
        root = self.root.resolve()
        for record in records.values():
            for kind in ("rainy", "clean", "streaks"):
                path = self.root / str(record.get(kind, ""))
                # A manifest written by hand must not delete files outside the folder.
                if path.is_file() and path.resolve().is_relative_to(root):
                    path.unlink()


def _encode_png(pixels: Layer) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
