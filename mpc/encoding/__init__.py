"""A real vector, a weight, metrics and counters <-> one vector over the field, so that sums decode to weighted means.

Nothing of a party travels beside the vector. `Encoding` gives every value so many bits; `Compressed` puts linear
transforms before it; `build_codec` makes either from the numbers of a plan.
"""

from mpc.encoding.building import build_codec
from mpc.encoding.codec import Codec
from mpc.encoding.compressed import SHORTENED, Compressed
from mpc.encoding.parts import (
    MAX_BITS,
    Counter,
    Decoded,
    EncodingError,
    Metric,
    NotEnoughHeadroom,
    Span,
    uniform,
    whole_numbers,
)
from mpc.encoding.plain import Encoding
from mpc.encoding.randk import RandK
from mpc.encoding.rotation import Rotation
from mpc.encoding.sketch import CountSketch
from mpc.encoding.transform import Transform
from mpc.encoding.wrapping import WrappingEncoding, clip_for

__all__ = [
    "MAX_BITS",
    "SHORTENED",
    "Codec",
    "Compressed",
    "CountSketch",
    "Counter",
    "Decoded",
    "Encoding",
    "EncodingError",
    "Metric",
    "NotEnoughHeadroom",
    "RandK",
    "Rotation",
    "Span",
    "Transform",
    "WrappingEncoding",
    "build_codec",
    "clip_for",
    "uniform",
    "whole_numbers",
]
