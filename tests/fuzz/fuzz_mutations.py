"""Changes to an input: of bytes that nobody understands, of blocks, and of trees (msgpack, TOML, JSON), which stay
well-formed."""

import json
import tomllib
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

import msgpack

Change = Callable[[bytearray, Random], None]
Mutate = Callable[[bytes, Random], bytes]

_MOST_CHANGES = 4


def of_bytes(words: Sequence[bytes]) -> Mutate:
    """Some small changes one after the other. words: put in here and there."""

    def insert_word(data: bytearray, chance: Random) -> None:
        at = chance.randrange(len(data) + 1)
        data[at:at] = chance.choice(words)

    changes = [*_CHANGES, *([insert_word] * 3 if words else [])]

    def mutate(data: bytes, chance: Random) -> bytes:
        changed = bytearray(data)
        for _ in range(chance.randint(1, _MOST_CHANGES)):
            chance.choice(changes)(changed, chance)
        return bytes(changed)

    return mutate


def _flip(data: bytearray, chance: Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set(data: bytearray, chance: Random) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))


def _insert(data: bytearray, chance: Random) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.randbytes(chance.randint(1, 8))


def _delete(data: bytearray, chance: Random) -> None:
    at = chance.randrange(len(data) + 1)
    del data[at : at + chance.randint(1, 32)]


def _repeat(data: bytearray, chance: Random) -> None:
    at, length = chance.randrange(len(data) + 1), chance.randint(1, 64)
    data[at:at] = data[at : at + length]


_CHANGES: list[Change] = [_flip, _flip, _set, _set, _insert, _delete, _repeat]


def of_blocks(size: int, *, behind: int) -> Mutate:
    """Whole blocks are decided anew, taken out, repeated or moved. behind: so many bytes stand before the first."""

    def mutate(data: bytes, chance: Random) -> bytes:
        blocks = [data[at : at + size] for at in range(behind, len(data), size)] or [bytes(size)]
        for _ in range(chance.randint(1, 2 * _MOST_CHANGES)):
            at = chance.randrange(len(blocks))
            match chance.randrange(8):
                case 0 if len(blocks) > 1:
                    del blocks[at]
                case 1:
                    blocks.insert(chance.randrange(len(blocks)), blocks[at])
                case 2:
                    other = chance.randrange(len(blocks))
                    blocks[at], blocks[other] = blocks[other], blocks[at]
                case _:
                    blocks[at] = chance.randbytes(size)
        return data[:behind] + b"".join(blocks)

    return mutate


# Trees


@dataclass(frozen=True)
class Form:
    """How trees are written. parse: None for what is no tree. dump: raises ValueError for what cannot be written. odd:
    values that are not expected anywhere."""

    parse: Callable[[bytes], Any]
    dump: Callable[[Any], bytes]
    odd: tuple[Any, ...]


def of_trees(donors: Sequence[bytes], form: Form, *, behind: int = 0) -> Mutate:
    """One node or two are replaced, by one of another tree or by an odd value, repeated, or taken out.

    donors: the other trees. behind: so many bytes stand before the tree and stay. What is no tree is changed as bytes
    are.
    """
    flat, trees = of_bytes(()), [tree for tree in (form.parse(one[behind:]) for one in donors) if _is_inner(tree)]

    def mutate(data: bytes, chance: Random) -> bytes:
        tree = form.parse(data[behind:])
        if not _is_inner(tree):
            return flat(data, chance)
        for _ in range(chance.randint(1, 2)):
            _change_node(tree, trees, form.odd, chance)
        return data[:behind] + _written(tree, form, data[behind:])

    return mutate


def spliced(data: bytes, donor: bytes, chance: Any) -> bytes:
    """A message with a part of another one in it, or an odd value: well-formed msgpack again."""
    tree = MSGPACK.parse(data)
    if not _is_inner(tree):
        return data
    _change_node(tree, [MSGPACK.parse(donor)], MSGPACK.odd, chance)
    return _written(tree, MSGPACK, data)


def _written(tree: Any, form: Form, otherwise: bytes) -> bytes:
    with suppress(ValueError, RecursionError):
        return form.dump(tree)
    return otherwise


def _is_inner(tree: Any) -> bool:
    return isinstance(tree, list | dict) and bool(tree)


def _change_node(tree: Any, donors: Sequence[Any], odd: Sequence[Any], chance: Any) -> None:
    parent, place = _node(tree, chance)
    match chance.randrange(8):
        case 0 | 1 if donors:
            parent[place] = _some_node(donors[chance.randrange(len(donors))], chance)
        case 2 if isinstance(parent, list):
            parent.insert(place, deepcopy(parent[place]))
        case 3 if len(parent) > 1:
            del parent[place]
        case 4 | 5:
            parent[place] = _near(parent[place], chance)
        case _:
            parent[place] = deepcopy(odd[chance.randrange(len(odd))])


def _near(value: Any, chance: Any) -> Any:
    """Of the same type, a little different."""
    if isinstance(value, int):
        return min(max(0, value + chance.randrange(5) - 2), 2**64 - 1)
    if isinstance(value, bytes) and value:
        return flipped(value, chance)
    return value[::-1] if isinstance(value, list | str) else value


def flipped(data: bytes, chance: Any) -> bytes:
    """With one bit changed; not of nothing."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def _node(tree: Any, chance: Any) -> tuple[Any, Any]:
    """Some node below the root, which has one: its parent and its place there."""
    parent, place = tree, _some_place(tree, chance)
    while _is_inner(parent[place]) and chance.randrange(4):
        parent = parent[place]
        place = _some_place(parent, chance)
    return parent, place


def _some_place(parent: Any, chance: Any) -> Any:
    at = chance.randrange(len(parent))
    return list(parent)[at] if isinstance(parent, dict) else at


def _some_node(tree: Any, chance: Any) -> Any:
    if not _is_inner(tree):
        return tree
    parent, place = _node(tree, chance)
    return deepcopy(parent[place])


# The forms

_NUMBERS = (0, 1, 2, 3, 127, 128, 255, 256, 2**16 - 1, 2**16, 2**20 - 1, 2**20, 2**31, 2**32 - 1, 2**32, 2**63 - 1)
_PLAIN = (True, False, -1, -(2**63), 0.5, -0.5, float("nan"), float("inf"), "", "a", "Abort", "\0", [], [[]], *_NUMBERS)
_ENORMOUS = (10**400, -(10**400), 2**20000, 1e300, 5e-324)


def _unpacked(data: bytes) -> Any:
    with suppress(ValueError, msgpack.UnpackException):
        return msgpack.unpackb(data, max_map_len=0, max_ext_len=0)
    return None


def _packed(tree: Any) -> bytes:
    packed: bytes = msgpack.packb(tree, use_bin_type=True)
    return packed


def _from_toml(data: bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return tomllib.loads(data.decode())
    return None


def _to_toml(tree: Any) -> bytes:
    return "\n".join(f"{json.dumps(str(key))} = {_toml(value)}" for key, value in tree.items()).encode(
        "utf-8", "replace"
    )


def _toml(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case str() | bool():
            return json.dumps(value)
        case int() if abs(value) >= 10**4000:
            return hex(abs(value))
        case _:
            return f"{value}"


def _from_json(data: bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(data)
    return None


def _to_json(tree: Any) -> bytes:
    return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


MSGPACK = Form(_unpacked, _packed, (*_PLAIN, None, 2**63, 2**64 - 1, b"", bytes(1), bytes(31), bytes(32)))
TOML = Form(_from_toml, _to_toml, (*_PLAIN, *_ENORMOUS, date(1979, 5, 27), {}, {"a": 1}, "a:1", "x" * 300))
JSON = Form(_from_json, _to_json, (*_PLAIN, *_ENORMOUS[:2], None, {}, {"a": 1}))
