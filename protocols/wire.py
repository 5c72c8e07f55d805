"""Frozen message classes <-> msgpack bytes. Strict: exactly one message, of a known class, in its one encoding.

A `Codec` is made from a union of frozen dataclasses. A message is `[version, class name, [fields in order]]`; the type
of each field says what is accepted, nothing is coerced, and `decode` insists that encoding the result gives the same
bytes again, so that a message has one encoding and nothing can hide in another.

Sets of parties travel as bitmaps, mappings as lists of pairs in ascending order of the party.
"""

import dataclasses
import types
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, ClassVar, NewType, Union, get_args, get_origin, get_type_hints

import msgpack
import numpy as np

from mpc.field import PrimeField
from protocols.errors import PartyId, WireError

VERSION = 1
MAX_PARTY = 2**20

# A parsed tree takes up to some 70 times the bytes that it came from. So only this much is ever parsed as a tree; in a
# larger message the rest must be the bytes of its last field.
LARGEST_TREE = 2**20
_HEAD = 2**18
_BITMAPS = 16
_BIN_HEAD = 5  # bytes before those of a large field: its type and its length
_EMPTY = b"\xc4\x00"
_LARGE_FIELD = 2**16  # its length takes four bytes
_LIMITS = {"raw": False, "strict_map_key": True, "max_map_len": 0, "max_ext_len": 0, "max_str_len": 2**12}


@dataclasses.dataclass(frozen=True, slots=True)
class Size:
    """Annotates bytes: the lengths that are accepted."""

    accepted: tuple[int, ...]

    def __init__(self, *accepted: int) -> None:
        object.__setattr__(self, "accepted", accepted)


PartySet = frozenset[PartyId]

Pack = Callable[[Any], Any]
Parse = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Form:
    """How one type goes to plain msgpack values and comes back. `parse` raises ValueError or TypeError."""

    pack: Pack
    parse: Parse


class Codec:
    """Encodes and decodes the classes of one union. Built once; the forms of all fields are worked out then.

    own: what is decoded was written by this process and may be a tree of any size (a snapshot).
    """

    def __init__(self, union: Any, *, own: bool = False) -> None:
        self._own = own
        self._kinds: dict[str, Form] = {}
        for kind in get_args(union) or (union,):
            self._kinds[kind.__name__] = _record_form(kind)

    def encode(self, message: Any) -> bytes:
        name = type(message).__name__
        fields = self._kinds[name].pack(message)
        if fields and type(fields[-1]) is bytes and len(fields[-1]) >= _LARGE_FIELD:
            return b"".join((_head_of(name, fields), fields[-1]))  # one copy: msgpack's buffer grows by many
        packed: bytes = msgpack.packb([VERSION, name, fields], use_bin_type=True)
        return packed

    def decode(self, data: bytes) -> Any:
        """Raises WireError on anything but the one encoding of exactly one message of this version."""
        try:
            whole = self._own or len(data) <= LARGEST_TREE
            version, name, fields = msgpack.unpackb(data, **_LIMITS) if whole else _unpack_large(data)
            if type(version) is not int or version != VERSION:
                raise WireError(f"version {version!r}, this is version {VERSION}")
            message = self._kinds[name].parse(fields)
            canonical = self.encode(message) == data if whole else self._begins(message, data)
        except WireError:
            raise
        except (ValueError, TypeError, LookupError, OverflowError, msgpack.UnpackException) as exc:
            raise WireError("not a message of this version") from exc
        if not canonical:
            raise WireError("a message in an encoding that is not its own")
        return message

    def _begins(self, message: Any, data: bytes) -> bool:
        """Whether `data` is the encoding of a large message up to its last field, which was taken from it as it is."""
        name = type(message).__name__
        fields = self._kinds[name].pack(message)
        head = _head_of(name, fields)
        return data.startswith(head) and len(data) == len(head) + len(fields[-1])


def _head_of(name: str, fields: list[Any]) -> bytes:
    """What stands before the bytes of a last field of 2^16 and more: the rest, their type and their number."""
    head: bytes = msgpack.packb([VERSION, name, [*fields[:-1], b""]], use_bin_type=True)
    return head[: -len(_EMPTY)] + b"\xc6" + len(fields[-1]).to_bytes(4, "big")


def _unpack_large(data: bytes) -> tuple[Any, Any, list[Any]]:
    """A message whose last field is bytes, most of it: all before them is parsed, they are cut out."""
    head = msgpack.Unpacker(**_LIMITS)
    head.feed(memoryview(data)[:_HEAD])
    if head.read_array_header() != 3:
        raise WireError("not a message of this version")
    version, name = head.unpack(), head.unpack()
    fields = [head.unpack() for _ in range(head.read_array_header() - 1)]
    start = head.tell() + _BIN_HEAD
    if data[start - _BIN_HEAD : start] != b"\xc6" + (len(data) - start).to_bytes(4, "big"):
        raise WireError("a large message that is not mostly the bytes of its last field")
    return version, name, [*fields, data[start:]]


def _form(hint: Any) -> Form:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _sized_bytes(args[1])
    if origin in (Union, types.UnionType):
        return _union_form(args)
    if origin is tuple:
        return _tuple_form(_form(args[0]))
    if hint == PartySet:
        return Form(bitmap, _parse_set)
    if origin is frozenset:
        raise TypeError("only sets of parties travel")
    if origin in (dict, Mapping):
        return _mapping_form(_form(args[1]))
    return _plain_form(hint)


def _plain_form(hint: Any) -> Form:
    if hint is PartyId:
        return Form(int, _parse_party)
    if isinstance(hint, NewType):
        return _form(hint.__supertype__)
    if hint is int:
        return Form(int, _parse_int)
    if hint is float:
        return Form(float, _exactly(float))
    if hint in (bytes, str, bool):
        return Form(lambda value: value, _exactly(hint))
    if hint is PrimeField:
        return Form(lambda field: field.modulus, lambda value: PrimeField(_parse_int(value)))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return Form(lambda value: value.value, hint)
    if dataclasses.is_dataclass(hint):
        return _record_form(hint)
    raise TypeError(f"{hint!r} does not travel")


def _exactly(kind: type) -> Parse:
    def parse(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"{type(value).__name__} where {kind.__name__} belongs")
        return value

    return parse


def _parse_int(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**64:
        raise ValueError("not a count")
    return value


def _parse_party(value: Any) -> PartyId:
    if type(value) is not int or not 0 <= value < MAX_PARTY:
        raise ValueError("not a party")
    return PartyId(value)


def _sized_bytes(size: Size) -> Form:
    def parse(value: Any) -> bytes:
        if type(value) is not bytes or len(value) not in size.accepted:
            raise ValueError(f"bytes of another length than {size.accepted}")
        return value

    return Form(lambda value: value, parse)


def _tuple_form(item: Form) -> Form:
    def parse(value: Any) -> tuple[Any, ...]:
        return tuple(map(item.parse, _exactly(list)(value)))

    return Form(lambda values: [item.pack(value) for value in values], parse)


def _mapping_form(item: Form) -> Form:
    def pack(mapping: Mapping[PartyId, Any]) -> list[Any]:
        return [[party, item.pack(mapping[party])] for party in sorted(mapping)]

    def parse(value: Any) -> Mapping[PartyId, Any]:
        parsed = {}
        for party, entry in _exactly(list)(value):
            parsed[_parse_party(party)] = item.parse(entry)
        return types.MappingProxyType(parsed)

    return Form(pack, parse)


def _union_form(members: tuple[Any, ...]) -> Form:
    """`X | None`, or a union of frozen classes, which are told apart by name."""
    if type(None) in members:
        rest = tuple(member for member in members if member is not type(None))
        inner = _form(rest[0]) if len(rest) == 1 else _union_form(rest)
        return Form(
            lambda value: None if value is None else inner.pack(value),
            lambda value: None if value is None else inner.parse(value),
        )
    names = [member.__name__ for member in members]
    forms = [_record_form(member) for member in members]

    def pack(value: Any) -> list[Any]:
        index = names.index(type(value).__name__)
        return [index, *forms[index].pack(value)]

    def parse(value: Any) -> Any:
        index, *fields = _exactly(list)(value)
        return forms[_parse_int(index)].parse(fields)

    return Form(pack, parse)


def _record_form(kind: Any) -> Form:
    hints = {
        name: hint
        for name, hint in get_type_hints(kind, include_extras=True).items()
        if get_origin(hint) is not ClassVar
    }
    names = [field.name for field in dataclasses.fields(kind) if field.init]
    forms = [_form(hints[name]) for name in names]
    packs = [(name, form.pack) for name, form in zip(names, forms, strict=True)]
    parses, as_list = [form.parse for form in forms], _exactly(list)

    def pack(record: Any) -> list[Any]:
        return [packed(getattr(record, name)) for name, packed in packs]

    def parse(value: Any) -> Any:
        return kind(*[parsed(field) for parsed, field in zip(parses, as_list(value), strict=True)])

    return Form(pack, parse)


@lru_cache(maxsize=_BITMAPS)
def bitmap(parties: PartySet) -> bytes:
    """A set of parties as bytes: party i is bit i % 8 of byte i // 8, no trailing zero byte.

    The last ones are kept: the same few sets stand in every signature of a session.
    """
    bits = np.zeros(1 + max(parties, default=-1), dtype=np.uint8)
    bits[list(parties)] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def _parse_set(value: Any) -> PartySet:
    return _set_of(_exactly(bytes)(value))


@lru_cache(maxsize=_BITMAPS)
def _set_of(data: bytes) -> PartySet:
    """The last ones are kept: each message of a round holds the same few, and one of 10,000 parties is half a MB."""
    if len(data) > MAX_PARTY // 8 or data.endswith(b"\0"):
        raise ValueError("too many parties, or a set that is longer than it must be")
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")
    return frozenset(map(PartyId, np.flatnonzero(bits).tolist()))
