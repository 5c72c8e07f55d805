"""Any bytes -> exactly one message, which has these bytes for its one encoding, or WireError."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from random import Random

from fuzz_mutations import MSGPACK, of_trees
from fuzz_recorded import NAMES, Moment, distinct, messages, recorded
from fuzz_target import OneInput, Target, require

from net.control import (
    CONTROL,
    RUN_BYTES,
    Claim,
    Finished,
    Grant,
    Hello,
    Leave,
    Offer,
    Over,
    Ready,
    Reason,
    Records,
    Refused,
    Resumed,
    Standing,
    Task,
    Want,
    WantRecords,
    Welcome,
)
from protocols.epoch.epochs import ClientEpoch
from protocols.errors import SERVER, AbortReason, LocalProtocolError, PartyId, WireError
from protocols.families import FAMILIES, family_of
from protocols.ledger import LastSum, Ledger, OpenSession, RevealedSum
from protocols.mesh.messages import Equivocation, Fetch, Round, Signed
from protocols.messages import Abort
from protocols.session import WIRE
from protocols.wire import LARGEST_TREE, Codec

Seeds = Callable[[], Sequence[bytes]]

_DIGEST, _SIGNATURE = bytes(range(32)), bytes(range(64))
_PARTIES = frozenset(map(PartyId, (0, 2, 19)))


def _as_it_was(codec: Codec, data: bytes) -> None:
    try:
        message = codec.decode(data)
    except WireError:
        return
    require(codec.encode(message) == data, "a message with a second encoding")


# Messages


def _family_target(name: str, codec: Codec, share: int, cases: Sequence[str]) -> Target:
    @cache
    def seeds() -> Sequence[bytes]:
        return (*messages(*cases), *(codec.encode(one) for one in _unsaid(name)))

    return _tree_target(f"wire-{name}", partial(_as_it_was, codec), seeds, share)


def _unsaid(family: str) -> list[object]:
    """What nobody says in the recorded sessions."""
    if family == "mesh":
        one, other = Signed(_DIGEST, _SIGNATURE), Signed(_DIGEST[::-1], _SIGNATURE)
        return [Fetch(_DIGEST), Equivocation(Round.EXPLICIT, _DIGEST, PartyId(3), one, other)]
    return [Abort(AbortReason.REFUSED, PartyId(3))] if family not in ("committee", "mesh") else []


def _tree_target(name: str, one_input: OneInput, seeds: Seeds, share: int, behind: int = 0) -> Target:
    def mutate(data: bytes, chance: Random) -> bytes:
        return _trees(seeds, behind)(data, chance)

    return Target(name, one_input, seeds, share, mutate=mutate)


@cache
def _trees(seeds: Seeds, behind: int) -> Callable[[bytes, Random], bytes]:
    return of_trees(seeds(), MSGPACK, behind=behind)


def controls() -> Sequence[bytes]:
    said = (
        Hello(WIRE, _DIGEST, 1_800_000_000), Hello(WIRE, _DIGEST, 1_800_000_000, Claim(bytes(RUN_BYTES), 3, 2)),
        Welcome(), Refused(Reason.CLOCK, "set both"), Records(4, _DIGEST), WantRecords(2),
        Task(3, 1, _DIGEST, bytes(RUN_BYTES)), Resumed(3, 2), Leave(),
        Want(_DIGEST), Ready(3), Offer(3, 2**20), Grant(3), Over(3), Finished(9, _DIGEST),
        Standing(2, _DIGEST, 1, _PARTIES),
    )  # fmt: skip
    return [CONTROL.encode(one) for one in said]


# What a process keeps for itself


def _ledger(data: bytes) -> None:
    """Bytes -> a ledger of these bytes, or WireError; the same for an epoch, told apart by the first byte."""
    read = Ledger.from_bytes if data[:1] == b"\0" else ClientEpoch.from_bytes
    try:
        kept = read(data[1:])
    except WireError:
        return
    require(kept.to_bytes() == data[1:], "a second encoding")


def _ledgers() -> Sequence[bytes]:
    sums = tuple(RevealedSum(bytes([place]) * 32, _DIGEST, place, _PARTIES) for place in range(3))
    full = Ledger((OpenSession(_DIGEST, 3),), sums, LastSum(_DIGEST, _PARTIES, (frozenset(), _PARTIES)))
    epochs = [machine.epoch for machine in recorded("epoch-later").room.machines().values()]
    kept = [epoch.to_bytes() for epoch in epochs if isinstance(epoch, ClientEpoch)]
    return [b"\0" + Ledger().to_bytes(), b"\0" + full.to_bytes(), *(b"\1" + epoch for epoch in kept[:1])]


@cache
def _moments() -> Sequence[tuple[str, Moment]]:
    """Of each case each state of its server and of one of the others, up to 256 in all."""
    kept: list[tuple[str, Moment]] = []
    for name in NAMES:
        recording = recorded(name)
        for party in (SERVER, recording.room.parties[0]):
            kept += [(name, one) for one in distinct(recording.moments) if one.party == party][:12]
    return kept[:256]


def _restored(data: bytes) -> None:
    """Any bytes where a snapshot belongs -> the machine of this snapshot, or WireError, or LocalProtocolError.

    The first byte says whose snapshot it should be, with which ledger.
    """
    name, moment = _moments()[(data[0] if data else 0) % len(_moments())]
    recording = recorded(name)
    try:
        machine = recording.case.wake(recording.room, moment.party, data[1:], moment.ledger)
    except (WireError, LocalProtocolError):
        return
    require(machine.snapshot() == data[1:], "a machine that is not the one of its snapshot")


def _snapshots() -> Sequence[bytes]:
    return [bytes([place]) + moment.snapshot for place, (_, moment) in enumerate(_moments())]


# Messages that are mostly one vector: they are parsed in another way

_FILLING = bytes(LARGEST_TREE)


def _large(data: bytes) -> None:
    """As of the others, with a long row of zeros behind. The first byte says of which family the message is."""
    codecs = [family.codec for family in FAMILIES.values()]
    _as_it_was(codecs[(data[0] if data else 0) % len(codecs)], data[1:] + _FILLING)


def _large_heads() -> Sequence[bytes]:
    """Of every message whose last field may be long."""
    heads = []
    for place, (name, family) in enumerate(FAMILIES.items()):
        for data in messages(*_CASES[name]):
            message = family.codec.decode(data)
            last = list(type(message).__dataclass_fields__)[-1]
            if isinstance(getattr(message, last), bytes) and last not in ("signature", "nonce", "path"):
                long = family.codec.encode(replace(message, **{last: _FILLING}))
                heads.append(bytes([place]) + long[: -len(_FILLING)])
    return heads


_CASES = {
    "secagg": ("secagg-active", "secagg-curious"),
    "secagg+": ("secagg+-active", "secagg+-curious"),
    "mesh": ("mesh",),
    "committee": ("committee", "committee-apart"),
    "lightsecagg": ("lightsecagg-active", "lightsecagg-curious"),
    "epoch": ("epoch-first", "epoch-later"),
}
_CODECS = {name: family.codec for name, family in FAMILIES.items()} | {"epoch": family_of("secagg", 2).codec}

TARGETS = (
    *(_family_target(name, codec, 6000, _CASES[name]) for name, codec in _CODECS.items()),
    _tree_target("wire-control", partial(_as_it_was, CONTROL), controls, 4000),
    _tree_target("wire-large", _large, _large_heads, 150),
    _tree_target("kept-ledger", _ledger, _ledgers, 4000, behind=1),
    _tree_target("kept-snapshot", _restored, _snapshots, 600, behind=1),
)
