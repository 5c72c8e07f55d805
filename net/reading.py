"""A TOML file read key by key: what is misspelt, missing or of another type is named with the file and the remedy."""

import math
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

from net.errors import ConfigError
from protocols.tables import read_tables

T = TypeVar("T")


class Table:
    """One table of a file, read key by key. Unknown keys are refused first: a misspelt one is then not "missing"."""

    def __init__(self, raw: Mapping[str, Any], file: Path, keys: tuple[str, ...], where: str = "") -> None:
        self._raw = raw
        self.file = file
        self.where = where
        for key in raw:
            if key not in keys:
                near = get_close_matches(key, keys, n=1)
                remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(keys)}"
                raise self.error(f"unknown key {key!r}: {remedy}")

    def error(self, text: str) -> ConfigError:
        return ConfigError(f"{self.file}: {f'[{self.where}] ' if self.where else ''}{text}")

    def __contains__(self, key: str) -> bool:
        return key in self._raw

    def need(self, key: str, kind: type[T]) -> T:
        if key not in self._raw:
            raise self.error(f"{key!r} is missing: add it ({KIND_NAMES[kind]})")
        value = self._raw[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.error(f"{key!r} must be {KIND_NAMES[kind]}, not {value!r}")
        return value

    def get(self, key: str, kind: type[T], default: T) -> T:
        return self.need(key, kind) if key in self else default

    def optional(self, key: str) -> str | None:
        return self.need(key, str) if key in self else None

    def path(self, key: str) -> Path:
        return self.file.parent / self.need(key, str)

    def texts(self, key: str) -> tuple[str, ...]:
        entries = self.get(key, list, [])
        if not all(isinstance(entry, str) for entry in entries):
            raise self.error(f"{key!r} must be a list of texts in quotes")
        return tuple(entries)

    def table(self, key: str, keys: tuple[str, ...]) -> "Table":
        where = f"{self.where}.{key}" if self.where else key
        return Table(self.need(key, dict), self.file, keys, where)

    def tables(self, key: str, keys: tuple[str, ...]) -> "list[Table]":
        entries = self.need(key, list)
        if not all(isinstance(entry, dict) for entry in entries):
            raise self.error(f"{key!r} must be tables: write [[{key}]] above each")
        return [Table(entry, self.file, keys, f"{key} {place}") for place, entry in enumerate(entries, 1)]

    def at_least(self, smallest: int, key: str, value: int) -> int:
        if value < smallest:
            raise self.error(f"{key!r} must be {smallest} or more, not {value}")
        return value

    def seconds(self, key: str, default: float) -> float:
        value = self.get(key, float, default)
        if not (value > 0 and math.isfinite(value)):
            raise self.error(f"{key!r} must be a number of seconds above 0, not {value:g}")
        return value

    def hexadecimal(self, key: str) -> bytes:
        try:
            return bytes.fromhex(self.need(key, str))
        except ValueError as exc:
            raise self.error(f"{key!r} must be hexadecimal digits") from exc


KIND_NAMES: Final[Mapping[type, str]] = {
    str: "text in quotes", bool: "true or false", int: "a whole number", float: "a number", dict: "a table",
    list: "a list",
}  # fmt: skip


def read(path: Path, keys: tuple[str, ...]) -> Table:
    try:
        raw = read_tables(path.read_bytes())
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise ConfigError(f"{path}: not TOML: {exc}") from exc
    return Table(raw, path, keys)
