"""Errors of stores: retries after temporary ones, and messages without credentials.

A call is repeated after a time-out, a lost connection, or a temporary status (429, 5xx). Damaged,
absent or forbidden files are permanent errors and are not requested again.
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
"""Number of calls before a temporary error is raised."""
FIRST_DELAY_SECONDS = 0.5
"""Delay after the first attempt, in seconds; each further delay doubles."""
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
# Modules of error classes, named as text: only the stores that need these libraries import them.
_PASSING_MODULES = ("aiohttp.", "botocore.", "fsspec.exceptions", "requests.", "urllib3.")
_PASSING_NAMES = re.compile(r"(Timeout|Connection|Disconnected|Payload|HTTPClient|Incomplete|Read)")
_USER_INFORMATION = re.compile(r"(\w[\w+.-]*://)[^/@\s]*@")
_SIGNED_QUERY = re.compile(
    r"(?i)([?&](?:x-amz-[\w-]+|x-goog-[\w-]+|awsaccesskeyid|signature|sig|token|key|secret"
    r"|password|credential)=)[^&\s'\"]*"
)


def call_with_retries(function: Callable[[], Result]) -> Result:
    """Call a function of a store; repeat it with growing delays after temporary errors.

    Raises:
        ConnectionError: The store cannot be reached; replaces the errors of network libraries.
        Exception: Any other error of the function.
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
        # Random, so that a thousand workers do not retry at the same moment.
        time.sleep(delay * random.uniform(0.5, 1.5))
        delay *= 2
    raise AssertionError  # for the type checker: the loop always returns or raises


def is_passing(error: BaseException) -> bool:
    """Return whether an error is temporary, so that the next attempt may succeed."""
    if isinstance(error, CRDNetError):
        return False
    kind = type(error)
    # The HTTP parser gives a truncated response the status 400.
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
    """Return the HTTP status behind an error of a store, None if there is none."""
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
    """Return a description of an error in one sentence, without credentials."""
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
