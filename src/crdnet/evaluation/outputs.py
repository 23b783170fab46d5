"""Output files of an evaluation; existing files are never replaced by default."""

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

from crdnet.errors import OutputError
from crdnet.files import write_whole
from crdnet.metrics import ScorableImage, round_to_8bit


@dataclass(frozen=True)
class ImageFolder:
    """Folder for derained images as PNG, with the names of the rainy images."""

    folder: Path

    def locate(self, name: str) -> Path:
        """Return the path for the image of a pair."""
        return self.folder / PurePosixPath(name).with_suffix(".png")

    def locate_all(self, names: Iterable[str]) -> list[Path]:
        """Return the paths for the images of several pairs.

        Raises:
            OutputError: Two of them would share a file.
        """
        taken: dict[Path, str] = {}
        for name in names:
            path = self.locate(name)
            if path in taken:
                raise OutputError(
                    f"{taken[path]} and {name} would both be saved as {path}; rename one of them"
                )
            taken[path] = name
        return list(taken)

    def save(self, name: str, image: ScorableImage) -> None:
        """Save an image (h, w, 3), clipped and rounded to 8 bits."""
        from PIL import Image  # noqa: PLC0415 - slow to import, and most runs save nothing

        file = BytesIO()
        # PNG, since lossy formats would change the scores.
        Image.fromarray(round_to_8bit(image)).save(file, format="PNG")
        write_whole(self.locate(name), file.getvalue())


def refuse_existing(paths: Iterable[Path]) -> None:
    """Refuse to replace files.

    Raises:
        OutputError: At least one of the paths exists.
    """
    existing = [path for path in paths if path.exists()]
    if existing:
        more = len(existing) - 1
        others = f" and {more} more of the outputs exist" if more else " exists"
        raise OutputError(f"{existing[0]}{others}; choose another place or use `overwrite=True`")


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8.

    Raises:
        OutputError: The file cannot be written.
    """
    write_whole(path, text.encode())
