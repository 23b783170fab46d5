"""Journal of an output folder: the source and the settings of each result.

The journal lets a stopped run resume, and keeps runs with different settings apart.

`OUT/.crdnet/run.json` names the model and the options of the run, and for each result its source
with size and time. It is written before the first result. A result that exists and has an entry is
done; an entry whose result is missing is still to do; a file without an entry does not belong to
the run. Therefore nothing is written when an image is done, and a kill at any moment leaves nothing
to repair.

    {"settings": {"model": "paper", "sha256": "bd39...", "strength": 1.0, ...},
     "results": {"holiday/table.png": ["../photos/holiday/table.png", 20480, 1732287600000000000],
     ...}}
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from crdnet.errors import OutputError
from crdnet.files import hold_lock, remove_stale_parts, write_whole

JOURNAL_FOLDER = ".crdnet"
"""Name of the folder of the journal, inside the folder of the results."""
# Settings that some inputs require. Inputs without them failed, so no existing result depends on
# them, and a resumed run may add them.
_ADDABLE = ("fallback-format",)


class Origin(NamedTuple):
    """Input of one result; equal origins are the same file in the same state."""

    source: str
    """Path relative to the folder of the results, so that both may be moved together."""
    size: int
    """Bytes."""
    mtime_ns: int
    """Time of the last change, in nanoseconds since 1970."""


class Journal:
    """Journal of one folder of results.

    Args:
        folder: Folder of the results; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / JOURNAL_FOLDER / "run.json"
        self._lock = Lock()
        self._settings: Mapping[str, Any] = {}
        self._origins: dict[str, Origin] = {}
        self._names: dict[str, str] = {}
        self._changed = False

    @property
    def exists(self) -> bool:
        """True if the folder has a journal."""
        return self._path.is_file()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Lock the folder during the block, and save its journal at the end, even after an error.

        Raises:
            OutputError: Another run holds the lock, the folder cannot be written to, or its journal
                is damaged.
        """
        place = self._path.parent
        with ExitStack() as stack:
            try:
                place.mkdir(parents=True, exist_ok=True)
                ours = stack.enter_context(hold_lock(place / "lock"))
            except OSError as error:
                raise OutputError(
                    f"cannot write into {self.folder}: {error.strerror or error}; choose a folder "
                    "that may be written to"
                ) from error
            if not ours:
                raise OutputError(
                    f"another run writes into {self.folder}; wait until it ends, or choose another "
                    "folder"
                )
            remove_stale_parts(place, seconds=0.0)
            self.read()
            try:
                yield
            finally:
                self._write()

    def read(self) -> None:
        """Load the journal of the folder, if there is one.

        Raises:
            OutputError: The journal is damaged.
        """
        try:
            content = self._path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise OutputError(
                f"{self._path} cannot be read: {error.strerror or error}; choose another folder"
            ) from error
        try:
            told = json.loads(content)
            self._settings = dict(told["settings"])
            self._origins = {name: Origin(*origin) for name, origin in told["results"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutputError(
                f"{self._path} is damaged, or of another version of crdnet ({error!r}); delete it, "
                "and use `skip_existing=True` to keep the results that are there"
            ) from error

    def describe_differences(self, settings: Mapping[str, Any]) -> list[str]:
        """Return a description of each setting that differs from those of the existing results."""
        changed = self._find_changed_settings(settings)
        if not changed or not any(os.path.lexists(self.folder / name) for name in self._origins):
            return []
        return [
            f"{key} was {_shorten(self._settings.get(key))} and is {_shorten(settings.get(key))}"
            for key in changed
        ]

    def begin(self, settings: Mapping[str, Any], to_make: Mapping[Path, Origin]) -> None:
        """Save the entries of all results to make, before the first is made.

        An existing result that will be replaced gets its entry only when it has been replaced;
        otherwise the old result would count as the new one after a kill.

        Args:
            settings: The model and the options that affect the results.
            to_make: Path of each result, and its origin.
        """
        if self._find_changed_settings(settings):
            self._origins.clear()
        self._settings = dict(settings)
        for result, origin in to_make.items():
            if not os.path.lexists(result):
                self._origins[self._make_relative(result)] = origin
            elif self.find_origin(result) != origin:
                self._origins.pop(self._make_relative(result), None)
        self._changed = True
        self._write()

    def find_origin(self, result: Path) -> Origin | None:
        """Return the origin in the entry of a result, made or not; None without an entry."""
        return self._origins.get(self._make_relative(result))

    def note_source(self, result: Path, origin: Origin) -> None:
        """Note, before a result is made, that its source has changed since the run began."""
        with self._lock:
            name = self._make_relative(result)
            if name in self._origins and self._origins[name] != origin:
                # An existing result, made from the old source, stays until the new one is complete.
                if os.path.lexists(result):
                    del self._origins[name]
                else:
                    self._origins[name] = origin
                self._changed = True
                self._write()

    def note_result(self, result: Path, origin: Origin) -> None:
        """Note that a result was made or replaced; the entry is saved when the run ends."""
        with self._lock:
            if self._origins.get(self._make_relative(result)) != origin:
                self._origins[self._make_relative(result)] = origin
                self._changed = True

    def make_origin(self, source: Path, found: os.stat_result) -> Origin:
        """Return the origin of a result that is made from a source in its current state."""
        return Origin(self._make_relative(source), found.st_size, found.st_mtime_ns)

    def _find_changed_settings(self, settings: Mapping[str, Any]) -> list[str]:
        keys = dict.fromkeys([*settings, *self._settings])
        return [
            key
            for key in keys
            if self._settings
            and settings.get(key) != self._settings.get(key)
            and not (key in _ADDABLE and self._settings.get(key) is None)
        ]

    def _make_relative(self, path: Path) -> str:
        """Return a path relative to the folder."""
        parent, name = os.path.split(path)
        if parent not in self._names:  # many files lie in few folders
            seen = os.path.relpath(os.path.realpath(parent), os.path.realpath(self.folder))
            self._names[parent] = "" if seen == "." else seen.replace(os.sep, "/") + "/"
        return self._names[parent] + name

    def _write(self) -> None:
        if not self._changed:
            return
        content = {"settings": self._settings, "results": self._origins}
        write_whole(self._path, json.dumps(content, separators=(",", ":"), sort_keys=True).encode())
        self._changed = False


def _shorten(value: Any) -> str:
    """Return a short text for a setting; a hash is cut to its first twelve digits."""
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "on", False: "off"}[value]
    text = str(value)
    return text if len(text) <= 20 else f"{text[:12]}..."
