"""Processing of uploads: parse the header, wait for admission, run the pipeline in a thread."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from time import perf_counter

from crdnet import Derainer, DerainOptions, Outcome
from crdnet.errors import ImageError, NotAnImageError
from crdnet.images import FORMATS, CodecError, Fault, Header, ImageSource, WorkerCodec
from crdnet.pipeline import derain_source, sense_source
from crdnet.runtime import Session, find_model
from crdnet.server.admission import Admission, Lane, UploadMemory
from crdnet.server.negotiation import choose_format, get_suffix
from crdnet.server.problems import Kind, ProblemError
from crdnet.server.progress import Progress
from crdnet.server.settings import Settings

LARGE_PIXELS = 2_000_000
"""Pixels of an image above which the network's memory is released afterwards: hundreds of
megabytes, which few images need."""
_NAME = "the upload"
_HEADER_THREADS = 2

Stages = dict[str, float]
"""Duration of each stage of a request, in seconds."""


@dataclass(frozen=True)
class Result:
    """Outcome of one upload."""

    outcome: Outcome
    header: Header
    stages: Stages
    content: bytes = b""
    """The derained file; empty after sensing."""
    format: str = ""
    """The format of the content, such as JPEG."""


class Work:
    """Models, codecs and queue that process the images of a server.

    Open it as an asynchronous context, which belongs to one event loop.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        found = {name: find_model(name) for name in settings.models}
        # For a model file, clients see its name but not its folder.
        self.models = {
            name if name in (model.name, *model.aliases) else model.name: model
            for name, model in found.items()
        }
        """Models by the names that clients use; the first is the default."""
        self._lanes = [
            Lane(
                {
                    name: Derainer(
                        model.path if model.sha256 is None else model.name,
                        settings.device,
                        settings.threads,
                    )
                    for name, model in self.models.items()
                },
                WorkerCodec(megabytes=settings.codec_megabytes, seconds=settings.codec_seconds),
            )
            for _ in range(settings.jobs + 1)  # the last one is the express lane
        ]
        for derainer in (each for lane in self._lanes for each in lane.derainers.values()):
            _ = derainer.session  # a model that cannot be opened fails before the first request
        self.admission = Admission(
            self._lanes[:-1],
            settings.budget_pixels,
            settings.queue,
            settings.queue_seconds,
            self._lanes[-1],
        )
        self.memory = UploadMemory(settings.upload_bytes)
        self._threads = ThreadPoolExecutor(len(self._lanes), thread_name_prefix="derain")
        self._header_threads = ThreadPoolExecutor(_HEADER_THREADS, thread_name_prefix="header")
        self.pixels = 0
        """Total pixels of the processed images."""

    @property
    def workers_replaced(self) -> int:
        """Number of codec processes that died and were replaced."""
        return sum(lane.codec.replaced for lane in self._lanes)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Work"]:
        """Start the codec processes, and end them after the context."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._header_threads.shutdown, wait=False, cancel_futures=True)
            stack.callback(self._threads.shutdown, wait=False, cancel_futures=True)
            # Before serving, so that a worker that cannot start fails the server, not a request.
            for lane in self._lanes:
                stack.enter_context(lane.codec)
                stack.callback(lane.codec.halt)
                await asyncio.to_thread(lane.codec.start)
            yield self

    async def derain(
        self,
        content: bytes,
        options: DerainOptions,
        *,
        model: str,
        client: str = "",
        accept: str = "",
        progress: Progress | None = None,
    ) -> Result:
        """Derain an image file.

        Args:
            content: Content of the file.
            options: Options of deraining.
            model: One of `models`.
            client: Client that sent the image; clients take turns.
            accept: The header Accept, which selects the format.
            progress: Progress to update.

        Raises:
            ProblemError: The image cannot be derained, or the server is too busy.
        """
        stages = Stages()
        source = await self._open(content, stages)
        progress = progress or Progress()
        if chosen := choose_format(accept, source.header.format):
            options = replace(options, format=get_suffix(chosen))
        target = FORMATS[options.format] if options.format else source.header.format
        if target not in FORMATS.values():
            raise ProblemError(
                Kind.NOT_WRITTEN,
                f"the image is a {target}, which can be read but not written; set format to one of "
                f"{', '.join(FORMATS)}",
            )
        buffer = BytesIO()
        # The header was parsed before, because its number of pixels is the cost of the image.
        async with self._admit(source.header, stages, client) as lane:
            progress.begin()
            network = lane.derainers[model].network
            run = partial(
                derain_source,
                network,
                source,
                lambda: nullcontext(buffer),
                options,
                codec=lane.codec,
                on_tile=progress.count_tiles,
            )
            outcome = await self._run(lane, lane.derainers[model], run, source.header)
        stages |= outcome.stages
        return Result(outcome, source.header, stages, buffer.getvalue(), target)

    async def sense(self, content: bytes, *, model: str, client: str = "") -> Result:
        """Sense the rain in an image file; arguments and errors are those of `derain`."""
        stages = Stages()
        source = await self._open(content, stages)
        async with self._admit(source.header, stages, client) as lane:
            run = partial(sense_source, lane.derainers[model].network, source, codec=lane.codec)
            outcome = await self._run(lane, lane.derainers[model], run, source.header)
        stages |= outcome.stages
        return Result(outcome, source.header, stages)

    async def _open(self, content: bytes, stages: Stages) -> ImageSource:
        """Parse the header of an upload in Python; no native decoder runs in this process."""
        with _time_stage("look", stages), translate_errors():
            source = await asyncio.get_running_loop().run_in_executor(
                self._header_threads, partial(ImageSource, content, _NAME, max_pixels=2**62)
            )
        header = source.header
        most = self._settings.max_pixels
        if header.pixels <= most < header.cost:
            raise ProblemError(
                Kind.TOO_LARGE,
                f"the image has {header.width} x {header.height} pixels and is so narrow that it "
                f"costs as much as {header.cost:,}; at most {most:,} are accepted; send parts "
                "of it",
            )
        if header.pixels > most:
            raise ProblemError(
                Kind.TOO_LARGE,
                f"the image has {header.width} x {header.height} pixels, and at most {most:,} are "
                "accepted; send a smaller one",
            )
        return source

    @asynccontextmanager
    async def _admit(self, header: Header, stages: Stages, client: str) -> AsyncIterator[Lane]:
        async with AsyncExitStack() as stack:
            with _time_stage("queue", stages):
                lane = await stack.enter_async_context(self.admission.admit(header.cost, client))
            yield lane
        self.pixels += header.width * header.height

    async def _run(
        self, lane: Lane, derainer: Derainer, run: Callable[[], Outcome], header: Header
    ) -> Outcome:
        """Run the pipeline in a thread; stop it after a time-out or when the client disconnects.

        The thread has ended when this returns, so that the lane is free.
        """

        def run_and_shrink() -> Outcome:
            try:
                return run()
            finally:
                if header.width * header.height > LARGE_PIXELS:
                    derainer.session.shrink()

        with translate_errors():
            running = asyncio.get_running_loop().run_in_executor(self._threads, run_and_shrink)
            try:
                async with asyncio.timeout(self._settings.work_seconds):
                    # A thread cannot be cancelled; halting its session and codec makes it end.
                    return await asyncio.shield(running)
            except TimeoutError as error:
                raise ProblemError(
                    Kind.INTERRUPTED,
                    f"the image took more than {self._settings.work_seconds:g} seconds; try again "
                    "when the server is less busy, or send a smaller image",
                ) from error
            finally:
                await _stop(running, derainer.session, lane.codec)


async def _stop(running: "asyncio.Future[Outcome]", session: Session, codec: WorkerCodec) -> None:
    """Stop a run in a thread and wait for its end, even if this task is cancelled meanwhile."""
    if running.done():
        return
    # The thread may be in either of the two.
    session.halt()
    codec.halt()
    try:
        while not running.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([running])
        running.exception()  # otherwise asyncio logs an exception that was never retrieved
    finally:
        session.resume()
        codec.resume()


@contextmanager
def _time_stage(name: str, stages: Stages) -> Iterator[None]:
    """Add the duration of the context to the stages."""
    began = perf_counter()
    try:
        yield
    finally:
        stages[name] = perf_counter() - began


@contextmanager
def translate_errors() -> Iterator[None]:
    """Convert errors about an image to problems."""
    try:
        yield
    except CodecError as error:
        # Time-outs and kills say nothing about the image.
        if error.fault is Fault.INTERRUPTED:
            raise ProblemError(Kind.INTERRUPTED, error.detail) from error
        if error.fault is Fault.DIED:
            raise ProblemError(
                Kind.BROKEN_IMAGE,
                "the decoder crashed on the image; open it in another program and save it again",
            ) from error
        kind = Kind.TOO_LARGE if error.fault is Fault.NO_MEMORY else Kind.BROKEN_IMAGE
        raise ProblemError(kind, error.detail) from error
    except NotAnImageError as error:
        raise ProblemError(Kind.NOT_AN_IMAGE, str(error)) from error
    except ImageError as error:
        raise ProblemError(Kind.BROKEN_IMAGE, str(error)) from error
