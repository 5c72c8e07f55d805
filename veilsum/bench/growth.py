"""What a client costs as the cohort grows: secagg+ beside the complete graph of secagg. Processor time and bytes."""

import time
from statistics import median
from typing import Any, Final

import numpy as np

from protocols.session import Variant
from veilsum.bench.clients import primitives, sparse
from veilsum.bench.lone import Hearing
from veilsum.bench.measuring import Scale, by_turns, rounded
from veilsum.bench.sessions import Setting

ELEMENTS: Final = 10_000
Row = dict[str, Any]


def sizes(scale: Scale) -> tuple[int, ...]:
    return (100, 300, 1_000) if scale.quick else (100, 300, 1_000, 3_000, 10_000)


def complete_sizes(scale: Scale) -> tuple[int, ...]:
    return sizes(scale)[: 2 if scale.quick else 3]


def measure(scale: Scale) -> dict[str, Any]:
    """Active, 10,000 elements; one in twenty colludes and one in twenty is lost. All sizes by turns."""
    thin = [sparse(n, ELEMENTS) for n in sizes(scale)]
    full = [_complete(n) for n in complete_sizes(scale)]
    both = thin + full
    works = [work for one in both for work in (one.work, primitives(one))]
    taken = [median(one) for one in by_turns(works, scale.times, time.process_time)]
    rows = [_row(one, *pair) for one, pair in zip(both, zip(taken[::2], taken[1::2], strict=True), strict=True)]
    found = _over_first(rows[: len(thin)])
    return {"secagg+": found, "secagg": _over_first(rows[len(thin) :]), "growth": growth(found)}


def _complete(parties: int) -> Hearing:
    few = parties // 20
    return Hearing.of(Setting.of(parties, ELEMENTS, Variant.ACTIVE, colluding=few, losses=few))


def _row(hearing: Hearing, seconds: float, floor: float) -> Row:
    return {
        "n": len(hearing.setting.members),
        "m": hearing.setting.params.spec.length,
        "degree": hearing.degree,
        "threshold": hearing.threshold,
        "peers": hearing.peers,
        "seconds": rounded(seconds),
        "floor_seconds": rounded(floor),
        "bytes_up": hearing.bytes_up,
        "bytes_down": hearing.bytes_down,
    }


def _over_first(rows: list[Row]) -> list[Row]:
    return [row | {"ratio_to_first": rounded(row["seconds"] / rows[0]["seconds"])} for row in rows]


def growth(rows: list[Row]) -> dict[str, Any]:
    """From the first size to the last, beside the logarithm; and how well a line in log2 n, and one in n, fits all.

    `r2` is 1 where the points lie on the line and 0 where it explains nothing.
    """
    sizes_, seconds = [row["n"] for row in rows], [row["seconds"] for row in rows]
    sent = [row["bytes_up"] + row["bytes_down"] for row in rows]
    return {
        "n": [sizes_[0], sizes_[-1]],
        "log_ratio": rounded(np.log(sizes_[-1]) / np.log(sizes_[0])),
        "seconds_ratio": rounded(seconds[-1] / seconds[0]),
        "bytes_ratio": rounded(sent[-1] / sent[0]),
        "r2_seconds": _fits(sizes_, seconds),
        "r2_bytes": _fits(sizes_, sent),
    }


def _fits(sizes_: list[int], values: list[float]) -> dict[str, float]:
    return {"log2_n": rounded(r2(np.log2(sizes_), values)), "linear_n": rounded(r2(sizes_, values))}


def r2(places: Any, values: Any) -> float:
    """Of the straight line of least squares: the squared correlation."""
    return float(np.corrcoef(places, values)[0, 1] ** 2)
