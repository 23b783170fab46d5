"""An HTTP server that takes the rain out of images, with a page to drop one on (extra: serve).

    from crdnet.server import Settings, serve

    serve(Settings(port=8000))

A request goes through these modules in turn: `connections` (deadlines and caps, before there is a
request), `access` (who may ask, headers of every answer, log and metrics) with `forwarding` (what
trusted proxies say), `clients` (limits of each) and `draining` (refused uploads), `app` (routes),
`uploads` (the body, in bounded memory), `negotiation` (the format of the answer), `admission`
(whose turn it is), `work` (the route of `crdnet.pipeline`, with a codec in a worker process).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crdnet.server.app import create_app
    from crdnet.server.running import serve
    from crdnet.server.settings import Settings

__all__ = ["Settings", "create_app", "serve"]

# Names are loaded when they are first used: the processes that decode import this package and need
# nothing of it.
_HOME_OF_NAME = {
    "Settings": "crdnet.server.settings",
    "create_app": "crdnet.server.app",
    "serve": "crdnet.server.running",
}


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in (PEP 562)."""
    if name not in _HOME_OF_NAME:
        raise AttributeError(f"module 'crdnet.server' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF_NAME[name]), name)
