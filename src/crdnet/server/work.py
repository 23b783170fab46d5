"""What is done with a picture: look at its header, wait for a place, decode, derain or sense, encode."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from crdnet import CRDNetError, Derainer, DerainResult, SenseReport
from crdnet.images import FORMATS, CodecError, Fault, WorkerDiedError
from crdnet.runtime import find_model
from crdnet.server.desk import Desk, Lane, Memory
from crdnet.server.problems import Kind, ProblemError
from crdnet.server.settings import Settings
from crdnet.server.workers import Workers

Answer = TypeVar("Answer")
STOP_SECONDS = 0.05
"""A run is told to stop this often: between two tiles there is nothing that could hear it."""
LARGE_PIXELS = 2_000_000
"""After a picture of more, the network's memory is given back: hundreds of megabytes, which few pictures need."""
_KINDS = {
    Fault.NOT_A_PICTURE: Kind.NOT_A_PICTURE,
    Fault.BROKEN: Kind.BROKEN_PICTURE,
    Fault.NO_MEMORY: Kind.TOO_LARGE,
}


@dataclass
class Stages:
    """How long each stage of a request took, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens in this context."""
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - began


@dataclass(frozen=True)
class Looked:
    """What a picture's header says."""

    format: str
    """Such as JPEG."""
    width: int
    height: int


@dataclass(frozen=True)
class Derained:
    """A derained picture file, and what was found."""

    content: bytes
    format: str
    looked: Looked
    sensed: SenseReport
    left_alone: bool
    notes: tuple[str, ...]
    """What could not be carried over, as sentences without a full stop."""
    stages: Stages


@dataclass(frozen=True)
class Sensed:
    """How heavy the rain in a picture is."""

    looked: Looked
    report: SenseReport
    stages: Stages


@dataclass(frozen=True)
class _Decoded:
    pixels: npt.NDArray[Any]
    sealed: bytes
    """What is around the pixels; only a worker opens it."""
    stored: Looked
    """The header with the size of the decoded pixels."""


class Work:
    """Everything that works on pictures; to be used as an asynchronous context, which belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        found = {name: find_model(name) for name in settings.models}
        # Where a file was named, clients learn what it is called and not where it lies.
        self.models = {
            name if name in (model.name, *model.aliases) else model.name: model
            for name, model in found.items()
        }
        """By the names that clients use; the first is what they get unasked."""
        derainers = [
            {
                name: Derainer(
                    model.path if model.sha256 is None else model.name,
                    settings.device,
                    settings.threads,
                )
                for name, model in self.models.items()
            }
            for _ in range(settings.jobs)
        ]
        for derainer in (each for lane in derainers for each in lane.values()):
            _ = derainer.session  # a model that cannot be opened is told before anybody is served
        self.desk = Desk(
            [Lane(each) for each in derainers],
            settings.budget_pixels,
            settings.queue,
            settings.queue_seconds,
        )
        self.memory = Memory(settings.upload_bytes)
        # One more than pictures in work, so that a newcomer's header is looked at while they are decoded.
        self.workers = Workers(settings.jobs + 1, settings.codec_megabytes, settings.codec_seconds)
        self._threads = ThreadPoolExecutor(settings.jobs, thread_name_prefix="derain")
        self.pixels = 0
        """Of all pictures that were worked on."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Work"]:
        """Start the workers, and end them."""
        try:
            async with self.workers:
                yield self
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def derain(
        self,
        content: bytes,
        *,
        model: str,
        strength: float = 1.0,
        always: bool = False,
        format: str | None = None,  # noqa: A002
    ) -> Derained:
        """Take the rain out of a picture file.

        Args:
            content: The whole file.
            model: One of `models`.
            strength: How much of the rain to take out, 0 to 1.
            always: Whether a picture that is surely dry is derained too.
            format: One of the keys of `images.FORMATS`; None keeps the file's own.

        Raises:
            ProblemError: It cannot be done, or not now.
        """
        stages = Stages()
        looked = await self._look(content, stages)
        target = FORMATS[format] if format else looked.format
        if target not in FORMATS.values():
            raise ProblemError(
                Kind.NOT_WRITTEN,
                f"the picture is a {target}, which is read but not written; give format, one of {', '.join(FORMATS)}",
            )
        async with self._place(looked, stages) as lane:
            decoded = await self._decode(content, looked, stages)
            run = partial(
                lane.derainers[model].run, decoded.pixels, strength=strength, always=always
            )
            result: DerainResult = await self._run(lane.derainers[model], run, looked, stages)
            notes: tuple[str, ...] = ()
            if not result.left_alone or target != looked.format:
                content, notes = await self._encode(decoded, result.image, target, stages)
        left_alone, stored = result.left_alone, decoded.stored
        return Derained(content, target, stored, result.sensed, left_alone, notes, stages)

    async def sense(self, content: bytes, *, model: str) -> Sensed:
        """Tell how heavy the rain in a picture file is; arguments and errors are those of `derain`."""
        stages = Stages()
        looked = await self._look(content, stages)
        async with self._place(looked, stages) as lane:
            decoded = await self._decode(content, looked, stages)
            derainer = lane.derainers[model]
            report = await self._run(
                derainer, partial(derainer.sense, decoded.pixels), looked, stages
            )
        return Sensed(decoded.stored, report, stages)

    async def _look(self, content: bytes, stages: Stages) -> Looked:
        with stages.stage("look"), _told():
            header, _ = await self.workers.call("look", [content])
        if header["pixels"] > self._settings.max_pixels:
            raise ProblemError(
                Kind.TOO_LARGE,
                f"the picture has {header['width']} x {header['height']} pixels, and at most "
                f"{self._settings.max_pixels:,} are taken; send a smaller one",
            )
        return Looked(header["format"], header["width"], header["height"])

    @asynccontextmanager
    async def _place(self, looked: Looked, stages: Stages) -> AsyncIterator[Lane]:
        async with AsyncExitStack() as stack:
            with stages.stage("queue"):
                lane = await stack.enter_async_context(
                    self.desk.place(looked.width * looked.height)
                )
            yield lane
        self.pixels += looked.width * looked.height

    async def _decode(self, content: bytes, looked: Looked, stages: Stages) -> _Decoded:
        with stages.stage("decode"), _told():
            said, (samples, sealed) = await self.workers.call(
                "decode", [content], max_pixels=self._settings.max_pixels
            )
        shape, dtype = tuple(said["shape"]), np.dtype(said["dtype"])
        announced = looked.width * looked.height  # more than is decoded where a HEIC is cropped
        if prod(shape[:2]) > announced or prod(shape) * dtype.itemsize != len(samples):
            raise ProblemError(
                Kind.BROKEN_PICTURE, "the picture is larger than its header says; save it anew"
            )
        stored = replace(looked, width=said["width"], height=said["height"])
        return _Decoded(np.frombuffer(samples, dtype).reshape(shape), sealed, stored)

    async def _run(
        self, derainer: Derainer, run: Callable[[], Answer], looked: Looked, stages: Stages
    ) -> Answer:
        """Run a network in a thread, and stop it if nobody waits any more."""

        def run_and_tidy() -> Answer:
            try:
                return run()
            finally:
                if looked.width * looked.height > LARGE_PIXELS:
                    derainer.session.shrink()

        with stages.stage("derain"):
            running = asyncio.get_running_loop().run_in_executor(self._threads, run_and_tidy)
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                while not running.done():
                    derainer.stop()
                    await asyncio.wait([running], timeout=STOP_SECONDS)
                with contextlib.suppress(CRDNetError):
                    running.result()
                raise

    async def _encode(
        self, decoded: _Decoded, pixels: npt.NDArray[Any], target: str, stages: Stages
    ) -> tuple[bytes, tuple[str, ...]]:
        samples = np.ascontiguousarray(pixels).data.cast("B")
        with stages.stage("encode"), _told():
            said, (content,) = await self.workers.call(
                "encode",
                [samples, decoded.sealed],
                shape=pixels.shape,
                dtype=pixels.dtype.name,
                format=target,
            )
        return content, tuple(said["notes"])


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a worker says into what a client is told."""
    try:
        yield
    except CodecError as error:
        raise ProblemError(_KINDS[error.fault], error.detail) from error
    except WorkerDiedError as error:
        raise ProblemError(
            Kind.BROKEN_PICTURE,
            "the picture took too long or made its decoder end; open it in another program and save it anew",
        ) from error
