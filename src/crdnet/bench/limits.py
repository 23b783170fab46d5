"""Peak rates of the machine: matrix products and a copy of memory, by numpy and OpenVINO.

A network can hardly multiply faster than the product of two large matrices, nor move its samples
faster than a copy. `docs/decisions/0014-peak-rates-in-the-wheel.md` gives the reason to measure
them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import numpy as np

PRODUCT_SIDE = 2048
PRODUCT_MACS = PRODUCT_SIDE**3
COPY_SAMPLES = 64 * 2**20
"""Float32 samples of the copy: 256 MB, more than caches hold."""
COPY_BYTES = 2 * 4 * COPY_SAMPLES
"""Bytes that one copy reads and writes."""

COPY = "copy"
Limit = tuple[str, str]
"""Kind ("float32", "bfloat16" or `COPY`) and the library that measures it."""


def list_limits(*, in_bfloat16: bool) -> list[Limit]:
    """Return the limits that can be measured on this machine.

    Args:
        in_bfloat16: Whether an engine computes in bfloat16, so that its limit is needed.
    """
    found: list[Limit] = [(COPY, "numpy"), ("float32", "numpy")]
    # numpy has no bfloat16. In float32 the faster of the two libraries is the limit.
    if find_spec("openvino") is not None:
        found += [("float32", "openvino"), *[("bfloat16", "openvino")] * in_bfloat16]
    return found


def make_limit_call(limit: Limit, threads: int) -> Callable[[], object]:
    """Return the call to time for a limit; numpy's BLAS takes its threads from the environment."""
    match limit:
        case ("copy", _):
            return _make_copy_call(threads)
        case (_, "numpy"):
            one, other = _draw_matrices()
            # The call writes to memory that exists, so no allocation is timed.
            product = np.empty_like(one)
            return lambda: np.matmul(one, other, out=product)
        case (precision, _):
            return _make_openvino_call(precision, threads)


def _draw_matrices() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    one, other = (rng.random((PRODUCT_SIDE, PRODUCT_SIDE), dtype=np.float32) for _ in range(2))
    return one, other


def _make_copy_call(threads: int) -> Callable[[], object]:
    # One thread may not saturate the memory. Each copies its own part; numpy releases the GIL.
    sources = np.array_split(np.ones(COPY_SAMPLES, np.float32), threads)
    targets = [np.empty_like(source) for source in sources]
    pool = ThreadPoolExecutor(threads)
    return lambda: list(pool.map(np.copyto, targets, sources))


def _make_openvino_call(precision: str, threads: int) -> Callable[[], object]:
    import openvino  # noqa: PLC0415 - an extra, and slow to import
    from openvino import opset13  # noqa: PLC0415

    one, other = _draw_matrices()
    # The second matrix is a constant, like weights, so that OpenVINO can prepare it in advance.
    rows = opset13.parameter(list(one.shape), np.float32)
    model = openvino.Model([opset13.matmul(rows, opset13.constant(other), False, False)], [rows])
    settings = {
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda: request.infer([one], share_inputs=True, share_outputs=True)
