"""Admission to work: order, budget, queue, and what becomes of those who leave."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack

import pytest

from crdnet.images import WorkerCodec
from crdnet.server.admission import SMALL_PIXELS, Admission, Lane, UploadMemory
from crdnet.server.problems import Kind, ProblemError
from tests.waiting import HANG_SECONDS


def run(test: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), HANG_SECONDS))


def make_admission(
    lanes: int = 1,
    budget: int = 100,
    queue: int = 2,
    seconds: float = HANG_SECONDS,
    *,
    express: bool = False,
) -> Admission:
    given = [Lane({}, WorkerCodec()) for _ in range(lanes)]
    extra = Lane({}, WorkerCodec()) if express else None
    return Admission(given, budget, queue, seconds, extra)


async def take(
    where: Admission, pixels: int, log: list[int], until: asyncio.Event, client: str = ""
) -> None:
    async with where.admit(pixels, client):
        log.append(pixels)
        await until.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_places_are_given_in_the_order_of_arrival() -> None:
    async def test() -> None:
        where, log, go = make_admission(queue=5), list[int](), asyncio.Event()
        tasks = [asyncio.create_task(take(where, pixels, log, go)) for pixels in (50, 90, 1, 2)]
        await settle()
        assert log == [50]
        assert where.waiting == 3
        go.set()
        await asyncio.gather(*tasks)
        assert log == [50, 90, 1, 2]
        assert (where.waiting, where.pixels) == (0, 0)

    run(test)


def test_the_budget_holds_images_back_though_lanes_are_free() -> None:
    async def test() -> None:
        where, log, go = make_admission(lanes=4), list[int](), asyncio.Event()
        tasks = [asyncio.create_task(take(where, pixels, log, go)) for pixels in (60, 50, 10)]
        await settle()
        assert log == [60]  # the small one does not overtake the large one
        go.set()
        await asyncio.gather(*tasks)

    run(test)


def test_one_image_over_the_budget_works_alone() -> None:
    async def test() -> None:
        async with make_admission(lanes=2).admit(1000):
            pass

    run(test)


def test_over_the_queue_one_is_sent_away_with_a_time_to_come_again() -> None:
    async def test() -> None:
        where, go = make_admission(), asyncio.Event()
        tasks = [asyncio.create_task(take(where, 1, [], go)) for _ in range(3)]
        await settle()
        with pytest.raises(ProblemError) as early:
            where.check_room()
        with pytest.raises(ProblemError) as late:
            await take(where, 1, [], go)
        assert early.value.kind is late.value.kind is Kind.BUSY
        assert int(late.value.headers["Retry-After"]) > 0
        go.set()
        await asyncio.gather(*tasks)
        where.check_room()

    run(test)


def test_a_queue_of_none_still_gives_its_lanes() -> None:
    async def test() -> None:
        where = make_admission(queue=0)
        where.check_room()
        async with where.admit(1):
            with pytest.raises(ProblemError):
                where.check_room()

    run(test)


def test_who_waits_too_long_is_sent_away_and_leaves_no_trace() -> None:
    async def test() -> None:
        where = make_admission(seconds=0.05)
        async with where.admit(1):
            with pytest.raises(ProblemError, match="waited"):
                async with where.admit(1):
                    pass
            assert where.waiting == 0
        async with where.admit(1):
            pass

    run(test)


@pytest.mark.parametrize("given", [False, True], ids=["waiting", "just given its place"])
def test_who_goes_away_frees_its_place(given: bool) -> None:
    async def test() -> None:
        where, go = make_admission(), asyncio.Event()
        first = asyncio.create_task(take(where, 5, [], go))
        await settle()
        second = asyncio.create_task(take(where, 6, [], asyncio.Event()))
        await settle()
        if given:
            go.set()
            await first  # its end gave the place to the second, which has not run since
        second.cancel()
        await asyncio.wait([second])
        go.set()
        await asyncio.wait([first])
        assert (where.waiting, where.pixels) == (0, 0)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(where.admit(1))

    run(test)


LARGE = SMALL_PIXELS + 1


@pytest.mark.parametrize("budget", [LARGE, 10 * LARGE], ids=["small budget", "large budget"])
@pytest.mark.parametrize("lanes", [1, 2])
def test_large_images_never_stop_the_small_ones(lanes: int, budget: int) -> None:
    async def test() -> None:
        where = make_admission(lanes, budget, queue=6, express=True)
        log, never, go = list[int](), asyncio.Event(), asyncio.Event()
        go.set()
        large = [asyncio.create_task(take(where, LARGE, log, never)) for _ in range(4)]
        await settle()
        await asyncio.gather(*[asyncio.create_task(take(where, 1, log, go)) for _ in range(3)])
        assert log.count(1) == 3
        never.set()
        await asyncio.gather(*large)
        assert (where.waiting, where.pixels) == (0, 0)

    run(test)


def test_one_small_image_at_a_time_takes_the_express_lane() -> None:
    async def test() -> None:
        where, log, go = make_admission(express=True), list[int](), asyncio.Event()
        tasks = [asyncio.create_task(take(where, each, log, go)) for each in (LARGE, 1, 2)]
        await settle()
        assert log == [LARGE, 1]
        go.set()
        await asyncio.gather(*tasks)

    run(test)


def test_large_images_take_half_of_the_queue_at_most() -> None:
    async def test() -> None:
        where, go = make_admission(budget=10 * LARGE, queue=4), asyncio.Event()
        tasks = [asyncio.create_task(take(where, LARGE, [], go)) for _ in range(3)]
        await settle()
        with pytest.raises(ProblemError, match="2 wait"):
            await take(where, LARGE, [], go)
        tasks += [asyncio.create_task(take(where, 1, [], go)) for _ in range(2)]
        await settle()
        assert where.waiting == 4
        go.set()
        await asyncio.gather(*tasks)

    run(test)


def test_clients_take_turns() -> None:
    async def test() -> None:
        where, log, go = make_admission(queue=9), list[int](), asyncio.Event()
        sent = [(11, "a"), (12, "a"), (13, "a"), (14, "a"), (15, "b"), (16, "b"), (17, "c")]
        tasks = [
            asyncio.create_task(take(where, pixels, log, go, client)) for pixels, client in sent
        ]
        await settle()
        go.set()
        await asyncio.gather(*tasks)
        assert log == [11, 15, 17, 12, 16, 13, 14]

    run(test)


def test_a_client_that_fills_the_queue_gives_way_to_another() -> None:
    async def test() -> None:
        where, log, go = make_admission(queue=3), list[int](), asyncio.Event()
        greedy = [asyncio.create_task(take(where, each, log, go, "a")) for each in range(1, 5)]
        await settle()
        with pytest.raises(ProblemError):
            where.check_room("a")
        where.check_room("b")
        other = asyncio.create_task(take(where, 9, log, go, "b"))
        await settle()
        assert isinstance(greedy[-1].exception(), ProblemError)
        go.set()
        await asyncio.gather(*greedy[:-1], other)
        assert set(log) == {1, 2, 3, 9}

    run(test)


def test_uploads_share_a_bounded_memory() -> None:
    memory = UploadMemory(10)
    with memory.open_share() as one, memory.open_share() as other:
        one.take(6)
        with pytest.raises(ProblemError) as caught:
            other.take(5)
        assert caught.value.kind is Kind.BUSY
        other.take(4)
    assert memory.used == 0
