"""What a session can show of itself when it is over, without a secret: its sets, and what its members signed.

A machine gives `Evidence`; a protocol's `testimony` works out from it what must have been signed, so that whoever has
the members' public keys can check it later, offline. Each protocol has its own bindings, so each has its own function.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Any, Final

from mpc.hashing import Part
from mpc.keys import BadSignature, VerifyKey
from protocols.errors import PartyId, WireError
from protocols.session import SessionParams
from protocols.wire import Codec, PartySet, Size

Signature = Annotated[bytes, Size(64)]

NOBODY: Final[PartySet] = frozenset()

Statement = tuple[str, *tuple[Part, ...]]
"""What a signature is over: a label that no other statement has, a digest, and a body."""


class EvidenceRefused(ValueError):
    """These sets and signatures are not what a session leaves behind. The text says what does not fit."""


@dataclass(frozen=True, slots=True, order=True)
class Dispute:
    """What `holder` has, or says it has, of a secret of `dealer` does not fit. One of the two is at fault, or whoever
    carried it; which, is open. Of shares that holds while at most half of the answers beyond t are lies: more liars can
    make honest shares look wrong, though never a wrong secret right. Accountable sessions have no such bound.
    """

    dealer: PartyId
    holder: PartyId


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who broke the protocol, by evidence that its own signature is part of."""

    cheater: PartyId
    reason: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of one session, as far as it came. Nothing in it is secret.

    u1..u5: advertised, shared, in the sum, confirmed it, revealed; empty where the session, or the protocol, never had
    them. A committee has aggregators in u1, u4 and u5, and those who contributed in u2 and u3.
    foundation: what the confirmed digest is made of beside the session's parameters and these sets, in a form of the
    protocol's own: public keys and digests. confirmations: signatures of u4 on the session and u3.
    """

    u1: PartySet = NOBODY
    u2: PartySet = NOBODY
    u3: PartySet = NOBODY
    u4: PartySet = NOBODY
    u5: PartySet = NOBODY
    foundation: bytes = b""
    confirmations: Mapping[PartyId, Signature] = field(default_factory=dict)
    disputes: tuple[Dispute, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def parties(self) -> PartySet:
        """Everybody who is named in it."""
        disputed = {party for one in self.disputes for party in (one.dealer, one.holder)}
        sets = self.u1 | self.u2 | self.u3 | self.u4 | self.u5
        return sets | self.confirmations.keys() | disputed | {one.cheater for one in self.verdicts}


@dataclass(frozen=True, slots=True)
class Claim:
    """A signature, whose it is, and what it is over."""

    party: PartyId
    signature: bytes
    statement: Statement

    def verify(self, members: Mapping[PartyId, VerifyKey]) -> None:
        """Raises EvidenceRefused."""
        try:
            members[self.party].verify(self.signature, *self.statement)
        except (KeyError, BadSignature) as exc:
            raise EvidenceRefused(f"party {self.party} did not sign {self.statement[0]!r} of this session") from exc


@dataclass(frozen=True, slots=True)
class Testimony:
    """What evidence amounts to, worked out from it and from the session's parameters alone.

    joined: that each of U1 takes part in this session; empty where no such signatures are kept. statement: what those
    who confirmed have signed, the session and U3; None where U3 was never fixed, and in the curious variant.
    quorum: confirmations that a sum needs, 0 where nobody confirms. electorate: how many could have given one.
    """

    joined: tuple[Claim, ...] = ()
    statement: Statement | None = None
    confirmations: Mapping[PartyId, bytes] = field(default_factory=dict)
    quorum: int = 0
    electorate: int = 0

    @property
    def claims(self) -> Iterator[Claim]:
        yield from self.joined
        if self.statement is not None:
            for party, signature in self.confirmations.items():
                yield Claim(party, signature, self.statement)

    def excludes_another(self, colluding: int) -> bool:
        """Whether no other set of the same electorate can have been confirmed by as many, unless more than `colluding`
        signed both."""
        return 2 * len(self.confirmations) > self.electorate + colluding


@dataclass(frozen=True, slots=True)
class Seen:
    """What a party knows of a session that it is in: the parameters that it took, and what it signed of U3, if it
    did."""

    params: SessionParams
    confirmed: Statement | None


class RosterFormat:
    """A roster as it was shown, as the `foundation` of evidence: with I, D follows from it.

    foundation: a frozen class whose one field, `entries`, is a tuple of what clients advertised.
    """

    def __init__(self, foundation: Any) -> None:
        self._foundation, self._codec = foundation, Codec(foundation)

    def dump(self, entries: Iterable[Any]) -> bytes:
        """entries: of U1, in order of id."""
        return self._codec.encode(self._foundation(tuple(entries)))

    def load(self, evidence: Evidence) -> tuple[Any, ...]:
        """Raises EvidenceRefused unless it is a roster of exactly U1."""
        try:
            entries: tuple[Any, ...] = self._codec.decode(evidence.foundation).entries
        except WireError as exc:
            raise EvidenceRefused("no roster of a session") from exc
        if [entry.client for entry in entries] != sorted(evidence.u1):
            raise EvidenceRefused("its roster is not U1")
        return entries


def require_sets(evidence: Evidence, electors: PartySet) -> None:
    """Whether the sets nest as in every protocol: U1 ⊇ U2 ⊇ U3 ⊇ U5, and U4 are electors. Raises EvidenceRefused."""
    require_nested(evidence.u1, evidence.u2, evidence.u3, evidence.u5)
    require_confirmed(evidence, electors)


def require_nested(*sets: PartySet) -> None:
    """Raises EvidenceRefused unless each is a part of the one before it."""
    if any(not inner <= outer for outer, inner in pairwise(sets)):
        raise EvidenceRefused("the sets of its parties do not nest")


def require_confirmed(evidence: Evidence, electors: PartySet) -> None:
    """Raises EvidenceRefused where others than these confirmed, or U4 is not who did."""
    if not evidence.confirmations.keys() <= electors:
        raise EvidenceRefused("a confirmation of somebody who has none to give")
    if evidence.u4 and evidence.u4 != evidence.confirmations.keys():
        raise EvidenceRefused("U4 is not who confirmed")
    if evidence.confirmations and not evidence.u3:
        raise EvidenceRefused("confirmations, and nothing that they are about")
