"""The routes: parse, one call, format."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from io import BytesIO
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect

from crdnet import DerainOptions, __version__
from crdnet.errors import CRDNetError
from crdnet.server.access import AccessMiddleware, log_line, note
from crdnet.server.clients import ClientLimits, get_client, group_client
from crdnet.server.metrics import CONTENT_TYPE, Metrics
from crdnet.server.negotiation import choose_media_type
from crdnet.server.pages import add_app, add_pages
from crdnet.server.problems import Kind, Problem, ProblemError, document_kinds, make_response
from crdnet.server.progress import ProgressBoard
from crdnet.server.schemas import (
    IMAGE,
    PROGRESS_PATTERN,
    RAIN_HEADERS,
    DerainParameters,
    Health,
    ModelResponse,
    ProgressResponse,
    SenseParameters,
    SenseResponse,
    describe_body,
    make_rain_headers,
    make_sense_response,
    make_timing,
    name_density,
)
from crdnet.server.settings import Settings
from crdnet.server.uploads import Upload, read_upload
from crdnet.server.work import Work

Done = TypeVar("Done")
Parameters = TypeVar("Parameters", bound=SenseParameters)

# Seconds between attempts to process the first image after the start.
_WARM_UP_SECONDS = 2.0

_WORK_PROBLEMS = (
    Kind.BAD_REQUEST,
    Kind.KEY_MISSING,
    Kind.CROSS_SITE,
    Kind.NOT_ACCEPTABLE,
    Kind.TOO_SLOW,
    Kind.TOO_LARGE,
    Kind.NOT_AN_IMAGE,
    Kind.WRONG_HOST,
    Kind.BROKEN_IMAGE,
    Kind.NOT_WRITTEN,
    Kind.WRONG_PARAMETER,
    Kind.TOO_MANY,
    Kind.INTERNAL,
    Kind.BUSY,
    Kind.INTERRUPTED,
)
_ACCESS_PROBLEMS = (Kind.KEY_MISSING, Kind.WRONG_HOST)


def create_app(settings: Settings, work: Work | None = None) -> FastAPI:
    """Return the application.

    Args:
        settings: Settings of the server.
        work: Processing of images; None creates it from the settings.

    Raises:
        ModelError: There is no such model, or it cannot be opened.
    """
    work = work or Work(settings)
    metrics = Metrics(work)
    limits = ClientLimits(settings.client_connections, settings.client_images_per_minute)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with work.open():
            # Runs while the server already responds, because probes call /readyz meanwhile.
            warm_up = asyncio.create_task(_warm_up(app, work))
            yield
            log_line("stopping")
            warm_up.cancel()
            await asyncio.wait([warm_up])

    app = FastAPI(
        title="crdnet",
        version=__version__,
        summary="Removes rain from images.",
        # FastAPI's own pages load scripts from another host.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        # Client generators derive function names from these.
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.ready = False
    app.state.metrics = metrics
    app.add_middleware(AccessMiddleware, settings=settings, metrics=metrics, limits=limits)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            # Without this, scripts of other sites can read the image but not the rain headers.
            expose_headers=RAIN_HEADERS,
        )
    _handle_problems(app)
    _add_work(app, settings, work, metrics, limits)
    _add_health(app, work, metrics)
    add_pages(app)
    add_app(app, next(iter(work.models.values())))
    _complete_document(app, settings, work)
    return app


def _add_work(
    app: FastAPI, settings: Settings, work: Work, metrics: Metrics, limits: ClientLimits
) -> None:
    board = ProgressBoard()
    receive_upload = partial(_receive_upload, settings=settings, work=work, limits=limits)

    @app.post(
        "/v1/derain",
        response_class=Response,
        responses=document_kinds(*_WORK_PROBLEMS) | {200: IMAGE},
        openapi_extra=describe_body(DerainParameters),
        summary="Remove rain from an image",
    )
    async def derain(request: Request, asked: Annotated[DerainParameters, Query()]) -> Response:
        """Answer with the image, in the same format and with the metadata that were sent."""
        async with AsyncExitStack() as stack:
            _choose_model(asked, work)  # checked even if the form overrides the query
            upload = await receive_upload(request, stack)
            parameters = _merge_parameters(asked, upload)
            model = _choose_model(parameters, work)
            # A named format takes precedence, because browsers and libraries always send Accept.
            accept = "" if parameters.format else request.headers.get("accept", "")
            options = DerainOptions(
                strength=parameters.strength,
                always=parameters.always,
                format=parameters.format,
                quality=parameters.quality,
            )
            progress = stack.enter_context(board.show(parameters.progress))
            doing = work.derain(
                upload.content,
                options,
                model=model,
                client=group_client(get_client(request.scope)),
                accept=accept,
                progress=progress,
            )
            derained = await _run_unless_gone(request, doing)
        metrics.count_image(name_density(derained.outcome), derained.stages)
        return Response(
            derained.content,
            media_type=choose_media_type(accept, derained.format),
            headers=make_rain_headers(derained) | make_timing(derained.stages),
        )

    @app.post(
        "/v1/sense",
        responses=document_kinds(*_WORK_PROBLEMS),
        openapi_extra=describe_body(SenseParameters),
        summary="Measure the rain in an image",
    )
    async def sense(
        request: Request, response: Response, asked: Annotated[SenseParameters, Query()]
    ) -> SenseResponse:
        async with AsyncExitStack() as stack:
            _choose_model(asked, work)
            upload = await receive_upload(request, stack)
            parameters = _merge_parameters(asked, upload)
            model = _choose_model(parameters, work)
            client = group_client(get_client(request.scope))
            doing = work.sense(upload.content, model=model, client=client)
            sensed = await _run_unless_gone(request, doing)
        metrics.count_image(name_density(sensed.outcome), sensed.stages)
        response.headers.update(make_timing(sensed.stages))
        return make_sense_response(sensed, model)

    @app.get(
        "/v1/progress/{identifier}",
        responses=document_kinds(*_ACCESS_PROBLEMS, Kind.WRONG_PARAMETER),
        summary="Show the progress of a request",
    )
    async def read_progress(
        identifier: Annotated[str, Path(pattern=PROGRESS_PATTERN)],
    ) -> ProgressResponse:
        return ProgressResponse.model_validate(board.find(identifier), from_attributes=True)


def _add_health(app: FastAPI, work: Work, metrics: Metrics) -> None:
    @app.get(
        "/v1/models",
        responses=document_kinds(*_ACCESS_PROBLEMS),
        summary="List the models",
    )
    async def list_models() -> list[ModelResponse]:
        return [
            ModelResponse(
                name=name,
                aliases=[other for other in (model.name, *model.aliases) if other != name],
                summary=model.summary,
                parameters=model.parameters,
                sha256=model.sha256,
                default=place == 0,
            )
            for place, (name, model) in enumerate(work.models.items())
        ]

    @app.get(
        "/healthz",
        responses=document_kinds(Kind.WRONG_HOST),
        summary="Check whether the server is alive",
    )
    async def check_health() -> Health:
        return Health(status="alive")

    @app.get(
        "/readyz",
        responses=document_kinds(Kind.WRONG_HOST, Kind.NOT_READY),
        summary="Check whether the server is ready",
    )
    async def check_readiness() -> Health:
        if not app.state.ready:
            raise ProblemError(Kind.NOT_READY, "the server is still starting; try again later")
        return Health(status="ready")

    @app.get(
        "/metrics",
        response_class=Response,
        responses=document_kinds(*_ACCESS_PROBLEMS)
        | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        summary="Counters for Prometheus",
    )
    async def read_metrics() -> Response:
        return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE})


def _handle_problems(app: FastAPI) -> None:
    def respond(request: Request, problem: ProblemError) -> Response:
        note(request.scope, problem.kind)
        return make_response(problem, request.state.request_id)

    @app.exception_handler(ProblemError)
    async def answer_problem(request: Request, problem: ProblemError) -> Response:
        return respond(request, problem)

    @app.exception_handler(RequestValidationError)
    async def answer_validation(request: Request, error: RequestValidationError) -> Response:
        return respond(request, _make_parameter_error(error.errors()))

    @app.exception_handler(HTTPException)
    async def answer_http(request: Request, error: HTTPException) -> Response:
        kind = {404: Kind.NO_SUCH_PAGE, 405: Kind.WRONG_METHOD}.get(
            error.status_code, Kind.BAD_REQUEST
        )
        detail = (
            "GET /docs lists what is here and what it takes"
            if kind is not Kind.BAD_REQUEST
            else str(error.detail)
        )
        return respond(request, ProblemError(kind, detail, error.headers))


async def _receive_upload(
    request: Request,
    stack: AsyncExitStack,
    settings: Settings,
    work: Work,
    limits: ClientLimits,
) -> Upload:
    """Read the upload of a request; its bytes count as memory in use until the stack is closed."""
    client = group_client(get_client(request.scope))
    limits.count_image(client)
    # Checked before reading the body, because a refusal after 30 MB wastes the time of both sides.
    work.admission.check_room(client)
    share = stack.enter_context(work.memory.open_share())
    upload = await read_upload(request, settings, share)
    request.state.bytes = len(upload.content)
    return upload


def _merge_parameters(asked: Parameters, upload: Upload) -> Parameters:
    """Return the parameters of the query, overridden by the fields of the form."""
    try:
        return type(asked).model_validate(asked.model_dump(exclude_unset=True) | upload.fields)
    except ValidationError as error:
        raise _make_parameter_error(error.errors()) from error


def _make_parameter_error(errors: Any) -> ProblemError:
    first = errors[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("query", "body"))[:60]
    return ProblemError(
        Kind.WRONG_PARAMETER, f"{where}: {first['msg']}; GET /docs describes each parameter"
    )


def _choose_model(parameters: SenseParameters, work: Work) -> str:
    """Return the name of the requested model."""
    for name, model in work.models.items():
        if parameters.model in (None, name, model.name, *model.aliases):
            return name
    known = ", ".join(work.models)
    raise ProblemError(
        Kind.WRONG_PARAMETER,
        f"model: this server has no model {parameters.model!r:.60}; use one of {known}",
    )


async def _run_unless_gone(request: Request, doing: Awaitable[Done]) -> Done:
    """Await a task, and cancel it if the client disconnects meanwhile.

    Raises:
        ClientDisconnect: The client disconnected.
    """
    task = asyncio.ensure_future(doing)
    # A disconnect is only noticed by receiving messages.
    gone = asyncio.ensure_future(_wait_until_gone(request))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return await task
    finally:
        gone.cancel()
        # The lane becomes free only when the task has ended.
        task.cancel()
        await asyncio.wait([task, gone])


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _warm_up(app: FastAPI, work: Work) -> None:
    """Derain one image with each model, so that no client waits for one-time preparations."""
    from PIL import Image  # noqa: PLC0415 - for this alone

    buffer = BytesIO()
    Image.new("RGB", (64, 64), "grey").save(buffer, "PNG")
    for model in work.models:
        while True:
            try:
                await work.derain(buffer.getvalue(), DerainOptions(always=True), model=model)
                break
            # A full queue is temporary. A permanent error stays in the log, and /readyz stays 503.
            except (CRDNetError, ProblemError) as error:
                log_line("not ready", reason=str(error))
                await asyncio.sleep(_WARM_UP_SECONDS)
    app.state.ready = True
    log_line("ready")


def _complete_document(app: FastAPI, settings: Settings, work: Work) -> None:
    """Add to the API document: problems, the key, and the names of models."""
    make = app.openapi
    names = sorted(
        {name for key, model in work.models.items() for name in (key, model.name, *model.aliases)}
    )

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = make()
            components = document.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
            if settings.keys:
                components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
                document["security"] = [{"key": []}]
            for path in ("/v1/derain", "/v1/sense"):
                operation = document["paths"][path]["post"]
                form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
                (asked,) = (each for each in operation["parameters"] if each["name"] == "model")
                asked["schema"]["enum"] = form["properties"]["model"]["enum"] = names
            for path in ("/healthz", "/readyz"):
                document["paths"][path]["get"]["security"] = []
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents
