"""Frozen dataclasses <-> plain tables of TOML, strictly: an unknown key is named with its nearest, nothing is coerced.

What a table does not say is the field's default. One of several classes is told by its key `kind`.
"""

import dataclasses
import types
from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Union, get_args, get_origin, get_type_hints

KIND = "kind"


class ScenarioError(ValueError):
    """A scenario that means nothing. One line: the key, the remedy."""


def name_of(kind: type[Any]) -> str:
    """ByDevice -> by-device"""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).lstrip("-")


def to_table(value: Any, *, kinds: tuple[type[Any], ...] = ()) -> Any:
    """As tomlkit takes it; fields at their default are left out. kinds: those that are written with their `kind`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        table = {KIND: name_of(type(value))} if isinstance(value, kinds) else {}
        changed = (one for one in dataclasses.fields(value) if one.init and getattr(value, one.name) != _default(one))
        return table | {one.name: to_table(getattr(value, one.name), kinds=kinds) for one in changed}
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_table(item, kinds=kinds) for key, item in value.items()}
    if isinstance(value, tuple):
        return [to_table(item, kinds=kinds) for item in value]
    if value is not None and not isinstance(value, str | int | float):
        raise ScenarioError(f"a {type(value).__name__} is no plain data: keep it in Python")
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def from_table(hint: Any, value: Any, where: str, *, kinds: Mapping[Any, tuple[type[Any], ...]]) -> Any:
    """kinds: a hint -> the classes that it may be, told by `kind`. Raises ScenarioError."""
    if hint in kinds:
        return _one_of(kinds[hint], value, where, kinds)
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):  # X | None: None is a key that is missing
        return from_table(next(arg for arg in args if arg is not type(None)), value, where, kinds=kinds)
    if origin is tuple:
        items = _require(list, value, where)
        return tuple(from_table(args[0], item, f"{where}[{place}]", kinds=kinds) for place, item in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        table = _require(dict, value, where)
        return {key: from_table(args[1], item, f"{where}.{key}", kinds=kinds) for key, item in table.items()}
    if dataclasses.is_dataclass(hint):
        return _record(hint, _require(dict, value, where), where, kinds)
    return _plain(hint, value, where)


def _plain(hint: Any, value: Any, where: str) -> Any:
    if issubclass(hint, StrEnum):
        if value not in list(hint):
            raise ScenarioError(f"{where} is one of {', '.join(hint)}, not {value!r}")
        return hint(value)
    if hint is float and type(value) is int:
        return float(value)
    return _require(hint, value, where)


def _require(kind: type, value: Any, where: str) -> Any:
    if type(value) is not kind:
        raise ScenarioError(f"{where} is of type {kind.__name__}, not {value!r}")
    return value


def _one_of(options: tuple[type[Any], ...], value: Any, where: str, kinds: Any) -> Any:
    table = dict(_require(dict, value, where))
    by_name = {name_of(option): option for option in options}
    name = table.pop(KIND, None)
    if not isinstance(name, str) or name not in by_name:
        raise ScenarioError(f"{where}.kind is one of {', '.join(by_name)}, not {name!r}")
    return _record(by_name[name], table, where, kinds)


def _record(kind: Any, table: Mapping[str, Any], where: str, kinds: Any) -> Any:
    hints = get_type_hints(kind)
    known = {one.name: one for one in dataclasses.fields(kind) if one.init}
    for name in table.keys() - known.keys():
        near = get_close_matches(name, known, n=1)
        raise ScenarioError(f"{where}.{name} is not known" + (f": did you mean {near[0]}?" if near else ""))
    given = {name: from_table(hints[name], item, f"{where}.{name}", kinds=kinds) for name, item in table.items()}
    missing = [name for name, one in known.items() if _default(one) is dataclasses.MISSING and name not in given]
    if missing:
        raise ScenarioError(f"{where}.{missing[0]} is missing")
    try:
        return kind(**given)
    except ScenarioError:
        raise
    except ValueError as exc:
        raise ScenarioError(f"{where}: {exc}") from exc
