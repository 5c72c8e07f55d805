"""How the advisor's advice is shown: a table for people, one JSON line (docs/json.md)."""

import json
from collections.abc import Callable
from dataclasses import asdict

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from protocols.advisor import Advice, Row

_COLUMNS: dict[str, Callable[[Row], str]] = {
    "degree": lambda row: f"{row.degree:,}",
    "threshold": lambda row: f"{row.threshold:,}",
    "bits": lambda row: str(row.bits),
    "up": lambda row: _size(row.bytes_up),
    "down": lambda row: _size(row.bytes_down),
    "server": lambda row: _size(row.server_bytes),
    "rounds": lambda row: str(row.rounds),
    "keystream, party": lambda row: _time(row.client_keystream_seconds),
    "keystream, server": lambda row: _time(row.server_keystream_seconds),
    "session": lambda row: _time(row.seconds),
    "insecure": lambda row: _power(row.p_insecure, row.log2_p_insecure),
    "no sum": lambda row: _power(row.p_fail, row.log2_p_fail),
}


def to_json(advice: Advice, keystream_gbps: float) -> str:
    """One line."""
    setting = advice.setting
    return json.dumps(
        {
            "recommended": advice.recommended,
            "reason": advice.reason,
            "parties": setting.parties,
            "corrupt": setting.colluding,
            "dropped": setting.lost,
            "adversary": setting.adversary.value,
            "dimension": setting.spec.length,
            "keystream_gbps": keystream_gbps,
            "protocols": {name: _fields(row) for name, row in advice.rows.items()},
        },
        allow_nan=False,
    )


def _fields(row: Row) -> dict[str, object]:
    return {name: value for name, value in asdict(row).items() if name != "name"}


def show_advice(console: Console, advice: Advice, keystream_gbps: float) -> None:
    setting = advice.setting
    console.print(
        f"{setting.parties:,} parties, {setting.adversary.value} coordinator: the fractions round down to "
        f"{setting.colluding:,} corrupt and {setting.lost:,} dropped"
    )
    console.print(f"keystream on this machine: {keystream_gbps:.1f} GB/s")
    feasible = [row for row in advice.rows.values() if row.feasible]
    if feasible:
        console.print(_table(feasible))
    for row in feasible:
        console.print(f"{row.name}: {row.protects}", soft_wrap=True)
    for row in advice.rows.values():
        if not row.feasible:
            console.print(f"{row.name}: cannot, {row.why_not}{_remedy(row)}", soft_wrap=True)
    console.print(f"recommended: {advice.recommended or 'none'}; {advice.reason}", soft_wrap=True)


def _table(rows: list[Row]) -> Table:
    """One column a protocol: their names are shorter than the list of figures."""
    table = Table("", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for row in rows:
        table.add_column(row.name, justify="right")
    for heading, figure in _COLUMNS.items():
        table.add_row(heading, *map(figure, rows))
    return table


def _remedy(row: Row) -> str:
    near = row.nearest
    if near is None:
        return ""
    return f"; it can with {near.parties:,} parties at dropout {near.dropout:g}, corrupt {near.corrupt:g}"


def _size(count: int | None) -> str:
    if count is None:
        return "-"
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count / 1e3:.1f} kB"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:,.1f} s" if seconds >= 10 else f"{1e3 * seconds:,.1f} ms"


def _power(probability: float | None, exponent: float | None) -> str:
    if probability is None:
        return "-"
    return "0" if exponent is None else f"2^{exponent:.1f}"
