"""model.toml: what one bank drafts from its own file, and all read and correct before they agree on it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fl_integration.own_data import positive_of, read_whole
from fl_integration.schema import Column, Kind, Schema, SchemaError
from fl_integration.tabular import draft_schema
from protocols.tables import read_tables
from veilsum.ceremony.toml import literal, toml_key
from veilsum.errors import Fault

_KEYS: Final = ("label", "positive", "columns")

_LEARNING_RATES: Final = {"linear": 0.01, "mlp": 0.05}

_HEAD: Final = """\
# What the model sees of a bank's table. Drafted from one bank's file; read it, correct it, agree on it.
# A range is where values are clipped: the middle 99 % of this file's, rounded outwards. It does tell roughly how large
# they are here. Categories of fewer than 10 rows are not named: they could be single customers. What is not named
# counts as "other". Take out each column that the model must not use.
"""


@dataclass(frozen=True, slots=True)
class ModelSection:
    """label: the column with the answer; positive: its value that counts as 1."""

    label: str
    positive: str
    schema: Schema

    def training(self, *, model: str, rounds: int, seed: int = 0, rows_per_unit: int = 400) -> dict[str, Any]:
        """The table `[training]`, with the learner that did well on tables of some thousand rows. model: its name."""
        return {
            "model": model,
            "rounds": rounds,
            "epochs": 5,
            "learning_rate": _LEARNING_RATES[model],
            "clip": 2.0,
            "bits": 16,
            "rows_per_unit": rows_per_unit,
            "seed": seed,
            "statistics": True,
            "label": self.label,
            "positive": self.positive,
            "schema": self.schema.to_mapping(),
        }


def draft(file: Path, label: str, positive: str | None) -> ModelSection:
    """From one bank's CSV file. Nothing of a single row is in it. Raises DataError."""
    return draft_of(read_whole(file, label), label, positive)


def draft_of(frame: pd.DataFrame, label: str, positive: str | None) -> ModelSection:
    """The same from rows that are already there."""
    return ModelSection(label, positive_of(frame, label, positive), draft_schema(frame, label))


def dump_model_section(section: ModelSection) -> str:
    """The text of model.toml."""
    lines = [
        _HEAD,
        "[model]",
        f"label = {literal(section.label)}  # the column with the answer",
        f"positive = {literal(section.positive)}  # its value that counts as 1",
        *(line for column in section.schema.columns for line in _column_lines(column)),
    ]
    return "\n".join(lines) + "\n"


def load_model_section(path: Path) -> ModelSection:
    """Raises Fault: cannot be read, a key that is missing, unknown or of another type."""
    try:
        given = read_tables(path.read_bytes())
    except OSError as exc:
        raise Fault(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise Fault(f"{path}: not TOML: {exc}") from exc
    model = given.get("model")
    if not isinstance(model, dict) or len(given) > 1:
        raise Fault(f"{path}: it holds [model] and nothing else: draft it with veilsum schema")
    _require_keys(path, model)
    try:
        return ModelSection(model["label"], model["positive"], Schema.from_mapping(model["columns"]))
    except SchemaError as exc:
        raise Fault(f"{path}: {exc}") from exc


def _require_keys(path: Path, model: Mapping[str, Any]) -> None:
    for key in model:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            raise Fault(
                f"{path}: [model] unknown key {key!r}: " + (f"did you mean {near[0]!r}?" if near else "remove it")
            )
    for key in _KEYS:
        if key not in model:
            raise Fault(f"{path}: [model] {key!r} is missing: draft the file with veilsum schema")
    for key in ("label", "positive"):
        if not isinstance(model[key], str):
            raise Fault(f"{path}: [model] {key!r} must be text in quotes")


def _column_lines(column: Column) -> Iterator[str]:
    yield f"\n[model.columns.{toml_key(column.name)}]"
    if column.kind is Kind.NUMERIC:
        yield f"range = {literal([column.low, column.high])}"
    else:
        yield f"categories = {literal(list(column.categories))}"
