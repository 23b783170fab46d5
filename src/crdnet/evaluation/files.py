"""Where the results of an evaluation go; nothing is replaced unasked."""

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

from crdnet.errors import OutputError
from crdnet.files import write_whole
from crdnet.metrics import ScorableImage, round_to_8bit


@dataclass(frozen=True)
class PictureFolder:
    """A folder that takes derained pictures as PNG, under the names of the rainy ones."""

    folder: Path

    def path(self, name: str) -> Path:
        """Return where the picture of a name belongs."""
        return self.folder / PurePosixPath(name).with_suffix(".png")

    def paths(self, names: Iterable[str]) -> list[Path]:
        """Return where the pictures of some names belong.

        Raises:
            OutputError: Two of them would have to share a file.
        """
        taken: dict[Path, str] = {}
        for name in names:
            path = self.path(name)
            if path in taken:
                raise OutputError(
                    f"{taken[path]} and {name} would both be saved as {path}; rename one of them"
                )
            taken[path] = name
        return list(taken)

    def save(self, name: str, picture: ScorableImage) -> None:
        """Save a picture (h, w, 3), clipped and rounded to 8 bits."""
        from PIL import Image  # noqa: PLC0415 - who saves nothing need not wait for it

        file = BytesIO()
        Image.fromarray(round_to_8bit(picture)).save(file, format="PNG")
        write_whole(self.path(name), file.getvalue())


def refuse_existing(paths: Iterable[Path]) -> None:
    """Refuse to replace files.

    Raises:
        OutputError: At least one of the paths exists.
    """
    existing = [path for path in paths if path.exists()]
    if existing:
        others = f" and {len(existing) - 1} more of the outputs exist" if len(existing) > 1 else " exists"
        raise OutputError(f"{existing[0]}{others}; choose another place or pass --overwrite")


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8.

    Raises:
        OutputError: It cannot be written.
    """
    write_whole(path, text.encode())
