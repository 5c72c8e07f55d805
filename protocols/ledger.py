"""What a party has answered before, as a value: it says yes or no to the next step; whoever drives it keeps it.

Two guards (PROTOCOLS rules 12 and 13). A snapshot is taken up again only if it is the last one that was written. And a
sum that this party helped to open is not opened a second time over other members, so that the difference of two sums
names nobody. Every change gives a new `Ledger`; nothing here is secret, and nothing here is ever restored from a copy.

What is never forgotten: one entry a key, some 80 bytes. A model is passed once, but a coordinator can bring an old one
back, and only the entry says that it is old. 10,000 training rounds are 0.8 MB.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, Protocol

from mpc.hashing import digest
from protocols.errors import SERVER, DropReason, LocalProtocolError, PeerMisbehaved
from protocols.session import Subject, Terms
from protocols.wire import Codec, PartySet, Size

Digest = Annotated[bytes, Size(32)]

ONE_VERSION = bytes(32)
"""The local data version of a party that does not tell its versions apart."""


def differencing_key(subject: Subject, local_version: bytes = ONE_VERSION) -> bytes:
    """What a sum is about: two sums of one key differ in nothing but in who is in them. [PROTOCOLS rule 13]"""
    return digest("differencing", subject.model, subject.config, local_version)


def contribution_key(key: bytes) -> bytes:
    """Under which a party counts what it contributed to sums of this key, where it is not asked again before they are
    opened and does not know over whom.
    """
    return digest("differencing, contributed", key)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that has not ended. seq: how many steps its client has taken."""

    session: Digest
    seq: int


@dataclass(frozen=True, slots=True)
class RevealedSum:
    """We sent UnmaskShares for a sum of this key.

    members: hash of the identities in it. times: how often. changed: who was in one of this sum and the one before and
    not in the other, where they were fewer than our terms ask for.
    """

    key: Digest
    members: Digest
    times: int
    changed: PartySet


@dataclass(frozen=True, slots=True)
class LastSum:
    """The last sum that we sent UnmaskShares for. consortium: whose numbers of parties these are.

    earlier: the other sets that we did so for, each once. A coordinator that wants to compare two sums puts any third
    one between them.
    """

    consortium: Digest
    u3: PartySet
    earlier: tuple[PartySet, ...] = ()


@dataclass(frozen=True, slots=True)
class SmallChange:
    """Two sums differ in a few members: their difference is about those few. earlier: it is not the last sum that this
    one is close to, but one before it."""

    joined: PartySet
    left: PartySet
    earlier: bool = False

    def __str__(self) -> str:
        came, gone = (" and ".join(f"party {one}" for one in sorted(who)) for who in (self.joined, self.left))
        parts = [f"{came} joined"] if came else []
        parts += [f"{gone} left"] if gone else []
        since = "since a sum before the last" if self.earlier else "since the last sum"
        return f"{since} {', '.join(parts)}: what sets the two sums apart says something of so few"


@dataclass(frozen=True, slots=True)
class SummedAgain:
    """This party answered for a sum of the same step before, and that session gave it no result."""

    times: int

    def __str__(self) -> str:
        return f"this step is summed again: our answer for it has left {self.times} times before"


Caution = SmallChange | SummedAgain
"""A warning as a value; `str` is the line for a log."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """The whole of it. sessions in order of their names, sums in order of their keys, each once (ValueError).

    One session at a time takes and gives it: whoever drives several hands each the newest.
    """

    sessions: tuple[OpenSession, ...] = ()
    sums: tuple[RevealedSum, ...] = ()
    last: LastSum | None = None

    def __post_init__(self) -> None:
        for names in ([one.session for one in self.sessions], [one.key for one in self.sums]):
            if any(low >= high for low, high in pairwise(names)):
                raise ValueError("a ledger's entries are in order, each once")

    def to_bytes(self) -> bytes:
        """Canonical: equal ledgers, equal bytes."""
        return _CODEC.encode(self)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Ledger":
        """Raises WireError unless `to_bytes` made them."""
        ledger: Ledger = _CODEC.decode(data)
        return ledger

    # Rule 12: which snapshot is the last

    def seq(self, session: bytes) -> int | None:
        """The steps that the client of this session has taken; None where it is not open."""
        return next((one.seq for one in self.sessions if one.session == session), None)

    def require_last(self, session: bytes, seq: int) -> None:
        """Raises LocalProtocolError unless the last snapshot of this session is the one of step `seq`."""
        newest = self.seq(session)
        if newest is None:
            raise LocalProtocolError(
                "the ledger does not know this snapshot's session: it was given up, or the ledger is an older one, and "
                "the snapshot is not the last one; throw the snapshot away and join the next session"
            )
        if newest != seq:
            raise LocalProtocolError(
                f"this snapshot is of step {seq} of its session and the ledger says {newest}: it is not the last one; "
                f"throw it away and join the next session"
            )

    def moved(self, session: bytes, seq: int) -> "Ledger":
        """The session has taken another step."""
        others = [one for one in self.sessions if one.session != session]
        moved = sorted([*others, OpenSession(session, seq)], key=lambda one: one.session)
        return replace(self, sessions=tuple(moved))

    def ended(self, session: bytes) -> "Ledger":
        return replace(self, sessions=tuple(one for one in self.sessions if one.session != session))

    def burnt(self, *, but: bytes | None = None) -> "Ledger":
        """Every open session is given up: no snapshot of them can be taken up again. but: the name of an epoch that its
        party holds and goes on with."""
        return replace(self, sessions=tuple(one for one in self.sessions if one.session == but))

    # Rule 13: which sum may be opened

    def times(self, key: bytes) -> int:
        """How often we sent UnmaskShares for a sum of this key."""
        known = self._revealed(key)
        return known.times if known else 0

    def check_attempt(self, key: bytes, terms: Terms) -> None:
        """Whether we contribute to a sum of this key at all. Raises PeerMisbehaved."""
        if (times := self.times(key)) > terms.retries_after_reveal:
            raise PeerMisbehaved(
                SERVER,
                DropReason.SUMMED_BEFORE,
                f"our shares for this step have left {times} times, our terms allow {terms.retries_after_reveal} more "
                f"than the first: go on from the next step, or agree on a new configuration",
            )

    def check_survivors(self, key: bytes, terms: Terms, u3: PartySet) -> tuple[Caution, ...]:
        """Whether we confirm this U3, and what to say of it. Raises PeerMisbehaved."""
        known = self._revealed(key)
        if known and known.members != _members(terms, u3):
            raise PeerMisbehaved(
                SERVER,
                DropReason.SUMMED_BEFORE,
                "our shares for a sum of this step over other members have left: a second sum would show by its "
                "difference what those gave who are in one of them only",
            )
        change = self._small_change(terms, u3) or self._small_change_since_earlier(terms, u3)
        if change and terms.strict:
            raise PeerMisbehaved(
                SERVER,
                DropReason.SMALL_CHANGE,
                f"{change}; our terms are strict and ask for {terms.smallest_change} or none",
            )
        told = change and not (change.earlier and u3 in self._sets(terms))  # a set that was there before is no news
        return (*([SummedAgain(known.times)] if known else []), *([change] if change and told else []))

    def contributed(self, key: bytes) -> "Ledger":
        """Our contribution, which others open without us, leaves. key: of `contribution_key`."""
        entry = RevealedSum(key, bytes(32), self.times(key) + 1, frozenset())
        sums = sorted([*(one for one in self.sums if one.key != key), entry], key=lambda one: one.key)
        return replace(self, sums=tuple(sums))

    def revealed(self, key: bytes, terms: Terms, u3: PartySet) -> "Ledger":
        """Our UnmaskShares for this sum leave."""
        change = self._small_change(terms, u3)
        entry = RevealedSum(
            key, _members(terms, u3), self.times(key) + 1, change.joined | change.left if change else frozenset()
        )
        sums = sorted([*(one for one in self.sums if one.key != key), entry], key=lambda one: one.key)
        last = LastSum(terms.subject.consortium, u3, tuple(one for one in self._sets(terms) if one != u3))
        return replace(self, sums=tuple(sums), last=last)

    def _revealed(self, key: bytes) -> RevealedSum | None:
        return next((one for one in self.sums if one.key == key), None)

    def _small_change(self, terms: Terms, u3: PartySet) -> SmallChange | None:
        """Against the last sum."""
        return next((_change(one, u3, terms) for one in self._sets(terms)[-1:]), None)

    def _small_change_since_earlier(self, terms: Terms, u3: PartySet) -> SmallChange | None:
        changes = (_change(one, u3, terms) for one in self._earlier(terms))
        return next((replace(change, earlier=True) for change in changes if change), None)

    def _earlier(self, terms: Terms) -> tuple[PartySet, ...]:
        return self._sets(terms)[:-1]

    def _sets(self, terms: Terms) -> tuple[PartySet, ...]:
        """Those that we sent UnmaskShares for, the last one at the end; of the same consortium: in another one the
        numbers stand for other members."""
        if self.last is None or self.last.consortium != terms.subject.consortium:
            return ()
        return (*self.last.earlier, self.last.u3)


def _change(before: PartySet, u3: PartySet, terms: Terms) -> SmallChange | None:
    """None where the two are the same set, or far enough apart."""
    change = SmallChange(joined=u3 - before, left=before - u3)
    return change if 0 < len(change.joined) + len(change.left) < terms.smallest_change else None


_CODEC = Codec(Ledger, own=True)

NOTHING_ANSWERED = Ledger()


def _members(terms: Terms, u3: PartySet) -> bytes:
    """By identity: another consortium file may give a member another number. All keys are equally long."""
    keys = map(terms.members.__getitem__, u3)
    return digest("members", b"".join(sorted([key.raw for key in keys])))


class Keeper(Protocol):
    """Where a party's ledger outlives its process: a file beside its model, or what a framework offers."""

    def read(self) -> Ledger:
        """The newest; empty where nothing was ever written. Raises where it is damaged."""

    def write(self, ledger: Ledger) -> None:
        """Returns when it is on disk, whole."""

    def held(self) -> AbstractContextManager[None]:
        """While it lasts no other process answers under this identity. Raises where one does."""
