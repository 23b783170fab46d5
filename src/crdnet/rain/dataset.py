"""A folder of synthetic pairs that can be stopped, resumed and made again, pixel for pixel.

    pairs/input/a.png  target/a.png  streaks/a.png  labels.csv  manifest.json

The manifest holds what the pixels follow from. A folder is only ever resumed with the options that it was
begun with; what it holds is replaced only when asked. Several variants of a photo are `input/a_1.png`,
`input/a_2.png` with one `target/a.png`, which the layouts of the field read as one scene.
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
from crdnet.rain.pairs import RainyPair

_SECONDS_BETWEEN_SAVES = 5.0
_LABELS = ("rainy", "clean", "density", "strength", "photo")


def rng_of(seed: int, photo: str, variant: int) -> np.random.Generator:
    """Return the random numbers of one pair: they follow from nothing else, so order and company do not matter.

    Args:
        seed: Of the whole data set.
        photo: Path of the photo below its folder, with `/`.
        variant: 1 for the first pair of a photo.
    """
    return np.random.default_rng([seed, crc32(photo.encode("utf-8", "surrogateescape")), variant])


@dataclass(frozen=True, slots=True)
class PairPlace:
    """Where a pair goes, as paths below the data set's folder."""

    rainy: str
    clean: str
    streaks: str

    @classmethod
    def of(cls, photo: PurePosixPath, suffix: str, variant: int | None) -> "PairPlace":
        """Return the place of a photo's pair; `variant` is None where a photo has one pair only."""
        stem = photo.with_suffix("").as_posix()
        numbered = stem if variant is None else f"{stem}_{variant}"
        return cls(f"input/{numbered}{suffix}", f"target/{stem}{suffix}", f"streaks/{numbered}.png")


class PairFolder:
    """A data set that is being written; a context manager that saves labels and manifest when it ends."""

    def __init__(self, root: Path, options: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Begin a data set, or go on with one.

        Args:
            root: Its folder, made where it is missing.
            options: What the pixels follow from, as values that JSON can hold.
            overwrite: Whether a data set with other options, or of unknown origin, is replaced, and one
                with the same options made anew.

        Raises:
            OutputError: The folder holds something that must not be replaced.
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
        self.save()  # From here on the folder is known to be ours, whatever stops us.
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.save()

    def has(self, place: PairPlace) -> bool:
        """Tell whether a pair is there, whole."""
        return place.rainy in self._records and all(
            (self.root / path).is_file() for path in (place.rainy, place.clean, place.streaks)
        )

    def write(self, place: PairPlace, pair: RainyPair, about: Mapping[str, Any]) -> None:
        """Write a pair; each file is whole or not there.

        Args:
            place: Where.
            pair: What. Where it went through JPEG and the place is a `.jpg`, the very files are written.
            about: What the manifest shall say besides.

        Raises:
            OutputError: A file cannot be written.
        """
        as_jpeg = place.rainy.endswith(".jpg")
        rainy, clean = (
            pair.jpeg_files if as_jpeg and pair.jpeg_files else (_png(pair.rainy), _png(pair.clean))
        )
        if place.clean not in self._targets:
            write_whole(self.root / place.clean, clean)
            self._targets.add(place.clean)
        write_whole(self.root / place.streaks, _png(pair.streaks))
        write_whole(self.root / place.rainy, rainy)
        self._records[place.rainy] = {
            "rainy": place.rainy,
            "clean": place.clean,
            "streaks": place.streaks,
            **about,
            "density": pair.density.name.lower(),
            "strength": round(pair.strength, 3),
            "sha256": sha256(pair.rainy.tobytes()).hexdigest(),
            "spec": pair.spec.as_dict(),
        }
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
        """What the manifest says of each pair."""
        return tuple(self._records.values())

    def _read_manifest(self, *, overwrite: bool) -> dict[str, dict[str, Any]]:
        hint = "name another folder, or replace it with --overwrite"
        path = self.root / "manifest.json"
        if not path.exists():
            taken = [
                name for name in ("input", "target", "streaks", "labels.csv") if (self.root / name).exists()
            ]
            if taken and not overwrite:
                raise OutputError(f"{self.root / taken[0]}: exists and was not made by crdnet synth; {hint}")
            return {}
        try:
            manifest = json.loads(path.read_text())
            pairs = {str(record["rainy"]): dict(record) for record in manifest.pop("pairs")}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if overwrite:
                return {}
            raise OutputError(f"{path}: is not the manifest of a data set of crdnet synth; {hint}") from error
        wanted = json.loads(json.dumps(self.options))
        if manifest != wanted and not overwrite:
            names = sorted(manifest.keys() | wanted.keys())
            differing = [name for name in names if manifest.get(name) != wanted.get(name)]
            raise OutputError(
                f"{self.root}: was made with another {' and '.join(differing)}, and pairs must not mix; {hint}"
            )
        return pairs

    def _remove(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Remove the files of an earlier data set, so that its pairs are not among ours."""
        root = self.root.resolve()
        for record in records.values():
            for kind in ("rainy", "clean", "streaks"):
                path = self.root / str(record.get(kind, ""))
                # A manifest that someone wrote by hand must not reach outside the folder.
                if path.is_file() and path.resolve().is_relative_to(root):
                    path.unlink()


def _png(pixels: Layer) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
