"""Malformed HTTP, which uvicorn answers without a request, is answered with a problem document."""

import httpx2 as httpx
import pytest

from tests.server.running import Running
from tests.server.test_bad_input import check_problem
from tests.server.test_running import read_until_closed

POST = b"POST /v1/derain HTTP/1.1\r\nHost: localhost\r\n"
MALFORMED = {
    "no HTTP": b"how are you?\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "bad length": POST + b"Content-Length: many\r\n\r\n",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "bad coding": POST + b"Transfer-Encoding: rot13\r\n\r\n",
    "bad chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "bad name": b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n",
    "zero byte": b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    "long head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_http_gets_a_problem_document(server: Running, sent: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(sent)
        answer = read_until_closed(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    assert status.startswith("HTTP/1.1 400 ")
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(headers["Content-Length"]) == len(body)  # and no second answer
    check_problem(httpx.Response(400, headers=headers, content=body), 400, "bad-request")
    assert server.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT example.org:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"FROB / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://localhost/nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\n\r\n",
    ],
    ids=lambda sent: sent.split(b" HTTP")[0].decode(),
)
def test_odd_requests_get_a_problem_document(server: Running, sent: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(sent)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 4")
    assert b"content-type: application/problem+json" in answer.lower()
