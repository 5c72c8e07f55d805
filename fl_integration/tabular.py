"""A bank's CSV file -> a `Table`, and a first draft of a `Schema` from one. Everything that needs pandas to read."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_integration.schema import Column, Floats, Kind, Schema, Table

_MOST_CATEGORIES = 30
_FEWEST_ROWS = 10  # a category of fewer rows than this says something of single customers
_DRAFT_QUANTILES = (0.005, 0.995)


class DataError(ValueError):
    """A table that cannot be used. One line: the file, the column, the remedy."""


def load_table(path: Path, schema: Schema, *, label: str, positive: str) -> Table:
    """The rows of a CSV file (plain or gzip) with a header. Columns that the schema does not name are not read.

    label: the column with the answer. positive: its value, as text, that counts as 1; the other one is 0.
    Raises DataError.
    """
    wanted = [column.name for column in schema.columns]
    frame = read_texts(path, [*wanted, label])
    return _table(frame, schema, label, positive, str(path))


def table_of(frame: pd.DataFrame, schema: Schema, *, label: str, positive: str) -> Table:
    """The same from a data frame that is already there. Raises DataError."""
    return _table(frame.astype(str), schema, label, positive, "the data frame")


def load_features(path: Path, schema: Schema) -> Floats:
    """The same file without its answers, for scoring: float32[n, schema.width] as in `Table`. Raises DataError."""
    frame = read_texts(path, [column.name for column in schema.columns])
    return _features(frame, schema, str(path))[0]


def draft_schema(frame: pd.DataFrame, label: str) -> Schema:
    """A schema to be corrected by hand: ranges around the middle 99 % of each column, rounded outwards.

    It tells what this one bank's rows look like, so nothing of it goes to others before a person has read it. Row
    numbers, free text and categories of fewer than 10 rows are left out. Raises DataError when nothing is left.
    """
    drafts = [_draft(name, frame[name]) for name in frame.columns if name != label]
    columns = tuple(column for column in drafts if column is not None)
    if not columns:
        raise DataError("the table has no column to learn from: give it numbers or categories")
    return Schema(columns)


# --- reading ---


def read_texts(path: Path, wanted: Sequence[str] | None = None) -> pd.DataFrame:
    """Those of the wanted columns (None: all) that the file has, as text: a word among numbers is then found and not
    guessed at. Raises DataError."""
    try:
        frame = pd.read_csv(path, dtype=str, usecols=lambda name: wanted is None or name in wanted)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file: correct its path") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: the file is empty: it needs a line of column names and rows below it") from None
    except (OSError, EOFError, UnicodeDecodeError, pd.errors.ParserError) as exc:
        reason = str(exc).splitlines()[0] if str(exc) else "cut short"
        raise DataError(f"{path}: not a CSV file: {reason}") from exc
    return frame


def _table(frame: pd.DataFrame, schema: Schema, label: str, positive: str, source: str) -> Table:
    if label not in frame.columns:
        raise DataError(f"{source}: the label column {label!r} is missing: add it, or correct its name")
    features, missing, unknown = _features(frame, schema, source)
    return Table(features, _labels(frame[label], label, positive, source), missing, unknown)


def _features(frame: pd.DataFrame, schema: Schema, source: str) -> tuple[Floats, int, int]:
    """The features, how many numbers were missing and how many categories unknown."""
    for column in schema.columns:
        if column.name not in frame.columns:
            raise DataError(f"{source}: the column {column.name!r} is missing: add it, or correct the schema")
    if frame.empty:
        raise DataError(f"{source}: it has column names and no rows")
    numeric = [_numbers(frame[column.name], column, source) for column in schema.numeric]
    parts = [np.clip(values, column.low, column.high) for values, column in zip(numeric, schema.numeric, strict=True)]
    codes = [_codes(frame[column.name], column) for column in schema.categorical]
    hot = [_one_hot(code, len(column.categories)) for code, column in zip(codes, schema.categorical, strict=True)]
    features = np.column_stack([*parts, *hot]).astype(np.float32)
    others = [(code == len(column.categories)).sum() for code, column in zip(codes, schema.categorical, strict=True)]
    missing = sum(int(np.isnan(values).sum()) for values in numeric)
    return features, missing, int(sum(others))


def _numbers(texts: "pd.Series[str]", column: Column, source: str) -> npt.NDArray[np.float64]:
    values = pd.to_numeric(texts, errors="coerce")
    wrong = values.isna() & ~_absent(texts)
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        raise DataError(
            f"{source}: column {column.name!r} has text where numbers should be (row {row + 1}): "
            "correct it, or make the column categorical in the schema"
        )
    return values.to_numpy(dtype=np.float64)


def _absent(texts: "pd.Series[str]") -> "pd.Series[bool]":
    return texts.isna() | texts.str.strip().str.lower().isin(["", "nan", "none", "<na>"])


def _codes(texts: "pd.Series[str]", column: Column) -> npt.NDArray[np.intp]:
    """The index of each row's category; one past the last for those that the schema does not name."""
    codes = pd.Index(column.categories).get_indexer(pd.Index(texts.str.strip()))
    return np.where(codes < 0, len(column.categories), codes)


def _one_hot(codes: npt.NDArray[np.intp], categories: int) -> npt.NDArray[np.float32]:
    return np.eye(categories + 1, dtype=np.float32)[codes]


def _labels(texts: "pd.Series[str]", label: str, positive: str, source: str) -> npt.NDArray[np.uint8]:
    if _absent(texts).any():
        row = int(np.argmax(_absent(texts).to_numpy()))
        raise DataError(f"{source}: the label column {label!r} has no value in row {row + 1}: fill it or drop the row")
    answers = texts.map(_answer)
    if answers.nunique() > 2:
        raise DataError(
            f"{source}: the label column {label!r} has {answers.nunique()} values: keep the rows of the two that count"
        )
    labels = (answers == _answer(positive)).to_numpy().astype(np.uint8)
    if labels.min() == labels.max():
        found = "every" if labels[0] else "no"
        raise DataError(
            f"{source}: {found} row has {positive!r} in the label column {label!r}: both classes are needed"
        )
    return labels


def _answer(text: str) -> str:
    """1, 1.0 and "1 " are one answer."""
    try:
        return str(float(text))
    except ValueError:
        return text.strip()


# --- drafting ---


def _draft(name: str, values: "pd.Series[Any]") -> Column | None:
    if pd.api.types.is_numeric_dtype(values):
        return _draft_numeric(name, values.dropna().astype(float))
    counts = values.dropna().astype(str).str.strip().value_counts()
    common = sorted(str(category) for category in counts.index[counts >= _FEWEST_ROWS])
    if not 1 <= len(common) <= _MOST_CATEGORIES:
        return None
    return Column(name, Kind.CATEGORICAL, categories=tuple(common))


def _draft_numeric(name: str, values: "pd.Series[float]") -> Column | None:
    row_numbers = values.is_unique and values.is_monotonic_increasing and bool((values % 1 == 0).all())
    if values.nunique() < 2 or row_numbers:
        return None
    low, high = (float(values.quantile(share)) for share in _DRAFT_QUANTILES)
    if low == high:
        low, high = float(values.min()), float(values.max())
    return Column(name, Kind.NUMERIC, low=_outwards(low, math.floor), high=_outwards(high, math.ceil))


def _outwards(value: float, rounding: Any) -> float:
    """Two significant digits."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(round(rounding(value / step) * step, 12))
