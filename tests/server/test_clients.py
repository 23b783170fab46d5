"""Limits of one client: requests at once, images per minute, and who counts as one."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis.strategies import floats, integers, lists

from crdnet.server.clients import ClientLimits, group_client
from crdnet.server.problems import Kind, ProblemError
from tests.server.images import RAINY
from tests.server.running import Running, run_server
from tests.server.test_bad_input import check_problem
from tests.server.test_running import read_until_closed


class Clock:
    """A clock that is moved by hand."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_the_images_of_a_minute_may_come_at_once_and_then_in_equal_intervals() -> None:
    clock = Clock()
    limits = ClientLimits(9, 6.0, clock)
    for _ in range(6):
        limits.count_image("a")
    with pytest.raises(ProblemError) as caught:
        limits.count_image("a")
    assert caught.value.kind is Kind.TOO_MANY
    assert caught.value.headers["Retry-After"] == "10"
    limits.count_image("b")
    clock.seconds += 10
    limits.count_image("a")
    with pytest.raises(ProblemError):
        limits.count_image("a")


@given(
    pauses=lists(floats(0, 30), max_size=80),
    rate=integers(1, 20),
)
def test_no_minute_has_more_than_twice_the_images_of_the_rate(
    pauses: list[float], rate: int
) -> None:
    clock, taken = Clock(), list[float]()
    limits = ClientLimits(9, float(rate), clock)
    for pause in pauses:
        clock.seconds += pause
        try:
            limits.count_image("a")
        except ProblemError as error:
            clock.seconds += int(error.headers["Retry-After"])
            limits.count_image("a")  # who waits as told is served
        taken.append(clock.seconds)
    for begin in taken:
        # A burst of one minute's images, and those that are earned while the minute lasts.
        assert sum(begin <= each < begin + 60 for each in taken) <= 2 * rate + 1


def test_a_rate_below_one_image_per_minute_serves_the_first_one() -> None:
    limits = ClientLimits(9, 0.5, Clock())
    limits.count_image("a")
    with pytest.raises(ProblemError) as caught:
        limits.count_image("a")
    assert caught.value.headers["Retry-After"] == "120"


def test_one_client_may_have_some_requests_at_once_and_another_too() -> None:
    limits = ClientLimits(2, 0.0)
    with ExitStack() as stack:
        for client in ("a", "a", "b"):
            stack.enter_context(limits.hold_request(client))
        with pytest.raises(ProblemError) as caught:
            stack.enter_context(limits.hold_request("a"))
        assert caught.value.kind is Kind.BUSY
        assert int(caught.value.headers["Retry-After"]) > 0
    with limits.hold_request("a"), limits.hold_request("a"):
        pass


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2:3", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("[2001:db8::1]", "2001:db8::2", True),
        ("testclient", "testclient", True),
    ],
)
def test_a_network_of_ipv6_is_one_client(one: str, other: str, is_same: bool) -> None:
    assert (group_client(one) == group_client(other)) == is_same


@pytest.fixture(scope="module")
def limited(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("log") / "limited.log"
    limits = ("--client-connections", 3, "--client-images-per-minute", 1)
    with run_server("-m", model, "-d", "cpu", *limits, log=log) as server:
        yield server


@pytest.fixture(scope="module")
def proxied(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("log") / "proxied.log"
    limits = ("--client-connections", 1, "--client-images-per-minute", 1)
    proxy = ("--trusted-proxy", "127.0.0.1")
    with run_server("-m", model, "-d", "cpu", *proxy, *limits, log=log) as server:
        yield server


def test_a_client_over_its_rate_is_told_when_to_come_again(limited: Running) -> None:
    assert limited.post("/v1/sense", content=RAINY).status_code == 200
    refusal = limited.post("/v1/derain", content=RAINY)
    check_problem(refusal, 429, "too-many-images")
    assert 0 < int(refusal.headers["retry-after"]) <= 60
    assert limited.get("/v1/models").status_code == 200


def test_a_connection_over_the_cap_of_its_client_is_told_so(limited: Running) -> None:
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(limited.connect())
        answer = read_until_closed(stack.enter_context(limited.connect()))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in answer
    assert b"one client may have 3 connections" in answer


def test_behind_a_trusted_proxy_the_forwarded_address_counts(proxied: Running) -> None:
    def send(client: str) -> int:
        headers = {"x-forwarded-for": f"6.6.6.6, {client}"}
        return proxied.post("/v1/sense", content=RAINY, headers=headers).status_code

    assert [send("192.0.2.1"), send("192.0.2.1"), send("192.0.2.2")] == [200, 429, 200]
    with ExitStack() as stack:
        for number in range(3):  # unfinished uploads of three clients over one proxy
            connection = stack.enter_context(proxied.connect())
            connection.sendall(
                b"POST /v1/sense HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
                b"X-Forwarded-For: 192.0.2.%d\r\n\r\n" % (10 + number)
            )
        assert send("192.0.2.9") == 200
