"""A server of the S3 protocol over HTTP, with faults on demand: moto behind a WSGI middleware."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Any

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Respond = Callable[..., Any]


@dataclass
class Fault:
    """Answer of the server to requests that match, in place of its own."""

    method: str
    path: str
    """Regular expression; `/bucket/key`."""
    status: str = "503 Service Unavailable"
    code: str = "SlowDown"
    times: int = 1_000_000
    """Number of requests, the first ones."""
    cuts_body: bool = False
    """Whether the connection ends in the middle of the body of the right answer."""
    stalls_body: bool = False
    """Whether nothing follows on the first half of the right answer."""
    hides: str | None = None
    """Keys that are left out of the right answer, a listing: a regular expression."""
    header: str | None = None
    """Only requests with this header, as WSGI names it."""
    met: int = 0

    def matches(self, environ: dict[str, Any]) -> bool:
        """Return whether a request meets this fault."""
        is_meant = (
            environ["REQUEST_METHOD"] == self.method
            and re.search(self.path, environ["PATH_INFO"]) is not None
            and (self.header is None or self.header in environ)
        )
        self.met += is_meant
        return is_meant and self.met <= self.times


@dataclass
class S3Server:
    """A server with the buckets `rainy` and `clean`; a context manager."""

    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    """Methods and paths, in the order of their arrival."""

    def __enter__(self) -> "S3Server":
        self._stack = ExitStack()
        self._creating, self._released = Lock(), Event()
        self._application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet
        )
        thread = Thread(target=self._server.serve_forever, daemon=True)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(self._server.shutdown)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            region_name="us-east-1",
        )
        self._stack.callback(self.client.close)
        for bucket in ("rainy", "clean"):
            self.client.create_bucket(Bucket=bucket)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def clear(self) -> None:
        """Forget faults, requests and objects."""
        self._released.set()
        self._released = Event()
        self.faults.clear()
        self.requests.clear()
        for bucket in ("rainy", "clean"):
            keys = [{"Key": key} for key in self.list_keys(bucket)]
            if keys:
                self.client.delete_objects(Bucket=bucket, Delete={"Objects": keys})

    @property
    def environment(self) -> dict[str, str]:
        """Variables by which clients find the server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Store an object."""
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def get(self, bucket: str, key: str) -> bytes:
        """Return the content of an object."""
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def list_keys(self, bucket: str) -> list[str]:
        """Return the keys of a bucket."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def _answer(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        for fault in self.faults:
            if not fault.matches(environ):
                continue
            if fault.cuts_body:
                return _cut(self._application(environ, respond))
            if fault.stalls_body:
                return _stall(self._application(environ, respond), self._released)
            if fault.hides is not None:
                return self._hide(fault.hides, environ, respond)
            respond(fault.status, [("Content-Type", "application/xml")])
            return [f"<Error><Code>{fault.code}</Code><Message>no</Message></Error>".encode()]
        if "HTTP_IF_NONE_MATCH" in environ:
            with self._creating:  # moto looks and writes in two steps
                return list(self._application(environ, respond))
        body: Iterable[bytes] = self._application(environ, respond)
        return body

    def _hide(self, keys: str, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        def respond_shorter(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            kept = [each for each in headers if each[0].lower() != "content-length"]
            return respond(status, kept, *more)

        listing = b"".join(self._application(environ, respond_shorter))
        return [re.sub(rf"<Contents><Key>{keys}</Key>.*?</Contents>".encode(), b"", listing)]


class _Quiet(WSGIRequestHandler):
    def log_request(self, *_arguments: object) -> None:
        """Print nothing."""


def _cut(body: Iterable[bytes]) -> Iterator[bytes]:
    whole = b"".join(body)
    yield whole[: len(whole) // 2]
    raise ConnectionResetError("cut on purpose")


def _stall(body: Iterable[bytes], released: Event) -> Iterator[bytes]:
    whole = b"".join(body)
    yield whole[: len(whole) // 2]
    released.wait()
