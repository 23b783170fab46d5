"""Counters of a job for Prometheus, served by the driver."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crdnet.batch.cluster.counts import JobReport
from crdnet.errors import ArgumentError, MissingExtraError


@contextmanager
def serve_metrics(port: int, host: str = "") -> Iterator[Callable[[JobReport], None]]:
    """Serve the counters of a job at `/metrics` of a port; yield the function that updates them.

    Raises:
        MissingExtraError: The package prometheus-client is not installed.
        ArgumentError: The port is taken.
    """
    try:
        from prometheus_client import (  # noqa: PLC0415 - an extra
            CollectorRegistry,
            Gauge,
            start_http_server,
        )
    except ImportError as error:
        raise MissingExtraError("`metrics_port`", "cluster") from error
    registry = CollectorRegistry()
    inputs = Gauge("crdnet_job_inputs", "Inputs of the job", registry=registry)
    left = Gauge("crdnet_job_left", "Inputs without a result", registry=registry)
    results = Gauge("crdnet_job_results", "Results of this run", ["status"], registry=registry)
    faults = Gauge("crdnet_job_failures", "Failures by class", ["error_class"], registry=registry)
    pixels = Gauge("crdnet_job_pixels", "Pixels of this run", registry=registry)
    read = Gauge("crdnet_job_bytes", "Bytes of images", ["direction"], registry=registry)
    try:
        server, thread = start_http_server(port, host or "0.0.0.0", registry)
    except OSError as error:
        raise ArgumentError(
            f"`metrics_port` {port} cannot be served: {error.strerror}; choose another port"
        ) from error

    def update(report: JobReport) -> None:
        inputs.set(report.inputs)
        left.set(report.left)
        for status in ("done", "dry", "skipped", "failed"):
            results.labels(status).set(report.tally.counts[status])
        for name, count in report.tally.faults.items():
            faults.labels(name).set(count)
        pixels.set(report.tally.pixels)
        read.labels("read").set(report.tally.bytes_read)
        read.labels("written").set(report.tally.bytes_written)

    try:
        yield update
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
