"""A TOML text -> plain tables, the one way in which every file of this program is read.

Python's reader takes whole numbers of any size; TOML has them of 64 bits, and what lies beyond neither prints nor
becomes a float. So they are refused here, before anybody asks what a number is for.
"""

import tomllib
from collections.abc import Iterator
from typing import Any


def read_tables(raw: bytes) -> dict[str, Any]:
    """Raises ValueError, with a line for people: not UTF-8, not TOML, or not TOML that can be read."""
    try:
        tables = tomllib.loads(raw.decode())
    except RecursionError as exc:
        raise ValueError("its tables or lists are nested too deeply") from exc
    if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in _values(tables)):
        raise ValueError("a whole number of more than 64 bits")
    return tables


def _values(tables: dict[str, Any]) -> Iterator[Any]:
    """Whatever stands anywhere in them."""
    waiting: list[Any] = [tables]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
