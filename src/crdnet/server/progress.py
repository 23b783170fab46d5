"""Progress of requests in flight, for clients that gave them an identifier."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from crdnet.server.problems import Kind, ProblemError

State = Literal["unknown", "waiting", "working"]


@dataclass
class Progress:
    """Progress of one image; set by the thread that works on it."""

    state: State = "waiting"
    tiles_done: int = 0
    tiles: int = 0
    """0 until they are counted."""

    def begin(self) -> None:
        """Note that the image has its turn."""
        self.state = "working"

    def count_tiles(self, done: int, tiles: int) -> None:
        """Note how many tiles of the image are done."""
        self.tiles_done, self.tiles = done, tiles


class ProgressBoard:
    """Progress of all requests in flight."""

    def __init__(self) -> None:
        self._known: dict[str, Progress] = {}

    @contextmanager
    def show(self, identifier: str | None) -> Iterator[Progress]:
        """Show the progress of a request while the context lasts, if it has an identifier.

        Raises:
            ProblemError: Another request has it.
        """
        progress = Progress()
        if identifier is None:
            yield progress
            return
        # Else one client could watch, or hide, the progress of another.
        if identifier in self._known:
            raise ProblemError(
                Kind.WRONG_PARAMETER,
                f"progress: another request is called {identifier!r}; make a random UUID for each",
            )
        self._known[identifier] = progress
        try:
            yield progress
        finally:
            del self._known[identifier]

    def find(self, identifier: str) -> Progress:
        """Return the progress of a request; its state is unknown where none is in flight."""
        return self._known.get(identifier) or Progress("unknown")
