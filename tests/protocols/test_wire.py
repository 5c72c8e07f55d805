"""Bytes -> exactly one well-formed message of this version, or WireError and never another exception."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, get_args

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import ME, parties, recorded
from sessions import bounded

from mpc.field import M61, PrimeField
from protocols.errors import AbortReason, PartyId, WireError
from protocols.messages import CODEC, Abort, DroppedReveal, MaskedInput, Message, Result, SurvivorReveal, UnmaskShares
from protocols.wire import LARGEST_TREE, MAX_PARTY, Codec, PartySet, bitmap

KINDS = get_args(Message)
FOREIGN = (None, True, False, 0, 1, -1, 2**64 - 1, 1.5, "", "secagg", b"", b"\0" * 32, [], [0], [[]], {}, {"a": 1})


def message_of(kind: type) -> Any:
    rec = recorded()
    if kind is Abort:
        return Abort(AbortReason.REFUSED, PartyId(3))
    return rec.heard.get(kind) or rec.said[ME, kind]


every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
MESSAGES = {kind: message_of(kind) for kind in KINDS}
FRAMES = {kind.__name__: CODEC.encode(message) for kind, message in MESSAGES.items()}
FIELDS = [(kind, place) for kind in KINDS for place in range(len(dataclasses.fields(kind)))]
every_field = pytest.mark.parametrize(
    ("kind", "place"), FIELDS, ids=[f"{kind.__name__}.{dataclasses.fields(kind)[place].name}" for kind, place in FIELDS]
)


def plain(kind: type) -> list[Any]:
    """The message as msgpack values, free to be spoiled."""
    values: list[Any] = msgpack.unpackb(FRAMES[kind.__name__])
    return values


def refuse(values: Any) -> None:
    with pytest.raises(WireError):
        CODEC.decode(msgpack.packb(values))


@every_kind
def test_every_message_comes_back_as_it_was(kind: type) -> None:
    frame = FRAMES[kind.__name__]
    assert CODEC.decode(frame) == MESSAGES[kind]
    assert CODEC.encode(CODEC.decode(frame)) == frame


def test_an_abort_that_accuses_nobody_comes_back() -> None:
    message = Abort(AbortReason.TOO_FEW, None)
    assert CODEC.decode(CODEC.encode(message)) == message


@pytest.mark.parametrize("version", [0, 2, -1, True, 1.0, "1", None])
def test_another_version_is_refused(version: Any) -> None:
    values = plain(Abort)
    values[0] = version
    refuse(values)


@pytest.mark.parametrize("name", ["", "abort", "Message", "Round", "SurvivorReveal", 0, None, b"Abort", ["Abort"]])
def test_another_class_is_refused(name: Any) -> None:
    values = plain(Abort)
    values[1] = name
    refuse(values)


@pytest.mark.parametrize("values", [*FOREIGN, [1], [1, "Abort"], [1, "Abort", ["stopped", None], None], "1Abort"])
def test_what_is_no_message_at_all_is_refused(values: Any) -> None:
    refuse(values)


@every_kind
def test_a_field_too_few_or_too_many_is_refused(kind: type) -> None:
    values = plain(kind)
    refuse([*values[:2], values[2][:-1]])
    refuse([*values[:2], [*values[2], None]])
    refuse([*values[:2], dict(enumerate(values[2]))])


@every_field
@pytest.mark.parametrize("foreign", FOREIGN, ids=repr)
def test_a_field_of_another_type_is_refused(kind: type, place: int, foreign: Any) -> None:
    """Unless it is a good value of the field: then it comes back in the same bytes."""
    values = plain(kind)
    values[2][place] = foreign
    data = msgpack.packb(values)
    try:
        message = CODEC.decode(data)
    except WireError:
        return
    assert CODEC.encode(message) == data
    assert type(foreign) is type(plain(kind)[2][place]) or foreign is None


@every_kind
def test_bytes_left_over_or_missing_are_refused(kind: type) -> None:
    frame = FRAMES[kind.__name__]
    for data in (frame + b"\0", frame + frame, frame[:-1], frame[1:], b""):
        with pytest.raises(WireError):
            CODEC.decode(data)


@every_kind
def test_every_message_cut_anywhere_is_refused(kind: type) -> None:
    frame = FRAMES[kind.__name__]
    for length in range(0, len(frame), 7):
        with pytest.raises(WireError):
            CODEC.decode(frame[:length])


# One message, one encoding. Each of these says the same in other bytes; plain msgpack takes them all.

ABORT = msgpack.packb([1, "Abort", ["stopped", 3]])
assert ABORT == b"\x93\x01\xa5Abort\x92\xa7stopped\x03"


@pytest.mark.parametrize("data", [
    b"\x93\xcc\x01\xa5Abort\x92\xa7stopped\x03",
    b"\x93\x01\xd9\x05Abort\x92\xa7stopped\x03",
    b"\x93\x01\xa5Abort\x92\xa7stopped\xcc\x03",
    b"\x93\x01\xa5Abort\x92\xa7stopped\xcd\x00\x03",
    b"\x93\x01\xa5Abort\x92\xa7stopped\xcf\x00\x00\x00\x00\x00\x00\x00\x03",
    b"\x93\x01\xa5Abort\x92\xa7stopped\xd0\x03",
    b"\x93\x01\xa5Abort\x92\xd9\x07stopped\x03",
    b"\x93\x01\xa5Abort\xdc\x00\x02\xa7stopped\x03",
    b"\xdc\x00\x03\x01\xa5Abort\x92\xa7stopped\x03",
    b"\xdd\x00\x00\x00\x03\x01\xa5Abort\x92\xa7stopped\x03",
])  # fmt: skip
def test_a_longer_form_of_the_same_values_is_refused(data: bytes) -> None:
    assert msgpack.unpackb(data) == msgpack.unpackb(ABORT)
    assert CODEC.decode(ABORT) == Abort(AbortReason.STOPPED, PartyId(3))
    with pytest.raises(WireError, match="an encoding that is not its own"):
        CODEC.decode(data)


@pytest.mark.parametrize("name", ["ShareKeys", "DeliverShares", "UnmaskRequest", "UnmaskShares"])
def test_a_mapping_out_of_order_with_a_key_twice_or_as_a_map_is_refused(name: str) -> None:
    values = msgpack.unpackb(FRAMES[name])
    place = next(i for i, value in enumerate(values[2]) if isinstance(value, list))
    pairs = values[2][place]
    for spoiled in (pairs[::-1], [pairs[0], *pairs], [*pairs, [pairs[-1][0], pairs[0][1]]], dict(map(tuple, pairs))):
        fields = [*values[2][:place], spoiled, *values[2][place + 1 :]]
        with pytest.raises(WireError):
            CODEC.decode(msgpack.packb([*values[:2], fields], use_bin_type=True))


@pytest.mark.parametrize("party", [-1, MAX_PARTY, 2**63, 1.0, True, "1", None])
def test_a_party_out_of_range_is_refused(party: Any) -> None:
    refuse([1, "Abort", ["stopped", party]]) if party is not None else None
    refuse([1, "UnmaskRequest", [[[party, bytes(64)]]]])


def test_a_bitmap_has_no_zero_byte_at_its_end_and_a_bound() -> None:
    assert bitmap(parties(0, 9)) == b"\x01\x02"
    assert bitmap(frozenset()) == b""
    assert CODEC.decode(msgpack.packb([1, "FallbackRequest", [b"\x01\x02"]])).dropped == parties(0, 9)
    for spoiled in (b"\x01\x02\0", b"\0", b"\1" * (MAX_PARTY // 8 + 1)):
        refuse([1, "FallbackRequest", [spoiled]])
    assert CODEC.decode(msgpack.packb([1, "FallbackRequest", [bytes(MAX_PARTY // 8 - 1) + b"\x80"]])).dropped == {
        MAX_PARTY - 1
    }


@pytest.mark.parametrize("reveal", [
    [], [0], [3, bytes(35)], [2**63, bytes(35)], [-1, bytes(35)], [True, bytes(35)], [0, bytes(32)], [1, bytes(35)],
    [0, bytes(35), 0], ["SurvivorReveal", bytes(35)], 0, None, {0: bytes(35)},
])  # fmt: skip
def test_a_reveal_of_no_kind_or_of_another_length_is_refused(reveal: Any) -> None:
    refuse([1, "UnmaskShares", [[[0, reveal]]]])


def test_the_kinds_of_reveals_are_told_apart() -> None:
    message = UnmaskShares({PartyId(0): SurvivorReveal(bytes(35)), PartyId(1): DroppedReveal(bytes(32))})
    assert CODEC.decode(CODEC.encode(message)) == message


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_bytes_of_another_length_than_the_type_says_are_refused(size: int) -> None:
    values = plain(KINDS[1])
    values[2][1] = bytes(size)
    refuse(values)


@pytest.mark.parametrize("modulus", [0, 1, 4, 2**31, 2**61 + 1, 2**63, -7])
def test_a_session_over_no_field_is_refused(modulus: int) -> None:
    values = plain(KINDS[0])
    values[2][0][1][1] = modulus
    refuse(values)


@pytest.mark.parametrize("length", [0, -1, 2**28 + 1, 2**64 - 1])
def test_a_vector_of_no_length_is_refused(length: int) -> None:
    values = plain(KINDS[0])
    values[2][0][1][0] = length
    refuse(values)


# A message above a mebibyte is parsed up to its last field, which must be bytes and the rest of it

LARGE = MaskedInput(bytes(range(256)) * 8192)


def test_a_large_message_comes_back_and_only_in_its_one_encoding() -> None:
    frame = CODEC.encode(LARGE)
    assert len(frame) > LARGEST_TREE
    assert CODEC.decode(frame) == LARGE
    head, body = frame[: -len(LARGE.masked)], LARGE.masked
    assert head == b"\x93\x01\xabMaskedInput\x91\xc6\x00\x20\x00\x00"
    for spoiled in (
        frame + b"\0", frame[:-1], head[:-1] + body, b"\xdc\x00\x03" + frame[1:], frame[:1] + b"\2" + frame[2:],
        frame.replace(b"\x91\xc6", b"\xdc\x00\x01\xc6", 1), frame.replace(b"\x91\xc6", b"\x92\xc0\xc6", 1),
        frame.replace(b"\x91\xc6", b"\x90\xc6", 1), frame.replace(b"MaskedInput", b"MaskedInpuT", 1),
        frame.replace(b"\x91\xc6", b"\x91\xdb", 1), bytes(len(frame)), b"\x93" * len(frame), b"\xdd" * len(frame),
        b"\x93\x01\xabMaskedInput\xdd\x05\xf5\xe0\xff" + bytes(len(frame)),
    ):  # fmt: skip
        with pytest.raises(WireError):
            CODEC.decode(spoiled)


@pytest.mark.parametrize("size", [0, 255, 256, 2**16 - 1, 2**16, 2**16 + 1, LARGEST_TREE + 1])
def test_a_message_is_what_msgpack_writes_however_large_its_last_field(size: int) -> None:
    signature, sum_ = bytes(64), bytes(size)
    written = msgpack.packb([1, "Result", [b"\x05", signature, sum_]])
    assert CODEC.encode(Result(parties(0, 2), signature, sum_)) == written
    assert CODEC.decode(written) == Result(parties(0, 2), signature, sum_)


def test_a_large_message_with_more_than_bytes_behind_its_other_fields_comes_back_too() -> None:
    message = Result(parties(0, 1, 2), bytes(64), LARGE.masked)
    assert CODEC.decode(CODEC.encode(message)) == message


def test_a_large_tree_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(WireError, match="not mostly the bytes of its last field"):
        CODEC.decode(msgpack.packb([1, "UnmaskRequest", [[[0, bytes(64)]] * 20_000]]))


# What is made to hurt: lengths that are not there, and depth

HUGE = {
    "array 32": b"\xdd\xff\xff\xff\xff",
    "map 32": b"\xdf\xff\xff\xff\xff",
    "bin 32": b"\xc6\xff\xff\xff\xff",
    "str 32": b"\xdb\xff\xff\xff\xff",
    "ext 32": b"\xc9\xff\xff\xff\xff\x01",
    "arrays in arrays": b"\xdd\xff\xff\xff\xff" * 50,
    "one element each, deep": b"\x91" * 100_000 + b"\xc0",
    "one entry each, deep": b"\x81\x00" * 100_000 + b"\xc0",
    "empty and deep": b"\x91" * 500 + b"\x90",
    "the byte that no format has": b"\xc1",
    "text that is no text": b"\x93\x01\xa5Abort\x92\xa2\xff\xfe\x03",
    "half a surrogate": b"\x93\x01\xa5Abort\x92\xa3\xed\xa0\x80\x03",
    "a timestamp": b"\xd6\xff\x00\x00\x00\x01",
    "a bad timestamp": b"\xd5\xff\x00\x00",
    "a key that cannot be one": b"\x81\x90\x01",
    "not a number": b"\x93\x01\xa5Abort\x92\xa7stopped\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
}


@pytest.mark.parametrize("data", HUGE.values(), ids=HUGE)
def test_lengths_that_are_not_there_and_depth_are_refused(data: bytes) -> None:
    for frame in (data, b"\x93\x01\xa5Abort" + data, b"\x93\x01\xa6Result\x93" + data):
        with pytest.raises(WireError):
            CODEC.decode(frame)


def message_or_wire_error(data: bytes) -> None:
    try:
        message = CODEC.decode(data)
    except WireError:
        return
    assert CODEC.encode(message) == data


SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8)
    | st.binary(max_size=40)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from(sorted(FRAMES))


@st.composite
def strange_fields(draw: st.DrawFn) -> bytes:
    """Anything at all as the fields of a known class."""
    packed: bytes = msgpack.packb([1, draw(NAMES), draw(VALUES | VALUES.map(lambda value: [value]))])
    return packed


@st.composite
def values_replaced(draw: st.DrawFn) -> bytes:
    """A good message with one value, at any depth, replaced."""
    values = msgpack.unpackb(FRAMES[draw(NAMES)])
    spot, at = values, 2
    while isinstance(spot[at], list) and spot[at] and draw(st.booleans()):
        spot, at = spot[at], draw(st.integers(0, len(spot[at]) - 1))
    spot[at] = draw(VALUES)
    packed: bytes = msgpack.packb(values)
    return packed


@st.composite
def bytes_changed(draw: st.DrawFn) -> bytes:
    """A good message with a few bytes changed, taken out or put in."""
    frame = bytearray(FRAMES[draw(NAMES)])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(frame) - 1))
        frame[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(frame)


ANY_BYTES = st.binary(max_size=200) | strange_fields() | values_replaced() | bytes_changed()


@bounded(5)
@given(ANY_BYTES)
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    message_or_wire_error(data)


@pytest.mark.slow
@bounded(400)
@given(ANY_BYTES)
def test_many_more_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    message_or_wire_error(data)


@pytest.mark.slow
@bounded(50)
@given(ANY_BYTES)
def test_any_bytes_before_a_mebibyte_are_a_message_or_a_wire_error(head: bytes) -> None:
    message_or_wire_error(head + bytes(LARGEST_TREE))
    message_or_wire_error(head + b"\xc6\x00\x10\x00\x00" + bytes(LARGEST_TREE))


@pytest.mark.parametrize("name", FRAMES)
def test_a_message_with_one_byte_changed_is_a_message_or_a_wire_error(name: str) -> None:
    frame = FRAMES[name]
    for at in range(0, len(frame), max(1, len(frame) // 100)):
        for flip in (0x01, 0x80, 0xFF):
            message_or_wire_error(frame[:at] + bytes([frame[at] ^ flip]) + frame[at + 1 :])


# The forms beside those that the protocol's own messages use


@dataclasses.dataclass(frozen=True)
class Everything:
    kind: ClassVar[str] = "everything"
    number: int
    share: float
    text: str
    flag: bool
    maybe: SurvivorReveal | DroppedReveal | None
    field: PrimeField
    names: tuple[str, ...]
    members: PartySet
    by_party: Mapping[PartyId, int]
    made: int = dataclasses.field(init=False, default=0)


EVERYTHING = Codec(Everything)


@pytest.mark.parametrize("maybe", [None, SurvivorReveal(bytes(35)), DroppedReveal(bytes(32))])
def test_a_class_with_a_field_of_every_form_comes_back(maybe: Any) -> None:
    record = Everything(7, 0.5, "é", True, maybe, M61, ("a", "b"), parties(2, 20), {PartyId(4): 1, PartyId(3): 2})
    again = EVERYTHING.decode(EVERYTHING.encode(record))
    assert again == record
    assert isinstance(again.by_party, MappingProxyType)


@pytest.mark.parametrize("place", range(9))
def test_no_form_takes_what_belongs_to_another(place: int) -> None:
    record = Everything(7, 0.5, "é", True, None, M61, ("a",), parties(2), {PartyId(4): 1})
    values = msgpack.unpackb(EVERYTHING.encode(record))
    values[2][place] = [values[2][place]]
    with pytest.raises(WireError):
        EVERYTHING.decode(msgpack.packb(values))


def test_a_class_with_a_field_that_cannot_travel_is_refused_when_the_codec_is_built() -> None:
    @dataclasses.dataclass(frozen=True)
    class Loose:
        anything: object

    @dataclasses.dataclass(frozen=True)
    class Words:
        words: frozenset[str]

    for kind in (Loose, Words):
        with pytest.raises(TypeError, match="travel"):
            Codec(kind)


def test_what_carries_secrets_does_not_print_them() -> None:
    for message in (MESSAGES[UnmaskShares], MESSAGES[Result]):
        text = repr(message)
        assert "share=" not in text
        assert "vector=" not in text
