"""The server as users run it: slow and vanishing clients, signals, log, wrong settings."""

import json
import select
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.runner import Crdnet
from tests.server.images import RAINY, encode, make_png_claiming
from tests.server.running import Running, run_server, start_serve
from tests.waiting import HANG_SECONDS, wait_until

SLOW = make_png_claiming(1000, 800, rows=800)
"""A PNG of a few bytes for which `paper` needs seconds."""


def head(path: str, **headers: object) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_until_closed(connection: socket.socket) -> bytes:
    received = b""
    try:
        while more := connection.recv(65536):
            received += more
    except ConnectionResetError:
        pass
    return received


def send_until_cut_off(
    server: Running, pieces: Iterable[bytes], pause_seconds: float = 0.0
) -> None:
    """Send pieces without end until the server closes the connection."""
    with server.connect() as connection, suppress(ConnectionError):
        for piece in pieces:
            connection.sendall(piece)
            time.sleep(pause_seconds)


@pytest.fixture
def crdnet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Crdnet:
    return Crdnet(monkeypatch, capsys)


def test_a_head_that_trickles_is_cut_off(impatient: Running) -> None:
    beginning = b"POST /v1/derain HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
    letters = (bytes([letter]) for letter in chain(beginning, repeat(ord("x"))))
    send_until_cut_off(impatient, letters, pause_seconds=0.05)


def test_a_body_that_trickles_is_told_that_it_is_too_slow(impatient: Running) -> None:
    # On a busy machine the head may be too slow as well; that is cut off without an answer.
    def answer() -> bytes:
        with impatient.connect() as connection:
            connection.sendall(head("/v1/derain", Content_Length=1000) + b"x")
            return read_until_closed(connection)

    wait_until(lambda: answer().startswith(b"HTTP/1.1 408 "))


def test_ten_gigabytes_declared_and_ten_bytes_sent_are_refused_at_once(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(head("/v1/derain", Content_Length=10 * 2**30) + b"x" * 10)
        answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"application/problem+json" in answer
        read_until_closed(connection)  # and it does not wait for the rest


def test_a_chunked_body_without_end_is_refused_at_the_limit_and_then_cut_off(
    server: Running,
) -> None:
    before = count_refused(server)
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    send_until_cut_off(
        server, chain([head("/v1/derain", Transfer_Encoding="chunked")], repeat(chunk))
    )
    wait_until(lambda: count_refused(server) > before)


def count_refused(server: Running) -> int:
    """Return how many uploads the server has called too large."""
    return sum(line.get("status") == 413 for line in server.lines())


def one_large_answer() -> bytes:
    """Return a request whose answer is more than the system keeps for its client."""
    noise = np.random.default_rng(0).integers(0, 256, (1600, 1600, 3), dtype=np.uint8)
    sent = encode(Image.fromarray(noise), "JPEG", quality=80)
    return head("/v1/derain?format=png&strength=0", Content_Length=len(sent)) + sent


def many_answers() -> bytes:
    return b"GET /assets/example.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500


@pytest.mark.skipif(
    not hasattr(select, "poll"), reason="tells of a connection that was cut by poll"
)
@pytest.mark.parametrize(
    "request_bytes", [one_large_answer, many_answers], ids=lambda made: made.__name__
)
def test_a_client_that_does_not_fetch_its_answers_is_cut_off(
    impatient: Running, request_bytes: Callable[[], bytes]
) -> None:
    with impatient.connect() as connection:
        connection.sendall(request_bytes())
        cut = select.poll()
        cut.register(connection, 0)  # for errors alone
        assert cut.poll(1000 * HANG_SECONDS)


def test_connections_over_the_cap_are_told_so(server: Running) -> None:
    held = [server.connect() for _ in range(256)]
    try:
        with server.connect() as one_more:
            answer = read_until_closed(one_more)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 503
    finally:
        for connection in held:
            connection.close()
    wait_until(lambda: server.get("/healthz").status_code == 200)


def test_a_client_that_goes_away_has_its_image_stopped(server: Running) -> None:
    done = server.metric("crdnet_pixels_done")
    with server.connect() as connection:
        connection.sendall(
            head("/v1/derain?model=paper&always=true", Content_Length=len(SLOW)) + SLOW
        )
        wait_until(lambda: server.metric("crdnet_pixels_in_work") > 0)
    wait_until(lambda: server.metric("crdnet_pixels_in_work") == 0)
    wait_until(lambda: any(line.get("outcome") == "client-gone" for line in server.lines()))
    assert server.metric("crdnet_pixels_done") == done
    assert server.post("/v1/sense", content=RAINY).status_code == 200


def test_two_hundred_connections_at_once_all_get_an_answer(server: Running) -> None:
    wait_until(lambda: server.metric("crdnet_queue_length") == 0)
    request = head("/v1/derain", Content_Length=len(RAINY), Connection="close") + RAINY
    connections = [server.connect() for _ in range(200)]
    for connection in connections:
        connection.sendall(request)
    answers = [read_until_closed(connection) for connection in connections]
    for connection in connections:
        connection.close()
    statuses = [answer[9:12] for answer in answers]
    assert set(statuses) <= {b"200", b"503"}
    assert b"200" in statuses
    assert all(b"\nretry-after: " in answer.lower() for answer in answers if answer[9:12] == b"503")
    assert server.post("/v1/derain", content=RAINY).status_code == 200


def test_the_log_tells_size_and_outcome_and_nothing_else(server: Running) -> None:
    secret = "very-secret-name"
    answer = server.post(
        f"/v1/derain?format={secret}",
        files={"file": (f"{secret}.png", RAINY)},
        headers={"x-more": secret},
    )
    server.get(f"/{secret}")
    wait_until(lambda: any(line.get("route") == "none" for line in server.lines()))
    assert secret not in server.log.read_text(encoding="utf-8")
    (line,) = (
        line for line in server.lines() if line.get("request_id") == answer.headers["x-request-id"]
    )
    assert set(line) == {
        *("time", "level", "event", "request_id", "method", "route", "status", "outcome"),
        *("client", "bytes_in", "bytes_out", "milliseconds"),
    }
    assert (line["route"], line["status"], line["outcome"]) == (
        "/v1/derain",
        422,
        "wrong-parameter",
    )


def test_sigterm_finishes_what_is_in_flight_and_ends_with_0(model: Path, tmp_path: Path) -> None:
    limits = ("--grace-seconds", HANG_SECONDS, "--codec-seconds", HANG_SECONDS)
    with (
        run_server("-m", "paper", "-d", "cpu", *limits, log=tmp_path / "log") as server,
        ThreadPoolExecutor(1) as client,
    ):
        answer = client.submit(server.post, "/v1/derain?always=true", content=SLOW)
        wait_until(lambda: server.metric("crdnet_pixels_in_work") > 0)
        server.process.terminate()
        assert answer.result().status_code == 200
        assert server.process.wait(HANG_SECONDS) == 0


@pytest.mark.parametrize("model_name", ["default", "paper"], ids=["sensing", "deraining"])
def test_after_the_grace_period_the_image_in_work_is_interrupted(
    tmp_path: Path, model_name: str
) -> None:
    limits = ("--grace-seconds", 1, "--codec-seconds", HANG_SECONDS)
    with (
        run_server("-m", model_name, "-d", "cpu", *limits, log=tmp_path / "log") as server,
        ThreadPoolExecutor(1) as client,
    ):
        huge = make_png_claiming(5000, 5000, rows=5000)
        answer = client.submit(server.post, "/v1/derain?always=true", content=huge)
        wait_until(lambda: server.metric("crdnet_pixels_in_work") > 0)
        server.process.terminate()
        server.process.wait(HANG_SECONDS)
        assert answer.result().status_code == 503
        assert answer.result().json()["type"] == "urn:crdnet:interrupted"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_a_unix_socket_is_served_and_replaced_when_it_was_left_behind(
    model: Path, tmp_path: Path
) -> None:
    path, log = tmp_path / "socket", tmp_path / "log"

    def is_alive() -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            if connection.connect_ex(str(path)):
                return False
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection.recv(65536).startswith(b"HTTP/1.1 200 ")

    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    process = start_serve("-m", model, "-d", "cpu", "--unix-socket", path, log=log)
    try:
        wait_until(lambda: is_alive() or process.poll() is not None)
        assert is_alive()
    finally:
        process.terminate()
    assert process.wait(HANG_SECONDS) == 0
    events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert events[0]["url"] == f"unix:{path}"
    assert [each["event"] for each in events].count("stopping") == 1


def test_a_port_that_is_taken_is_one_line(server: Running, model: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = start_serve("-m", model, "--port", server.port, log=log)
    assert process.wait(HANG_SECONDS) == 1
    said = log.read_text(encoding="utf-8")
    assert said.startswith("Error: cannot listen on 127.0.0.1")
    assert said.count("\n") == 1, said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--host", "0.0.0.0"), "no API key is set"),
        (("-m", "nope"), "there is no model 'nope'"),
        (("--max-megapixels", "100"), "is below the limit of one image"),
        (("--api-key", "secret"), "No such option"),
        (("--queue", "-1"), "--queue"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_settings_are_one_line_and_2(
    crdnet: Crdnet, arguments: tuple[str, ...], words: str
) -> None:
    finished = crdnet("serve", *arguments)
    assert finished.code == 2
    assert len(finished.error_lines) == 1
    assert words in finished.err


def test_settings_are_environment_variables_too(
    crdnet: Crdnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRDNET_HOST", "0.0.0.0")
    assert "no API key is set" in crdnet("serve").err


def test_a_key_is_taken_from_one_place(
    crdnet: Crdnet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("\n", encoding="utf-8")
    assert "printable ASCII" in crdnet("serve", "--api-key-file", file).err
    monkeypatch.setenv("CRDNET_API_KEY", "secret")
    assert "use only one of them" in crdnet("serve", "--api-key-file", file).err


def test_without_its_extra_the_command_names_it(
    crdnet: Crdnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys  # noqa: PLC0415

    for name in [name for name in sys.modules if name.startswith(("crdnet.server", "fastapi"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    finished = crdnet("serve")
    assert finished.code == 1
    assert "pip install 'crdnet[serve]'" in finished.err


def test_the_progress_of_a_large_image_is_counted_in_tiles(server: Running) -> None:
    large = make_png_claiming(3000, 3000, rows=3000)
    path = "/v1/derain?model=paper&always=true&progress=my-identifier"

    def progress() -> dict[str, object]:
        said: dict[str, object] = server.get("/v1/progress/my-identifier").json()
        return said

    with server.connect() as connection:
        connection.sendall(head(path, Content_Length=len(large)) + large)
        wait_until(lambda: progress()["tiles_done"] == 1)
        assert progress()["state"] == "working"
        assert int(str(progress()["tiles"])) > 1
        again = server.post(path, content=RAINY)
        assert (again.status_code, again.json()["type"]) == (422, "urn:crdnet:wrong-parameter")
    wait_until(lambda: progress()["state"] == "unknown")
    assert server.get("/v1/progress/no").status_code == 422
