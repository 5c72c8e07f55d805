"""One codec from the few numbers that a plan names."""

import math
from dataclasses import dataclass
from functools import partial

from mpc.encoding.codec import Codec
from mpc.encoding.compressed import SHORTENED, Compressed
from mpc.encoding.parts import Counter, Metric, Span, require, require_bits
from mpc.encoding.plain import Encoding
from mpc.encoding.randk import RandK
from mpc.encoding.rotation import Rotation
from mpc.encoding.sketch import CountSketch
from mpc.encoding.transform import Transform
from mpc.encoding.wrapping import WrappingEncoding, clip_for

_ROWS = 3  # of a count-sketch: the variance does not depend on it; an error is then the mean of three


def build_codec(
    *,
    spans: tuple[Span, ...],
    clients: int,
    max_weight: int = 1,
    metrics: tuple[Metric, ...] = (),
    counters: tuple[Counter, ...] = (),
    bits: int = 16,
    seed: bytes,
    rotate: bool = False,
    keep: float | None = None,
    sketch: float | None = None,
    norm: float | None = None,
    wrap: float | None = None,
    correlation: float = 0.0,
    damped: bool = False,
) -> Codec:
    """The codec of an update of these spans: an `Encoding`, or what `rotate`, `keep` and `sketch` make of it.

    seed: 32 public bytes that all parties hold, fresh for each sum. rotate: see `Rotation`. keep: the share of the
    values that is sent, see `RandK`. sketch: buckets for each value, see `CountSketch`. norm: the longest update (L2),
    wanted with rotate and sketch: the range of what they give follows from it, and that of rotated values does not
    depend on `spans`. wrap: most likely that a sum wraps, and correlation, see `WrappingEncoding`. damped: for error
    feedback, see `Compressed`. Spans of whole numbers (`whole_numbers`) go as they are, beside what is compressed.
    Raises EncodingError for a combination that makes no sense.
    """
    require_bits(bits)
    plan = _Compression(rotate, keep, sketch, norm, wrap)
    counters = counters if norm is None else (*counters, SHORTENED)
    encoding = partial(
        Encoding.fitting, clients=clients, max_weight=max_weight, metrics=metrics, counters=counters, bits=bits
    )
    if not plan.compresses:
        return encoding(spans=spans)
    floats = tuple(span for span in spans if not span.whole(bits))
    wholes = tuple(span for span in spans if span.whole(bits))
    require(len(floats) >= 1, "there are whole numbers only, which go as they are: leave rotate, keep and sketch out")
    transforms = plan.transforms(sum(span.length for span in floats), seed)
    count, scale = transforms[-1].out_length, plan.scale(transforms)
    inner = (
        encoding(spans=(Span(count, *plan.limits(floats, scale, bits)), *wholes))
        if wrap is None
        else WrappingEncoding.fitting(
            rotated=count, scale=scale, beside=encoding(spans=wholes), wrap=wrap, correlation=correlation
        )
    )
    return Compressed(spans=spans, transforms=transforms, encoding=inner, norm=norm, damped=damped)


@dataclass(frozen=True, slots=True)
class _Compression:
    """What was asked for; only what makes sense can be built."""

    rotate: bool
    keep: float | None
    sketch: float | None
    norm: float | None
    wrap: float | None

    def __post_init__(self) -> None:
        for name, share in (("keep", self.keep), ("sketch", self.sketch), ("wrap", self.wrap)):
            require(share is None or 0 < share < 1, f"{name} is between 0 and 1, not {share}: leave it out for all")
        require(self.keep is None or self.sketch is None, "keep and sketch both leave values out: take one of them")
        ranged = self.rotate or self.sketch is not None
        require(self.norm is not None or not ranged, "rotate and sketch want norm, the longest update in L2: add it")
        require(
            self.norm is None or ranged, "norm is for rotate and sketch, values are clipped to a range: leave it out"
        )
        require(self.norm is None or 0 < self.norm < math.inf, f"norm is finite and above 0, not {self.norm}")
        require(self.wrap is None or self.rotate, "only rotated values may wrap: add rotate, or leave wrap out")
        require(
            self.wrap is None or self.sketch is None,
            "nothing bounds the wrapping of a sketch's buckets: take keep for sketch, or leave wrap out",
        )

    @property
    def compresses(self) -> bool:
        return self.rotate or self.keep is not None or self.sketch is not None

    def transforms(self, length: int, seed: bytes) -> tuple[Transform, ...]:
        found: list[Transform] = [Rotation(length, seed)] if self.rotate else []
        if self.keep is not None:
            found.append(RandK(length, max(1, round(self.keep * length)), seed))
        if self.sketch is not None:
            found.append(CountSketch(length, _ROWS, max(1, round(self.sketch * length / _ROWS)), seed))
        return tuple(found)

    def scale(self, transforms: tuple[Transform, ...]) -> float:
        """Of a coordinate of what they give, as far as the norm bounds it."""
        if self.norm is None:
            return math.inf
        match transforms:
            case (*_, CountSketch(columns=columns)):
                return self.norm / math.sqrt(columns)
            case (Rotation(block=block), *_):
                return self.norm / math.sqrt(block)
        return math.inf

    def limits(self, floats: tuple[Span, ...], scale: float, bits: int) -> tuple[float, float]:
        """The range of a coordinate of what the transforms give, when it must not wrap."""
        ranges = {(span.low, span.high) for span in floats}
        if self.norm is None:
            one = "keep without rotate wants one range for all floats: take one clip, or add rotate and norm"
            require(len(ranges) == 1, one)
            return ranges.pop()
        clip = clip_for(scale, 1, bits)
        if not self.rotate:  # a heavy value must fit its bucket, beside what the others add to it
            clip = min(self.norm, clip + max(max(-low, high) for low, high in ranges))
        return -clip, clip
