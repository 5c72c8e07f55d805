"""What all parties agree on about the numbers, before any of them has one: range, precision, weights, metrics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Final, Self

from fl_integration.layout import Layout
from mpc.encoding import Codec, EncodingError, Metric, build_codec, uniform

Ranges = Mapping[str, tuple[float, float]]


class PlanError(ValueError):
    """A plan that cannot be followed. One line: the key, the remedy."""


def sample_weight(rows: int, rows_per_unit: int, w_max: int = 16) -> int:
    """A party's weight: its rows in units, rounded to a power of two in 1..w_max.

    Powers of two because the total weight shows a lost party's weight by its difference: this shows only a bucket.
    """
    largest = w_max.bit_length() - 1
    return 1 << min(round(math.log2(max(rows / rows_per_unit, 1.0))), largest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How updates become vectors, the same at every party.

    clip: each value of an update is clipped to -clip..clip. bits: 1..32 for a value. max_weight, rows_per_unit: see
    `sample_weight`. metrics, evaluation: name -> (lowest, highest) of what travels with an update, and of what an
    evaluation reports. rotate, keep, sketch, norm, wrap, correlation: compression, see docs/compression.md.
    """

    clip: float = 1.0
    bits: int = 16
    max_weight: int = 16
    rows_per_unit: int = 400
    metrics: Ranges = field(default_factory=dict)
    evaluation: Ranges = field(default_factory=dict)
    rotate: bool = False
    keep: float | None = None
    sketch: float | None = None
    norm: float | None = None
    wrap: float | None = None
    correlation: float = 0.0

    def __post_init__(self) -> None:
        if self.rows_per_unit < 1:
            raise PlanError(f"rows_per_unit is 1 or more, not {self.rows_per_unit}")

    @classmethod
    def from_mapping(cls, table: Mapping[str, Any], *, max_weight: int) -> Self:
        """From the consortium's table. Raises PlanError for a key that is unknown, or a value of another kind."""
        known = [each.name for each in fields(cls) if each.name != "max_weight"]
        for key in table:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                raise PlanError(f"unknown key {key!r}: " + (f"did you mean {near[0]!r}?" if near else "take it out"))
        return cls(max_weight=max_weight, **{key: _parsed(key, value) for key, value in table.items()})

    def weight(self, rows: int) -> int:
        """The weight that goes with an update from so many rows."""
        return sample_weight(rows, self.rows_per_unit, self.max_weight)

    def codec(self, layout: Layout, clients: int, seed: bytes) -> Codec:
        """How an update of this layout is encoded. seed: 32 public bytes that all parties hold, fresh for each sum.

        Raises EncodingError for numbers that no field holds."""
        return build_codec(
            spans=layout.spans(self.clip, self.bits),
            clients=clients,
            max_weight=self.max_weight,
            metrics=_metrics(self.metrics),
            bits=self.bits,
            seed=seed,
            rotate=self.rotate,
            keep=self.keep,
            sketch=self.sketch,
            norm=self.norm,
            wrap=self.wrap,
            correlation=self.correlation,
        )

    def evaluation_codec(self, clients: int, seed: bytes) -> Codec:
        """How an evaluation's metrics are encoded, beside a single zero."""
        return build_codec(
            spans=uniform(1, 1.0),
            clients=clients,
            max_weight=self.max_weight,
            metrics=_metrics(self.evaluation),
            bits=self.bits,
            seed=seed,
        )


def _metrics(ranges: Ranges) -> tuple[Metric, ...]:
    return tuple(Metric(name, low, high) for name, (low, high) in ranges.items())


_KINDS: Final[Mapping[str, type]] = {
    "clip": float, "bits": int, "rows_per_unit": int, "rotate": bool,
    "keep": float, "sketch": float, "norm": float, "wrap": float, "correlation": float,
}  # fmt: skip


def _parsed(key: str, value: Any) -> Any:
    if key in ("metrics", "evaluation"):
        return _ranges(key, value)
    wanted = _KINDS[key]
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise PlanError(f"{key!r} is of type {wanted.__name__}, not {value!r}")
    return value


def _ranges(key: str, table: Any) -> dict[str, tuple[float, float]]:
    try:
        ranges = {name: (float(low), float(high)) for name, (low, high) in table.items()}
        _metrics(ranges)
    except EncodingError as exc:
        raise PlanError(f"{key}: {exc}") from exc
    except (AttributeError, TypeError, ValueError) as exc:
        raise PlanError(f"{key!r} is a table of name = [lowest, highest]") from exc
    return ranges
