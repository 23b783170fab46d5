"""Faults of stores: which of them pass, what they say, and calls that are tried again.

A call is tried again after a time-out, a lost connection, or an answer that says "later" (429,
5xx). What is damaged, absent or forbidden stays so, and is not asked for twice.
"""

import errno
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

from crdnet.errors import CRDNetError

Result = TypeVar("Result")

ATTEMPTS = 5
"""Calls of a store before its fault counts."""
FIRST_DELAY_SECONDS = 0.5
"""Delay after the first attempt; it doubles with each."""
_PASSING_ERRNOS = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.EIO,
    errno.EPIPE,
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.ESTALE,
    errno.ETIMEDOUT,
    getattr(errno, "EREMOTEIO", errno.EIO),
}
_TOO_MANY_REQUESTS = 429
_CONFLICT = 409
_SERVER_ERROR = 500
# Classes of libraries that are imported only by the stores that need them.
_PASSING_MODULES = ("aiohttp.", "botocore.", "fsspec.exceptions", "requests.", "urllib3.")
_PASSING_NAMES = re.compile(r"(Timeout|Connection|Disconnected|Payload|HTTPClient|Incomplete|Read)")
_USER_INFORMATION = re.compile(r"(\w[\w+.-]*://)[^/@\s]*@")
_SIGNED_QUERY = re.compile(
    r"(?i)([?&](?:x-amz-[\w-]+|x-goog-[\w-]+|awsaccesskeyid|signature|sig|token|key|secret"
    r"|password|credential)=)[^&\s'\"]*"
)


def call_with_retries(function: Callable[[], Result]) -> Result:
    """Call a function of a store, and try again, later and later, after faults that pass.

    Raises:
        ConnectionError: The store cannot be reached; in place of errors of network libraries.
        Exception: What the function raises otherwise.
    """
    delay = FIRST_DELAY_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return function()
        except Exception as error:
            if not is_passing(error):
                raise
            if attempt == ATTEMPTS:
                if isinstance(error, OSError):
                    raise
                raise ConnectionError(describe_fault(error)) from error
        # At random, so that a thousand workers do not return at once.
        time.sleep(delay * random.uniform(0.5, 1.5))
        delay *= 2
    raise AssertionError  # of the type checker: the loop returns or raises


def is_passing(error: BaseException) -> bool:
    """Return whether a fault may be gone at the next attempt."""
    if isinstance(error, CRDNetError):
        return False
    kind = type(error)
    # An answer that was cut has the status 400 of its parser.
    if f"{kind.__module__}.".startswith(_PASSING_MODULES) and _PASSING_NAMES.search(kind.__name__):
        return True
    status = find_http_status(error)
    if status is not None:
        return status >= _SERVER_ERROR or status in (_TOO_MANY_REQUESTS, _CONFLICT)
    if isinstance(error, FileNotFoundError | FileExistsError | PermissionError):
        return False
    if isinstance(error, TimeoutError | ConnectionError):
        return True
    return isinstance(error, OSError) and error.errno in _PASSING_ERRNOS


def find_http_status(error: BaseException) -> int | None:
    """Return the HTTP status behind a fault of a store, if there is one."""
    for each in (error, error.__cause__):
        response = getattr(each, "response", None)
        if isinstance(response, dict):  # botocore
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return None if status is None else int(status)
        code = getattr(each, "code", None) or getattr(each, "status", None)
        if isinstance(code, int) and 100 <= code < 600:  # gcsfs, aiohttp
            return code
    return None


def describe_fault(error: BaseException) -> str:
    """Return one sentence about a fault, without credentials."""
    status = find_http_status(error)
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, OSError) and error.strerror and not isinstance(error, CRDNetError):
        text = error.strerror
    if status is not None and str(status) not in text:
        text = f"{text} (HTTP {status})"
    return hide_credentials(text)


def hide_credentials(text: str) -> str:
    """Return a text with user names, passwords and signatures of URLs replaced by `***`."""
    return _SIGNED_QUERY.sub(r"\1***", _USER_INFORMATION.sub(r"\1***@", text))


def has_credentials(url: str) -> bool:
    """Return whether a URL holds a user name, a password or a signature."""
    return hide_credentials(url) != url
