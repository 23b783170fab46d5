"""Admission of images to work: some work, some wait, the others are refused.

An image needs a lane (derainers and a codec of its own, so that stopping one image stops no other)
and room in the budget of pixels. They are given in the order of arrival: a large image waits no
longer for small ones that came after it.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from crdnet import Derainer
from crdnet.images import WorkerCodec
from crdnet.server.problems import Kind, ProblemError


@dataclass(frozen=True, eq=False)
class Lane:
    """A derainer for each model and a codec, for one image at a time."""

    derainers: Mapping[str, Derainer]
    codec: WorkerCodec


class _Waiting(NamedTuple):
    pixels: int
    lane: "asyncio.Future[Lane]"


class Admission:
    """Gives out lanes; belongs to one event loop.

    Args:
        lanes: As many as images may be in work at once.
        budget: Pixels of all images in work at once; a single image may exceed it.
        queue: How many may wait.
        seconds: How long one may wait.
    """

    def __init__(self, lanes: Sequence[Lane], budget: int, queue: int, seconds: float) -> None:
        self._idle = list(lanes)
        self._budget, self._queue, self._seconds = budget, queue, seconds
        self._waiting: deque[_Waiting] = deque()
        self.pixels = 0
        """Pixels of the images in work."""

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def check_room(self) -> None:
        """Refuse whom `admit` would refuse."""
        if self._waiting or not self._idle:
            self._check_queue()

    def _check_queue(self) -> None:
        if self.waiting >= self._queue:
            raise ProblemError(
                Kind.BUSY,
                f"{self.waiting} images wait already, and no more may; come again later",
            )

    @asynccontextmanager
    async def admit(self, pixels: int) -> AsyncIterator[Lane]:
        """Wait for a lane, and keep it while the context lasts.

        Args:
            pixels: Of the image.

        Raises:
            ProblemError: Too many wait, or the wait was too long.
        """
        lane = await self._lane(pixels)
        try:
            yield lane
        finally:
            self._idle.append(lane)
            self.pixels -= pixels
            self._grant()

    async def _lane(self, pixels: int) -> Lane:
        wanted = _Waiting(pixels, asyncio.get_running_loop().create_future())
        if not (self._idle and not self._waiting and self._fits(pixels)):
            self._check_queue()
        self._waiting.append(wanted)
        self._grant()
        try:
            async with asyncio.timeout(self._seconds):
                return await wanted.lane
        except BaseException as error:
            if wanted in self._waiting:
                self._waiting.remove(wanted)
            elif (
                wanted.lane.done() and not wanted.lane.cancelled()
            ):  # given, and nobody is there any more
                self._idle.append(wanted.lane.result())
                self.pixels -= pixels
            self._grant()
            if isinstance(error, TimeoutError):
                raise ProblemError(
                    Kind.BUSY,
                    f"the image waited {self._seconds:g} seconds without its turn; come again later",
                ) from error
            raise

    def _fits(self, pixels: int) -> bool:
        return self.pixels == 0 or self.pixels + pixels <= self._budget

    def _grant(self) -> None:
        while self._waiting and self._idle and self._fits(self._waiting[0].pixels):
            first = self._waiting.popleft()
            if first.lane.cancelled():
                continue
            self.pixels += first.pixels
            first.lane.set_result(self._idle.pop())


class UploadMemory:
    """How many bytes of uploads are kept at once.

    Args:
        most: Of all uploads together.
    """

    def __init__(self, most: int) -> None:
        self._most, self.used = most, 0

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """Keep account of one upload while the context lasts."""
        share = Share(self)
        try:
            yield share
        finally:
            self.used -= share.used

    def full(self, more: int) -> bool:
        """Whether there is no room for so many more bytes."""
        return self.used + more > self._most


class Share:
    """What one upload takes of the memory."""

    def __init__(self, memory: UploadMemory) -> None:
        self._memory, self.used = memory, 0

    def take(self, count: int) -> None:
        """Take so many bytes more.

        Raises:
            ProblemError: All uploads together are too much.
        """
        if self._memory.full(count):
            raise ProblemError(Kind.BUSY, "too many uploads at once; come again later")
        self._memory.used += count
        self.used += count
