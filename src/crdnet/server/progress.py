"""Progress of running requests that have an identifier from their client."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from crdnet.server.problems import Kind, ProblemError

State = Literal["unknown", "waiting", "working"]


@dataclass
class Progress:
    """Progress of one image, set by the thread that processes it."""

    state: State = "waiting"
    tiles_done: int = 0
    tiles: int = 0
    """Number of tiles; 0 until they are counted."""

    def begin(self) -> None:
        """Note that processing of the image has begun."""
        self.state = "working"

    def count_tiles(self, done: int, tiles: int) -> None:
        """Note the number of finished tiles of the image, and of all its tiles."""
        self.tiles_done, self.tiles = done, tiles


class ProgressBoard:
    """Progress of all running requests by identifier."""

    def __init__(self) -> None:
        self._known: dict[str, Progress] = {}

    @contextmanager
    def show(self, identifier: str | None) -> Iterator[Progress]:
        """Publish the progress of a request during the context, if it has an identifier.

        Raises:
            ProblemError: Another running request has the same identifier.
        """
        progress = Progress()
        if identifier is None:
            yield progress
            return
        # Otherwise one client could watch or hide the progress of another.
        if identifier in self._known:
            raise ProblemError(
                Kind.WRONG_PARAMETER,
                f"progress: another request has the id {identifier!r}; use a random UUID for each",
            )
        self._known[identifier] = progress
        try:
            yield progress
        finally:
            del self._known[identifier]

    def find(self, identifier: str) -> Progress:
        """Return the progress of a request; its state is unknown if no such request is running."""
        return self._known.get(identifier) or Progress("unknown")
