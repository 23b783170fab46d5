"""Counters of the server, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from crdnet.density import RainDensity
from crdnet.server.work import Stages, Work

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The counters of one server."""

    def __init__(self, work: Work) -> None:
        # A separate registry, because tests create several servers in one process.
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "crdnet_requests",
            "Answers by route and status",
            ["method", "route", "status"],
            registry=registry,
        )
        self._errors = Counter(
            "crdnet_errors", "Requests that failed, by kind", ["kind"], registry=registry
        )
        self._seconds = Histogram(
            "crdnet_request_seconds",
            "From head to answer",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._stages = Histogram(
            "crdnet_stage_seconds",
            "Time in one stage",
            ["stage"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._densities = Counter(
            "crdnet_densities", "Images by density", ["density"], registry=registry
        )
        self._refused = Counter(
            "crdnet_connections_refused", "Connections over the cap", registry=registry
        )
        # Counters that start at 0 give correct rates from the first image on.
        for density in (*(grade.name.lower() for grade in RainDensity), "unknown"):
            self._densities.labels(density)
        gauges: dict[str, tuple[str, Callable[[], float]]] = {
            "crdnet_queue_length": ("Images that wait", lambda: work.admission.waiting),
            "crdnet_pixels_in_work": (
                "Pixels of the images in progress",
                lambda: work.admission.pixels,
            ),
            "crdnet_upload_bytes": ("Bytes of uploads in memory", lambda: work.memory.used),
            "crdnet_workers_replaced": ("Codec processes that died", lambda: work.workers_replaced),
            "crdnet_pixels_done": ("Pixels worked on since the start", lambda: work.pixels),
        }
        for name, (told, value) in gauges.items():
            Gauge(name, told, registry=registry).set_function(value)

    def count_answer(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a response."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_problem(self, kind: str) -> None:
        """Count a request that ended with a problem."""
        self._errors.labels(kind).inc()

    def count_refusal(self) -> None:
        """Count a connection that exceeds the limit."""
        self._refused.inc()

    def count_image(self, density: str, stages: Stages) -> None:
        """Count an image."""
        self._densities.labels(density).inc()
        for stage, seconds in stages.items():
            self._stages.labels(stage).observe(seconds)

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry)
