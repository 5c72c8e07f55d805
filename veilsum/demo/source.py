"""What the demo trains on: invented card transactions, or a file of the person's own, cut into parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pandas as pd

from fl_integration import synthetic
from fl_integration.own_data import held_out_and_parts, read_whole
from fl_integration.schema import Schema
from fl_integration.tabular import DataError
from veilsum.ceremony.model_section import draft_of
from veilsum.demo.options import Options, OwnData

_FEWEST_ROWS: Final = 100  # of each part, in the mean: of fewer nobody would call the scores a result
_UNITS: Final = 16  # the weight of a part that is as large as an equal one is half of this


@dataclass(frozen=True, slots=True)
class Source:
    """A table for each bank, one that no bank holds, and the table `[training]` of the consortium's file."""

    tables: list[pd.DataFrame] = field(repr=False)
    held_out: pd.DataFrame = field(repr=False)
    training: Mapping[str, Any]

    @property
    def schema(self) -> Schema:
        return Schema.from_mapping(self.training["schema"])

    @property
    def label(self) -> str:
        return str(self.training["label"])

    @property
    def positive(self) -> str:
        return str(self.training["positive"])


def source_of(options: Options) -> Source:
    """Raises DataError where a file of one's own cannot be used."""
    return _invented(options) if options.own is None else _cut(options, options.own)


def _invented(options: Options) -> Source:
    training = synthetic.training(options.model.value, rounds=options.rounds, seed=options.seed)
    tables = synthetic.transactions(options.banks, options.seed)
    return Source(tables, synthetic.held_out(options.seed), {"positive": "1", **training})


def _cut(options: Options, own: OwnData) -> Source:
    frame = read_whole(own.file, own.label)
    if len(frame) < options.banks * _FEWEST_ROWS:
        raise DataError(f"{own.file}: {len(frame)} rows are too few for {options.banks} banks: use fewer --banks")
    held_out, parts = held_out_and_parts(frame, options.banks, options.seed)
    training = draft_of(frame, own.label, own.positive).training(
        model=options.model.value,
        rounds=options.rounds,
        seed=options.seed,
        rows_per_unit=max(1, 2 * len(frame) // (options.banks * _UNITS)),
    )
    return Source(parts, held_out, training)
