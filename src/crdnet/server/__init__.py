"""HTTP server that derains images, with a page to drop an image on (extra: serve).

    from crdnet.server import Settings, serve

    serve(Settings(port=8000))

A request passes these modules in turn: `connections` (deadlines and limits of connections),
`access` (authentication, headers of every response, log and metrics) with `forwarding` (headers of
trusted proxies), `clients` (limits of each client) and `draining` (refused uploads), `app`
(routes), `uploads` (the body, in bounded memory), `negotiation` (the format of the response),
`admission` (the queue), `work` (the route of `crdnet.pipeline`, with a codec in a worker process).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crdnet.server.app import create_app
    from crdnet.server.running import serve
    from crdnet.server.settings import Settings

__all__ = ["Settings", "create_app", "serve"]

# Names are imported at their first use, because codec processes import this package but need
# nothing of it.
_HOME_OF_NAME = {
    "Settings": "crdnet.server.settings",
    "create_app": "crdnet.server.app",
    "serve": "crdnet.server.running",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module (PEP 562)."""
    if name not in _HOME_OF_NAME:
        raise AttributeError(f"module 'crdnet.server' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF_NAME[name]), name)
