"""The pages: plain files of this package, kept in memory, which load nothing from elsewhere."""

import gzip
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePath

from fastapi import FastAPI, Request, Response

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGES = {"/": "index.html", "/docs": "docs.html"}
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
}
"""Media types of the files in the folder of assets, by suffix."""


def add_pages(app: FastAPI) -> None:
    """Add the page to drop an image on, and that of the API."""
    folder = files("crdnet.server") / "page"
    policy = {"Content-Security-Policy": _PAGE_POLICY}

    def add(path: str, name: str, media_type: str, headers: Mapping[str, str]) -> None:
        content = (folder / name).read_bytes()
        # Packed once, and without the time, so that every start gives the same bytes.
        packed = gzip.compress(content, mtime=0)
        tag = f'W/"{sha256(content).hexdigest()[:32]}"'  # weak: the same packed and not
        common = {**headers, "ETag": tag, "Vary": "Accept-Encoding"}

        @app.get(path, include_in_schema=False)
        async def serve_file(request: Request) -> Response:
            if tag in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=common)
            # An image does not get smaller.
            if len(packed) < len(content) and _takes_gzip(request):
                coding = {"Content-Encoding": "gzip"}
                return Response(packed, media_type=media_type, headers=common | coding)
            return Response(content, media_type=media_type, headers=common)

    for path, name in _PAGES.items():
        add(path, name, "text/html; charset=utf-8", policy)
    for each in folder.iterdir():
        if media_type := _MEDIA_TYPES.get(PurePath(each.name).suffix):
            # Cached and asked for again each time: an update shows at once, an ETag makes it cheap.
            add(f"/assets/{each.name}", each.name, media_type, {"Cache-Control": "no-cache"})


def _takes_gzip(request: Request) -> bool:
    codings = request.headers.get("accept-encoding", "").replace(" ", "").lower().split(",")
    return "gzip" in codings
