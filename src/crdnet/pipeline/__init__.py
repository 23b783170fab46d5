"""The pipeline of one image: decode, sense, gate, derain, encode.

`route` holds it; a `Derainer` applies it to arrays, PIL images, bytes and files. `crdnet.batch` and
`crdnet.server` apply it to many images.
"""

from crdnet.pipeline.derainer import Derainer, DerainResult, derain, derain_file, sense
from crdnet.pipeline.options import DerainOptions
from crdnet.pipeline.outcome import STREAM, Outcome, Status
from crdnet.pipeline.outputs import (
    SUFFIX,
    check_output,
    choose_fallback,
    choose_format,
    choose_suffix,
    describe_unwritten,
    encode_rain,
    name_output,
)
from crdnet.pipeline.route import derain_source, sense_source

__all__ = [
    "STREAM",
    "SUFFIX",
    "DerainOptions",
    "DerainResult",
    "Derainer",
    "Outcome",
    "Status",
    "check_output",
    "choose_fallback",
    "choose_format",
    "choose_suffix",
    "derain",
    "derain_file",
    "derain_source",
    "describe_unwritten",
    "encode_rain",
    "name_output",
    "sense",
    "sense_source",
]
