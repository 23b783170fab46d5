"""Engines are interchangeable, and one that is not there or does not work says so in a line."""

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from PIL import Image

from crdnet import Derainer
from crdnet.devices import DEVICES, ENGINES
from crdnet.errors import CRDNetError, DeviceError, ModelError
from crdnet.gpu import TorchEngine
from crdnet.runtime import (
    Session,
    find_model,
    list_installed_devices,
    list_models,
    read_info,
)
from crdnet.runtime.engines import DEVICE_VARIABLE
from crdnet.runtime.engines.openvino import add_rest, compute_rest, import_openvino
from tests.runtime.tiny import write_tiny_model
from tests.waiting import HANG_SECONDS

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.jpg"))
NAMES = [model.name for model in list_models()]
NEEDS_OPENVINO = pytest.mark.skipif(find_spec("openvino") is None, reason="needs crdnet[openvino]")
NEEDS_A_GPU = pytest.mark.skipif(
    "cuda" not in list_installed_devices(), reason="needs an NVIDIA GPU"
)
FASTER = [
    pytest.param("openvino", marks=NEEDS_OPENVINO),
    pytest.param("cuda", marks=NEEDS_A_GPU),
]
CPU_FLAGS = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
HAS_BFLOAT16 = "avx512_bf16" in CPU_FLAGS and "ONEDNN_MAX_CPU_ISA" not in os.environ

Colours = npt.NDArray[np.float32]


def colours_of(path: Path, side: int = 256) -> Colours:
    """Return the middle of an image, of a side that every shipped model takes."""
    with Image.open(path) as opened:
        levels = np.asarray(opened.convert("RGB"))
    top, left = ((length - side) // 2 for length in levels.shape[:2])
    return levels[top : top + side, left : left + side].astype(np.float32) / np.float32(255)


def share_within_a_level(colours: Colours, truth: Colours) -> float:
    """Return the share of samples that differ by at most one level after rounding to 8 bits."""
    ours, theirs = (np.rint(255 * np.clip(each, 0, 1)) for each in (colours, truth))
    return float((np.abs(ours - theirs) <= 1).mean())


@NEEDS_OPENVINO
def test_what_bfloat16_loses_of_colours_is_all_of_it() -> None:
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    colours = np.concatenate(
        [levels, np.random.default_rng(0).random(4096, np.float32), [np.float32(0.5)]]
    )
    rest = compute_rest(colours)
    kept = colours - rest
    assert (kept.view(np.uint32) & 0xFFFF == 0).all()  # bfloat16 is the upper half of a float32
    assert np.array_equal(kept + rest, colours)
    assert np.abs(rest).max() <= 2**-9


@NEEDS_OPENVINO
def test_colours_in_two_parts_give_what_whole_colours_give() -> None:
    openvino = import_openvino()
    core = openvino.Core()
    graphs = [core.read_model(find_model("default").read()) for _ in range(2)]
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    whole = core.compile_model(graphs[0], "CPU", settings)
    parts = core.compile_model(add_rest(graphs[1]), "CPU", settings)
    rainy = np.random.default_rng(1).random((1, 3, 64, 48), np.float32)
    rest = compute_rest(rainy)
    # The head of the graph adds the correction to the first part, here without the rest. CPUs sum
    # in different orders; without the rest the error would be that of bfloat16, 4e-3.
    assert np.allclose(
        whole(rainy)[0] - rainy, parts([rainy - rest, rest])[0] - (rainy - rest), atol=1e-5
    )


@pytest.mark.parametrize("device", FASTER)
@pytest.mark.parametrize("name", NAMES)
def test_an_engine_agrees_with_the_reference_on_the_example_images(device: str, name: str) -> None:
    reference, faster = (Session(find_model(name), each, threads=1) for each in ("cpu", device))
    for path in EXAMPLES:
        rainy = colours_of(path)
        truth, answer = reference(rainy), faster(rainy)
        assert share_within_a_level(answer.derained, truth.derained) >= 0.999
        assert (answer.density is None) == (truth.density is None)
        if answer.density is not None and truth.density is not None:
            np.testing.assert_allclose(
                answer.density.mean(), truth.density.mean(), rtol=0.02, atol=0.02
            )


@pytest.mark.parametrize("device", FASTER)
def test_an_engine_agrees_with_the_reference_on_real_rain(device: str, shared_data: Path) -> None:
    rainy_images = sorted((shared_data / "real_rain").rglob("*.jpg"))[:8]
    assert rainy_images
    reference, faster = (
        Session(find_model("default"), each, threads=1) for each in ("cpu", device)
    )
    for path in rainy_images:
        rainy = colours_of(path)
        assert share_within_a_level(faster(rainy).derained, reference(rainy).derained) >= 0.999, (
            path
        )


@pytest.mark.parametrize("name", NAMES)
def test_pytorch_in_float16_agrees_with_the_reference(name: str) -> None:
    """On the processor: all but the GPU's kernels and recorded runs is the same there."""
    rainy = colours_of(EXAMPLES[0], 128)
    answer = TorchEngine(find_model(name), 1, 1, device="cpu").begin()(rainy)
    truth = Session(find_model(name), "cpu", threads=1)(rainy)
    assert share_within_a_level(answer.derained, truth.derained) >= 0.999
    assert (answer.density is None) == (truth.density is None)


def test_what_leaves_the_range_of_float16_is_computed_in_float32(tmp_path: Path) -> None:
    model = find_model(write_tiny_model(tmp_path / "wild.onnx", gain=1e6))
    rainy = colours_of(EXAMPLES[0], 64)
    engine = TorchEngine(model, 1, 1, device="cpu")
    derained = engine.begin()(rainy).derained
    assert np.abs(derained).max() > np.finfo(np.float16).max
    truth = Session(model, "cpu", 1)(rainy).derained
    # What cancels keeps the error of the sums that it came from.
    np.testing.assert_allclose(derained, truth, rtol=1e-3, atol=1e-5 * np.abs(truth).max())


@NEEDS_A_GPU
def test_a_run_that_was_recorded_gives_what_the_first_gave() -> None:
    session = Session(find_model("default"), "cuda", threads=1)
    first, second = colours_of(EXAMPLES[0]), colours_of(EXAMPLES[1])
    wanted = [session(each).derained for each in (first, second)]
    for rainy, derained in zip((first, second) * 2, wanted * 2, strict=True):
        np.testing.assert_allclose(session(rainy).derained, derained, atol=1e-3)


@NEEDS_OPENVINO
def test_colours_that_come_out_of_a_convolution_are_not_computed_in_bfloat16() -> None:
    assert Session(find_model("paper"), "openvino", threads=1).engine.endswith(", float32")


@NEEDS_OPENVINO
def test_openvino_computes_in_bfloat16_where_the_processor_does(tiny_model: Path) -> None:
    session = Session(find_model(tiny_model), "openvino", threads=1)
    precision = "bfloat16" if HAS_BFLOAT16 else "float32"
    assert session.engine.startswith("OpenVINO 20")
    assert session.engine.endswith(f", {precision}")
    assert session.info == read_info(find_model(tiny_model))


def derain_elsewhere(
    *,
    before: str = "",
    variables: dict[str, str] | None = None,
    device: str = "openvino",
    model: str = "default",
) -> "subprocess.CompletedProcess[str]":
    """Derain an example in a subprocess that prints the engine and the mean difference."""
    code = f"""
{before}
import sys
import numpy as np
from PIL import Image
from crdnet import Derainer
rainy = np.asarray(Image.open(sys.argv[1]))
derainer = Derainer(device={device!r})
derained = derainer(rainy)
assert derained.shape == rainy.shape
print(derainer.session.engine)
"""
    return subprocess.run(
        [sys.executable, "-c", code, EXAMPLES[0]],
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


@NEEDS_OPENVINO
@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE"])
def test_a_processor_without_bfloat16_gets_float32(instructions: str) -> None:
    done = derain_elsewhere(variables={"ONEDNN_MAX_CPU_ISA": instructions})
    assert done.stdout.endswith(", float32\n"), done.stderr


@NEEDS_OPENVINO
def test_a_processor_that_openvino_cannot_use_gets_onnxruntime() -> None:
    variables = {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        DEVICE_VARIABLE: "auto",
    }  # has no way to enlarge an image there
    done = derain_elsewhere(variables=variables, device="auto")
    assert done.stdout.startswith("onnxruntime"), done.stderr
    assert "device 'openvino' does not work" in done.stderr
    assert done.stderr.count("\n") == 1


@NEEDS_OPENVINO
def test_one_core_is_enough() -> None:
    done = derain_elsewhere(
        before="import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    )
    assert done.stdout.startswith("OpenVINO"), done.stderr


@pytest.fixture
def small_container() -> Iterator[str]:
    """Yield code that moves a process to control groups (version 1) of half a core and 512 MB."""
    groups = [
        Path("/sys/fs/cgroup", kind, f"crdnet-engines-{os.getpid()}") for kind in ("cpu", "memory")
    ]
    try:
        for group in groups:
            group.mkdir()
        (groups[0] / "cpu.cfs_quota_us").write_text("50000")
        (groups[1] / "memory.limit_in_bytes").write_text(str(512 * 2**20))
    except OSError as error:
        pytest.skip(f"control groups of version 1 cannot be made here: {error}")
    entered = "; ".join(
        f"open('{group}/cgroup.procs', 'w').write(str(os.getpid()))" for group in groups
    )
    yield f"import os; {entered}"
    for group in groups:
        group.rmdir()


@pytest.mark.parametrize("device", ["cpu", pytest.param("openvino", marks=NEEDS_OPENVINO)])
def test_half_a_core_and_512_megabytes_are_enough(device: str, small_container: str) -> None:
    done = derain_elsewhere(before=small_container, device=device)
    assert done.returncode == 0, done.stderr


@NEEDS_OPENVINO
def test_openvino_reports_nothing_to_its_maker_and_writes_nothing(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "CI": ""}
    code = """
import pathlib, sys
from importlib.util import find_spec
import numpy as np
from crdnet import Derainer
Derainer(device="openvino")(np.zeros((16, 16, 3), np.uint8))
assert "openvino" in sys.modules
assert not [name for name in sys.modules if "telemetry" in name]
assert not list(pathlib.Path.home().rglob("*"))
assert find_spec("openvino.tools.ovc")  # still there for those who ask for it
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@NEEDS_OPENVINO
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_fork_derains_with_openvino_and_ends(tiny_model: Path) -> None:
    code = """
import os, sys
import numpy as np
from crdnet import Derainer
derainer = Derainer(sys.argv[1], device="openvino", threads=2)
rainy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
derained = derainer(rainy)
child = os.fork()
if child == 0:
    sys.exit(0 if np.array_equal(derainer(rainy), derained) else 5)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tiny_model], timeout=HANG_SECONDS, check=False
    )
    assert done.returncode == 0


@NEEDS_OPENVINO
def test_a_run_of_openvino_can_be_stopped_and_the_next_one_works(tiny_model: Path) -> None:
    session = Session(find_model(tiny_model), "openvino", threads=1)
    errors: list[CRDNetError] = []

    def work() -> None:
        try:
            while True:
                session(np.zeros((1024, 1024, 3), np.float32))
        except CRDNetError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        thread.join(0.05)
        session.stop()
    assert "stopped" in str(errors[0])
    session(np.zeros((8, 8, 3), np.float32))


@NEEDS_OPENVINO
def test_threads_share_openvino_and_its_answers_are_never_overwritten(tiny_model: Path) -> None:
    session = Session(find_model(tiny_model), "openvino", threads=1)
    rainy_images = [np.full((32, 16 + 4 * index, 3), index / 8, np.float32) for index in range(8)]
    alone = [session(each).derained.copy() for each in rainy_images]
    answers: dict[int, Any] = {}

    def work(index: int) -> None:
        answers[index] = session(rainy_images[index]).derained

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, derained in enumerate(alone):
        np.testing.assert_array_equal(answers[index], derained)


@NEEDS_OPENVINO
@pytest.mark.skipif(not HAS_BFLOAT16, reason="needs a processor with bfloat16")
def test_sizes_that_come_again_get_the_same_answers_and_their_memory_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from crdnet.runtime.engines import openvino  # noqa: PLC0415 - as the runtime does

    engine = openvino.OpenVinoEngine(find_model("default"), 1, 1)
    rainy_images = [colours_of(EXAMPLES[0], side) for side in (64, 96, 128)]
    first = [engine.begin()(each) for each in rainy_images]
    assert not engine._of_size
    monkeypatch.setattr(openvino, "WORTH_PIXELS", 0)
    monkeypatch.setattr(openvino, "KEPT_SIZES", 2)
    for rainy, before in zip(rainy_images, first, strict=True):
        after = engine.begin()(rainy)
        np.testing.assert_array_equal(after.derained, before.derained)
        assert after.density is not None
        assert before.density is not None
        np.testing.assert_array_equal(after.density, before.density)
    assert list(engine._of_size) == [(96, 96), (128, 128)]
    engine.shrink()
    assert not engine._of_size
    np.testing.assert_array_equal(engine.begin()(rainy_images[0]).derained, first[0].derained)


def test_looking_for_devices_imports_none_of_them() -> None:
    code = """
import sys
from crdnet.runtime import list_installed_devices
print(*list_installed_devices())
print(*[name for name in ("torch", "openvino", "onnxruntime") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=True,
    )
    devices, imported = done.stdout.split("\n")[:2]
    assert devices.split()[-1] == "cpu"
    assert set(devices.split()) <= set(DEVICES)
    assert imported == ""


def pretend(monkeypatch: pytest.MonkeyPatch, name: str, **changes: Any) -> None:
    """Replace the packages of a device, and unset the environment variable for `auto`."""
    monkeypatch.delenv(DEVICE_VARIABLE, raising=False)
    for each in ENGINES:
        if each not in (name, "cpu"):
            monkeypatch.setitem(ENGINES, each, ENGINES[each]._replace(package="no_such_package"))
    monkeypatch.setitem(ENGINES, name, ENGINES[name]._replace(**changes))


def test_a_device_that_is_not_installed_names_its_extra(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "openvino", package="no_such_package")
    assert list_installed_devices() == ("cpu",)
    with pytest.raises(DeviceError, match=r'pip install "crdnet\[openvino\]"'):
        Session(find_model(tiny_model), "openvino", 1)
    assert Session(find_model(tiny_model), "auto", 1).device == "cpu"


@pytest.mark.skipif("cuda" in list_installed_devices(), reason="there is an NVIDIA GPU")
def test_cuda_without_a_gpu_says_what_is_missing(tiny_model: Path) -> None:
    with pytest.raises(DeviceError, match=r'nvidia-smi.*pip install "crdnet\[torch\]"'):
        Derainer(tiny_model, device="cuda").session  # noqa: B018


@pytest.mark.parametrize(
    "changes", [{"module": "no_such_module"}, {"engine": "Broken", "module": __name__}]
)
def test_an_engine_that_fails_is_replaced_and_named_in_one_line(
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, str],
) -> None:
    pretend(monkeypatch, "openvino", package="json", **changes)
    with caplog.at_level(logging.WARNING):
        session = Session(find_model(tiny_model), "auto", 1)
    assert session.device == "cpu"
    (record,) = caplog.records
    assert record.getMessage().count("\n") == 0
    assert "'openvino' does not" in record.getMessage()
    assert session.engine.startswith("onnxruntime")
    with pytest.raises(CRDNetError):
        Session(find_model(tiny_model), "openvino", 1)


class Broken:
    """An engine of a package that is installed and does not run on this machine."""

    def __init__(self, *_: object) -> None:
        raise RuntimeError("illegal instruction\nand a stack of calls")


def test_the_environment_says_what_auto_is(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert Session(find_model(tiny_model), "auto", 1).device == "cpu"
    monkeypatch.setenv(DEVICE_VARIABLE, "abacus")
    with pytest.raises(DeviceError, match="abacus"):
        Session(find_model(tiny_model), "auto", 1)


@pytest.mark.parametrize("device", ["cpu", pytest.param("openvino", marks=NEEDS_OPENVINO), "auto"])
def test_a_model_of_another_opset_is_refused_like_a_damaged_one(
    tiny_model: Path, tmp_path: Path, device: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = onnx.load(tiny_model)
    model.opset_import[0].version = 7  # has no Resize
    (tmp_path / "old.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"is not a model that .* `crdnet export` of this version"):
        Session(find_model(tmp_path / "old.onnx"), device, 1)
    (tmp_path / "damaged.onnx").write_bytes(tiny_model.read_bytes()[:3000])
    with pytest.raises(ModelError, match="is not a model that"):
        Session(find_model(tmp_path / "damaged.onnx"), device, 1)
    assert not caplog.records  # no engine is to blame


def test_a_session_that_is_halted_takes_no_call_until_it_is_resumed(tiny_model: Path) -> None:
    session = Session(find_model(tiny_model), "cpu", threads=1)
    rainy = np.zeros((8, 8, 3), np.float32)
    session.halt()
    with pytest.raises(CRDNetError, match="stopped"):
        session(rainy)
    session.resume()
    session(rainy)
