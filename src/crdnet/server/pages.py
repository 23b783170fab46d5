"""Web pages: static files of this package, which load nothing from other hosts.

The upload page and the API page are kept in memory. The app, which runs the network in the browser,
is a folder built by `make web`; a clone may lack it.
"""

import gzip
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path, PurePath

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from crdnet.runtime import StoredModel
from crdnet.server.problems import Kind, ProblemError

_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
APP_FOLDER = "/app/"
"""Path of the app."""
# WebAssembly needs permission to compile, and isolation from other sites to use threads.
_APP_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
        "style-src 'self'; img-src 'self' blob: data:; media-src blob:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
}
_APP_MODEL = "default.onnx"
_PAGES = {"/": "index.html", "/docs": "docs.html"}
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".wasm": "application/wasm",
}
"""Media types of the files in the folder of assets, by suffix."""


def add_pages(app: FastAPI) -> None:
    """Add the routes of the upload page and of the API page."""
    folder = files("crdnet.server") / "page"
    policy = {"Content-Security-Policy": _PAGE_POLICY}

    def add(path: str, name: str, media_type: str, headers: Mapping[str, str]) -> None:
        content = (folder / name).read_bytes()
        # Compressed once, without a timestamp, so that every start gives the same bytes.
        packed = gzip.compress(content, mtime=0)
        tag = f'W/"{sha256(content).hexdigest()[:32]}"'  # weak: the same with and without gzip
        common = {**headers, "ETag": tag, "Vary": "Accept-Encoding"}

        @app.get(path, include_in_schema=False)
        async def serve_file(request: Request) -> Response:
            if tag in request.headers.get("if-none-match", ""):
                return Response(status_code=304, headers=common)
            # Compression would not make an image smaller.
            if len(packed) < len(content) and _takes_gzip(request.headers):
                coding = {"Content-Encoding": "gzip"}
                return Response(packed, media_type=media_type, headers=common | coding)
            return Response(content, media_type=media_type, headers=common)

    for path, name in _PAGES.items():
        add(path, name, "text/html; charset=utf-8", policy)
    for each in folder.iterdir():
        if media_type := _MEDIA_TYPES.get(PurePath(each.name).suffix):
            # Revalidated each time, so that an update shows at once; an ETag keeps it cheap.
            add(f"/assets/{each.name}", each.name, media_type, {"Cache-Control": "no-cache"})


def add_app(app: FastAPI, model: StoredModel) -> None:
    """Add the routes of the app, which derains in the browser with the given model.

    Raises:
        ProblemError: The app is not built; raised at a request.
    """
    folder = Path(str(files("crdnet.server"))) / "app"

    @app.get("/app", include_in_schema=False)
    async def redirect() -> Response:
        return RedirectResponse("app/")

    if not (folder / "index.html").is_file():

        @app.get(APP_FOLDER, include_in_schema=False)
        async def refuse() -> Response:
            raise ProblemError(
                Kind.NO_SUCH_PAGE, "the app is not built; run `make web` in the clone"
            )

        return

    @app.get(f"{APP_FOLDER}{_APP_MODEL}", include_in_schema=False)
    async def serve_model() -> Response:
        return FileResponse(model.path, headers=_APP_HEADERS)

    app.mount(APP_FOLDER, _AppFiles(directory=folder, html=True))


class _AppFiles(StaticFiles):
    """Static files of the app with its headers, compressed where the build left such a copy."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        packed, found = self.lookup_path(f"{path}.gz")
        if found:
            media_type = _MEDIA_TYPES[PurePath(path).suffix]
            headers = _APP_HEADERS | {"Vary": "Accept-Encoding"}
            if _takes_gzip(Headers(scope=scope)):
                coding = {"Content-Encoding": "gzip"}
                return FileResponse(packed, media_type=media_type, headers=headers | coding)
            # The wheel holds only the compressed copy.
            content = gzip.decompress(Path(packed).read_bytes())
            return Response(content, media_type=media_type, headers=headers)
        response = await super().get_response(path, scope)
        response.headers.update(_APP_HEADERS)
        return response


def _takes_gzip(headers: Headers) -> bool:
    codings = headers.get("accept-encoding", "").replace(" ", "").lower().split(",")
    return "gzip" in codings
