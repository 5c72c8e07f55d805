"""One bank's CSV file before there is a schema: read as it is, its label understood, cut into parts for a trial."""

from pathlib import Path

import numpy as np
import pandas as pd

from fl_integration.tabular import DataError, read_texts

_OBVIOUS = ("1", "true", "yes")  # what means "it happened" to most people
_HELD_OUT = 5  # one row in so many
_LEAST_SHARE = 0.5  # of an equal part: the smallest that a part gets before the rest is shared out


def read_whole(path: Path, label: str) -> pd.DataFrame:
    """All columns of a CSV file (plain or gzip): numbers where every value is one, text elsewhere and in the label.

    Raises DataError: not a CSV file, no such column, no rows.
    """
    frame = read_texts(path)
    if label not in frame.columns:
        raise DataError(f"{path}: there is no column {label!r}: its columns are {', '.join(frame.columns)}")
    if frame.empty:
        raise DataError(f"{path}: it has column names and no rows")
    return frame.assign(**{name: _numbers_or_text(frame[name]) for name in frame.columns if name != label})


def positive_of(frame: pd.DataFrame, label: str, wanted: str | None) -> str:
    """The value of the label that counts as 1: the one that was asked for, else 1, true or yes, else the rarer one.

    Raises DataError unless the label has exactly two values, and `wanted` is one of them.
    """
    counts = frame[label].dropna().str.strip().value_counts()
    values = sorted(str(value) for value in counts.index)
    if len(values) != 2:
        raise DataError(f"the label column {label!r} has {len(values)} values ({_some(values)}): a label has two")
    if wanted is not None:
        if wanted not in values:
            raise DataError(
                f"the label column {label!r} has no value {wanted!r}: it has {values[0]!r} and {values[1]!r}"
            )
        return wanted
    obvious = [value for word in _OBVIOUS for value in values if value.lower().removesuffix(".0") == word]
    return obvious[0] if obvious else min(values, key=lambda value: int(counts[value]))


def held_out_and_parts(frame: pd.DataFrame, parts: int, seed: int) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """A fifth of the rows, and the others in so many unequal parts: drawn by `seed`, no row twice.

    The parts' sizes are random, each at least half of an equal part.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(frame))
    cut = len(frame) // _HELD_OUT
    shares = _LEAST_SHARE / parts + (1 - _LEAST_SHARE) * rng.dirichlet(np.ones(parts))
    ends = np.rint(np.cumsum(shares)[:-1] * (len(frame) - cut)).astype(int)
    return frame.iloc[order[:cut]], [frame.iloc[rows] for rows in np.split(order[cut:], ends)]


def _numbers_or_text(texts: "pd.Series[str]") -> "pd.Series[str] | pd.Series[float]":
    numbers = pd.to_numeric(texts, errors="coerce")
    return texts if (numbers.isna() & texts.notna()).any() else numbers


def _some(values: list[str]) -> str:
    return ", ".join(values[:3]) + (", ..." if len(values) > 3 else "")
