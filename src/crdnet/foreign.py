"""Model files for other programs: fixed sides, half precision, other opsets, darktable packages.

Each is made from a crdnet model file and compared with it in onnxruntime before it replaces the
output. crdnet itself reads only files with dynamic sides and float32.

Sources: the ONNX version converter; the float16 converter of onnxruntime; darktable 5.6, whose
neural restore loads a zip of ID/config.json and ID/model.onnx, with one input and one output
(1, 3, h, w) of colours in [0, 1], dynamic sides, and an opset from 11 to 17.
"""

import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime

from crdnet._version import __version__
from crdnet.density import RainDensity
from crdnet.errors import MissingExtraError, ModelError
from crdnet.files import write_whole
from crdnet.rain import make_rainy_pair
from crdnet.runtime import (
    DENSITY_NAME,
    INPUT_NAME,
    OUTPUT_NAME,
    Colours,
    ModelInfo,
)
from crdnet.sizes import pad_to_multiple, round_up_size

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper, version_converter
except ModuleNotFoundError as error:
    raise MissingExtraError("exporting", "train") from error

__all__ = ["Adaptation", "AdaptedReport", "adapt_model", "package_for_darktable"]

OPSETS = (14, 23)
"""Lowest and highest opset that a model can be written in."""
DARKTABLE_OPSET = 17
TOLERANCE = 1e-4
"""Largest allowed difference of colours in [0, 1] at the same precision."""
HALF_TOLERANCE = 2e-2
"""Largest allowed difference of colours at half precision: five grey levels of 255, in single
pixels. A sum of 16 bits has an error of about 1e-3."""
_SIZES = ((32, 32), (96, 160))
_ODD_SIZES = ((33, 47), (130, 75))


@dataclass(frozen=True)
class Adaptation:
    """Changes to a model file for another program."""

    fixed: int | None = None
    """Both sides of the input, in pixels; None leaves them dynamic."""
    half: bool = False
    """If True, weights and sums have 16 bits; input and outputs stay float32."""
    opset: int | None = None
    """Version of ONNX's operations; None keeps it."""


@dataclass(frozen=True)
class AdaptedReport:
    """Size of a written file and its difference from the model that it was made from."""

    path: Path
    bytes: int
    largest_difference: float
    """Largest difference of a colour in [0, 1]."""


def adapt_model(source: Path, path: Path, adaptation: Adaptation) -> AdaptedReport:
    """Write a model file with other sides, precision or opset, if it computes the same.

    Args:
        source: A crdnet model file.
        path: The file to write.
        adaptation: The changes.

    Raises:
        ModelError: A change is not possible, or the file computes something else; `path` is left
            unchanged.
    """
    model = onnx.load(source)
    info = _read_info(model, source)
    if adaptation.opset is not None:
        model = _convert_opset(model, adaptation.opset)
    if adaptation.fixed is not None:
        _fix_sides(model, adaptation.fixed, info.size_multiple)
    if adaptation.half:
        model = _halve_precision(model)
    if adaptation.fixed is not None or adaptation.half:
        # crdnet's own runtime needs dynamic sides, and its parity is stated for float32.
        _remove_metadata(model, "format")
    sizes = _SIZES if adaptation.fixed is None else ((adaptation.fixed, adaptation.fixed),)
    multiples = [round_up_size(*size, info.size_multiple) for size in sizes]
    content = model.SerializeToString()
    tolerance = HALF_TOLERANCE if adaptation.half else TOLERANCE
    difference = _compare(source, content, (INPUT_NAME, OUTPUT_NAME), multiples, 1, tolerance)
    write_whole(path, content)
    return AdaptedReport(path, len(content), difference)


def package_for_darktable(source: Path, path: Path) -> AdaptedReport:
    """Write a .dtmodel package for darktable's neural restore, if its model computes the same.

    Args:
        source: A crdnet model file.
        path: The package to write.

    Raises:
        ModelError: The model in the package computes something else; `path` is left unchanged.
    """
    model = onnx.load(source)
    info = _read_info(model, source)
    model = _convert_opset(model, DARKTABLE_OPSET)
    _keep_one_output(model)
    _pad_inside(model, info.size_multiple)
    content = model.SerializeToString()
    sizes = (*_SIZES, *_ODD_SIZES)
    difference = _compare(
        source, content, ("input", "output"), sizes, info.size_multiple, TOLERANCE
    )
    config = json.dumps(_describe(info), indent=2, ensure_ascii=False) + "\n"
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        folder = _make_identifier(info)
        package.writestr(_entry(f"{folder}/config.json"), config)
        # Fields that darktable's collection of models requires; JSON is valid YAML.
        package.writestr(_entry(f"{folder}/model.yaml"), config)
        package.writestr(_entry(f"{folder}/model.onnx"), content)
    write_whole(path, buffer.getvalue())
    return AdaptedReport(path, len(buffer.getvalue()), difference)


def _entry(name: str) -> zipfile.ZipInfo:
    # A fixed date, so that the same model gives the same package.
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _make_identifier(info: ModelInfo) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", info.name.lower()).strip("-")
    return f"derain-crdnet-{words or 'model'}"


def _describe(info: ModelInfo) -> dict[str, object]:
    """Return the description that darktable reads."""
    return {
        "id": _make_identifier(info),
        "name": f"derain crdnet {info.name}",
        "description": "Removes rain streaks",
        "task": "denoise",
        "version": __version__,
        "arch": "crdnet",
        "backend": "onnx",
        "tiling": True,
        "model_card": {
            "long_description": (
                "CRDNet removes rain streaks from photographs: streaks at several dilations, a "
                "background network and rain density sensed together"
            ),
            "scope": "single-image rain removal",
            "author": "The crdnet authors",
            "source": "https://pypi.org/project/crdnet/",
            "paper": "Peng et al., IEEE Signal Processing Letters 27, 2020",
            "license": "Apache-2.0",
            "training_data": info.training_data,
            "training_data_license": "as stated with the training data",
            "notes": f"tiles should overlap by {info.margin} pixels",
        },
    }


def _read_info(model: onnx.ModelProto, source: Path) -> ModelInfo:
    metadata = {each.key: each.value for each in model.metadata_props}
    return ModelInfo.from_metadata(metadata, str(source))


def _convert_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    lowest, highest = OPSETS
    if not lowest <= opset <= highest:
        raise ModelError(f"a model is written in an opset from {lowest} to {highest}, got {opset}")
    metadata = {each.key: each.value for each in model.metadata_props}
    try:
        converted = version_converter.convert_version(model, opset)
    except RuntimeError as error:  # the converter has no adapter for an operation
        raise ModelError(f"the graph cannot be written in opset {opset}: {error}") from error
    del converted.metadata_props[:]  # the converter loses them in some versions of ONNX
    helper.set_model_props(converted, metadata)
    return converted


def _fix_sides(model: onnx.ModelProto, side: int, multiple: int) -> None:
    if side < 1 or side % multiple:
        raise ModelError(
            f"the sides of this model's input are multiples of {multiple}, got {side}; "
            f"use {max(1, round(side / multiple)) * multiple}"
        )
    shapes = {INPUT_NAME: side, OUTPUT_NAME: side, DENSITY_NAME: side // multiple}
    for value in (*model.graph.input, *model.graph.output):
        batch, _, height, width = value.type.tensor_type.shape.dim
        for dimension, size in (
            (batch, 1),
            (height, shapes[value.name]),
            (width, shapes[value.name]),
        ):
            dimension.Clear()
            dimension.dim_value = size
    # Shapes inside were inferred for dynamic sides.
    del model.graph.value_info[:]
    model.CopyFrom(onnx.shape_inference.infer_shapes(model))


def _halve_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import (  # noqa: PLC0415 - slow to import
        convert_float_to_float16,
    )
    from onnxruntime.transformers.onnx_model import OnnxModel  # noqa: PLC0415 - likewise

    halved: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
    # The converter repeats the cast of a constant for each node that reads it.
    nodes = {tuple(node.output): node for node in reversed(halved.graph.node)}
    kept = [node for node in halved.graph.node if nodes[tuple(node.output)] is node]
    del halved.graph.node[:]
    halved.graph.node.extend(kept)
    del halved.graph.value_info[:]  # types before the conversion
    OnnxModel(halved).topological_sort()
    return halved


def _remove_metadata(model: onnx.ModelProto, key: str) -> None:
    kept = {each.key: each.value for each in model.metadata_props if each.key != key}
    del model.metadata_props[:]
    helper.set_model_props(model, kept)


def _keep_one_output(model: onnx.ModelProto) -> None:
    """Drop the density map and the nodes that only it needs."""
    graph = model.graph
    wanted, kept = {OUTPUT_NAME}, []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    outputs = [output for output in graph.output if output.name == OUTPUT_NAME]
    constants = [each for each in graph.initializer if each.name in wanted]
    for field, values in (
        (graph.node, kept[::-1]),
        (graph.output, outputs),
        (graph.initializer, constants),
    ):
        copies = [type(each).FromString(each.SerializeToString()) for each in values]
        del field[:]
        field.extend(copies)
    del graph.value_info[:]


def _pad_inside(model: onnx.ModelProto, multiple: int) -> None:
    """Make the graph accept any sides: pad `input` by reflection, and crop `output`."""
    graph = model.graph
    constants = {
        "pad_multiple": np.array([multiple], np.int64),
        "pad_first": np.array([2], np.int64),
        "pad_last": np.array([4], np.int64),
        "pad_before": np.zeros(6, np.int64),
        "crop_start": np.zeros(2, np.int64),
        "crop_axes": np.array([2, 3], np.int64),
    }
    graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    before = [
        helper.make_node("Shape", ["input"], ["pad_shape"]),
        helper.make_node("Slice", ["pad_shape", "pad_first", "pad_last"], ["pad_sides"]),
        helper.make_node("Neg", ["pad_sides"], ["pad_negated"]),
        # An integer remainder has the sign of the divisor.
        helper.make_node("Mod", ["pad_negated", "pad_multiple"], ["pad_missing"]),
        helper.make_node("Concat", ["pad_before", "pad_missing"], ["pad_amounts"], axis=0),
        helper.make_node("Pad", ["input", "pad_amounts"], [INPUT_NAME], mode="reflect"),
    ]
    after = helper.make_node(
        "Slice", [OUTPUT_NAME, "crop_start", "pad_sides", "crop_axes"], ["output"]
    )
    nodes = [*before, *graph.node, after]
    copies = [type(each).FromString(each.SerializeToString()) for each in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    sides: list[str | int | None] = [1, 3, "height", "width"]
    for field, name in ((graph.input, "input"), (graph.output, "output")):
        del field[:]
        field.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sides))


def _compare(
    source: Path,
    content: bytes,
    names: tuple[str, str],
    sizes: Sequence[tuple[int, int]],
    multiple: int,
    tolerance: float,
) -> float:
    """Return the largest difference of colours between two models on seeded noise and on rain.

    Noise alone would not do: a network may leave it nearly as it is.

    Args:
        source: The reference model file.
        content: The other model, as bytes.
        names: Names of the input and the output of the other model.
        sizes: Heights and widths of the inputs of the other model.
        multiple: Number to whose multiples the input of the reference is padded.
        tolerance: Largest allowed difference.

    Raises:
        ModelError: The models differ by more.
    """
    providers = ["CPUExecutionProvider"]
    try:
        onnx.checker.check_model(content, full_check=True)
        other = onnxruntime.InferenceSession(content, providers=providers)
    except Exception as error:  # onnxruntime's errors have no common base class
        raise ModelError(f"the file cannot be run: {error}; it was not written") from error
    truth = onnxruntime.InferenceSession(source.read_bytes(), providers=providers)
    rng = np.random.default_rng(0)
    largest = 0.0
    for height, width in sizes:
        noise: Colours = rng.random((height, width, 3), dtype=np.float32)
        for rainy in (noise, _draw_rain(height, width, rng)):
            padded = pad_to_multiple(rainy, multiple)
            (expected,) = truth.run([OUTPUT_NAME], {INPUT_NAME: _as_batch(padded)})
            (found,) = other.run([names[1]], {names[0]: _as_batch(rainy)})
            difference = np.abs(found - expected[..., :height, :width]).max()
            # Unlike max(), np.maximum propagates a NaN.
            largest = float(np.maximum(largest, difference))
    if not largest <= tolerance:
        raise ModelError(
            f"the file differs from the model by {largest:.2g}, more than {tolerance:g}; "
            "it was not written"
        )
    return largest


def _draw_rain(height: int, width: int, rng: np.random.Generator) -> Colours:
    """Return heavy rain in front of a plain wall."""
    wall = np.full((height, width, 3), 90, np.uint8)
    rainy = make_rainy_pair(wall, RainDensity.HEAVY, rng).rainy
    return (rainy / np.float32(255)).astype(np.float32)


def _as_batch(colours: Colours) -> Colours:
    return np.ascontiguousarray(colours.transpose(2, 0, 1)[None])
