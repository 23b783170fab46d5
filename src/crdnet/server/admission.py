"""Admission of images: each is processed, waits in a bounded queue, or is refused.

An image needs a lane (separate derainers and codec, so that stopping one image does not stop
another) and a share of the pixel budget. Clients take turns by start-time fair queueing (Goyal et
al., 1996) with the pixels of an image as its cost, so that a client with many images delays only
its own. Small images that arrive later do not delay a large one. Large images may use every lane
except the express lane, which serves one small image at a time, and at most half of the queue.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from crdnet import Derainer
from crdnet.images import WorkerCodec
from crdnet.server.problems import Kind, ProblemError

SMALL_PIXELS = 2_000_000
"""Pixels up to which an image is small: it needs no more memory than one tile of a larger image."""


@dataclass(frozen=True, eq=False)
class Lane:
    """Derainers, one for each model, and a codec, for one image at a time."""

    derainers: Mapping[str, Derainer]
    codec: WorkerCodec


@dataclass(frozen=True, eq=False)
class _Image:
    """Image that waits or is processed."""

    pixels: int
    client: str
    turn: int
    """Rank in the queue, lowest first: the total pixels of the earlier images of the client."""
    lane: "asyncio.Future[Lane]"

    @property
    def is_small(self) -> bool:
        return self.pixels <= SMALL_PIXELS


class Admission:
    """Queue that assigns lanes to images; it belongs to one event loop.

    Args:
        lanes: Lanes, one for each image that may be processed at once.
        budget: Largest total number of pixels processed at once; a single image may exceed it.
        queue: Maximum number of waiting images.
        seconds: Longest wait of an image.
        express: Additional lane. A small image takes it while no other small image is processed, so
            that large images never block all small ones. None: large images may block them.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        budget: int,
        queue: int,
        seconds: float,
        express: Lane | None = None,
    ) -> None:
        self._idle = list(lanes)
        self._express = self._idle_express = express
        self._budget, self._queue, self._seconds = budget, queue, seconds
        self._waiting: list[_Image] = []
        self._working: list[_Image] = []
        self._turn = 0
        """Turn of the image that was started last."""
        self._next_turns: dict[str, int] = {}
        """Turn of the next image of each client."""

    @property
    def pixels(self) -> int:
        """Total pixels of the images that are processed."""
        return sum(each.pixels for each in self._working)

    @property
    def waiting(self) -> int:
        """Number of waiting images."""
        return len(self._waiting)

    def check_room(self, client: str = "") -> None:
        """Raise if `admit` would refuse an image of any size from this client."""
        if (self._waiting or not self._idle) and not self._takes_express():
            self._find_place(client)

    @asynccontextmanager
    async def admit(self, pixels: int, client: str = "") -> AsyncIterator[Lane]:
        """Wait for a lane, and hold it during the context.

        Args:
            pixels: Number of pixels of the image.
            client: Client that sent the image.

        Raises:
            ProblemError: The queue is full, or the wait was too long.
        """
        image = self._line_up(pixels, client)
        self._enter(image)
        try:
            yield await self._wait(image)
        finally:
            self._leave(image)

    def _line_up(self, pixels: int, client: str) -> _Image:
        # Past turns are dropped, so that a client gets no credit for a pause.
        coming = {each: turn for each, turn in self._next_turns.items() if turn > self._turn}
        turn = coming.get(client, self._turn)
        self._next_turns = coming | {client: turn + pixels}
        return _Image(pixels, client, turn, asyncio.get_running_loop().create_future())

    def _enter(self, image: _Image) -> None:
        # An image that starts at once does not enter the queue, so that a queue of 0 works.
        at_once = bool(self._idle) and not self._waiting and self._fits(image)
        if not at_once and not (image.is_small and self._takes_express()):
            self._check_large(image)
            last = self._find_place(image.client)
            if last is not None:
                # The client with the most images loses one, so that no client can fill the queue.
                self._waiting.remove(last)
                last.lane.set_exception(_make_full_error(self._queue))
        self._waiting.append(image)
        self._grant()

    async def _wait(self, image: _Image) -> Lane:
        try:
            async with asyncio.timeout(self._seconds):
                return await image.lane
        except TimeoutError as error:
            raise ProblemError(
                Kind.BUSY,
                f"the image waited {self._seconds:g} seconds, the time limit; try again later",
            ) from error

    def _leave(self, image: _Image) -> None:
        if image in self._waiting:
            self._waiting.remove(image)
        elif image in self._working:
            self._working.remove(image)
            lane = image.lane.result()
            if lane is self._express:
                self._idle_express = lane
            else:
                self._idle.append(lane)
        self._grant()

    def _find_place(self, client: str) -> _Image | None:
        """Return the image to drop from a full queue for a client with fewer waiting images.

        The result is None if the queue has a free place.

        Raises:
            ProblemError: The queue is full, and no client has more images in it than this client
                would have.
        """
        if self.waiting < self._queue:
            return None
        counts = Counter(each.client for each in self._waiting)
        most = max(counts.values(), default=0)
        if most <= counts[client] + 1:
            raise _make_full_error(self.waiting)
        return next(each for each in reversed(self._waiting) if counts[each.client] == most)

    def _check_large(self, image: _Image) -> None:
        # Each large image takes minutes: a queue full of them would refuse everyone else.
        large = sum(not each.is_small for each in self._waiting)
        if not image.is_small and large >= max(1, self._queue // 2):
            raise ProblemError(
                Kind.BUSY,
                f"the queue of large images is full ({large} wait); try again later, or send an "
                f"image of at most {SMALL_PIXELS:,} pixels",
            )

    def _fits(self, image: _Image) -> bool:
        # Otherwise an image larger than the budget would wait for ever.
        return not self._working or self.pixels + image.pixels <= self._budget

    def _takes_express(self) -> bool:
        """Return whether a small image would get the express lane."""
        busy = any(each.is_small for each in (*self._working, *self._waiting))
        return self._idle_express is not None and not busy

    def _grant(self) -> None:
        # Only the first is tried, because smaller ones behind it could overtake it without end.
        while self._waiting and self._idle and self._fits(first := _choose_first(self._waiting)):
            self._start(first, self._idle.pop())
        if self._idle_express is None or any(each.is_small for each in self._working):
            return
        if small := [each for each in self._waiting if each.is_small]:
            lane, self._idle_express = self._idle_express, None
            self._start(_choose_first(small), lane)

    def _start(self, image: _Image, lane: Lane) -> None:
        self._waiting.remove(image)
        if not image.lane.done():  # done here means cancelled: the client no longer waits
            self._working.append(image)
            self._turn = max(self._turn, image.turn)
            image.lane.set_result(lane)
        elif lane is self._express:
            self._idle_express = lane
        else:
            self._idle.append(lane)


def _choose_first(images: Sequence[_Image]) -> _Image:
    return min(images, key=lambda each: each.turn)  # among equal turns, the first to arrive


def _make_full_error(waiting: int) -> ProblemError:
    return ProblemError(Kind.BUSY, f"the queue is full ({waiting} images wait); try again later")


class UploadMemory:
    """Limit on the total bytes of the uploads in memory.

    Args:
        most: Largest total number of bytes.
    """

    def __init__(self, most: int) -> None:
        self._most, self.used = most, 0

    @contextmanager
    def open_share(self) -> Iterator["Share"]:
        """Count the bytes of one upload during the context."""
        share = Share(self)
        try:
            yield share
        finally:
            self.used -= share.used

    def is_full(self, more: int) -> bool:
        """Return whether a number of further bytes would exceed the limit."""
        return self.used + more > self._most


class Share:
    """Memory that is reserved for one upload."""

    def __init__(self, memory: UploadMemory) -> None:
        self._memory, self.used = memory, 0

    def take(self, count: int) -> None:
        """Reserve further bytes.

        Raises:
            ProblemError: All uploads together would exceed the limit.
        """
        if self._memory.is_full(count):
            raise ProblemError(Kind.BUSY, "too many uploads at once; try again later")
        self._memory.used += count
        self.used += count
