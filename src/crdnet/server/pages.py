"""The pages: plain files of this package, kept in memory, and the policy that they load nothing from elsewhere."""

from collections.abc import Mapping
from importlib.resources import files

from fastapi import FastAPI, Response

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGES = {"/": "index.html", "/docs": "docs.html"}
_ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "example.jpg": "image/jpeg",
}


def add_pages(app: FastAPI) -> None:
    """Add the page to drop a photo on, and that of the API."""
    folder = files("crdnet.server") / "page"
    policy = {"Content-Security-Policy": _PAGE_POLICY}

    def add(path: str, name: str, media_type: str, headers: Mapping[str, str]) -> None:
        content = (folder / name).read_bytes()

        @app.get(path, include_in_schema=False)
        async def page() -> Response:
            return Response(content, media_type=media_type, headers=dict(headers))

    for path, name in _PAGES.items():
        add(path, name, "text/html; charset=utf-8", policy)
    for name, media_type in _ASSETS.items():
        add(f"/assets/{name}", name, media_type, {"Cache-Control": "no-cache"})
