"""Identity cards and the versioned roster of a consortium: values <-> bytes, signatures checked.

A card ties a name and a TLS root to an Ed25519 identity. The consortium is the public file that every bank and the
coordinator hold alike: who is in it, and what it trains under which terms. Its digest goes into every session.
"""

import json
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mpc.hashing import digest
from mpc.keys import BadSignature, KeyRefused, SigningKey, VerifyKey
from protocols.errors import PartyId
from protocols.session import (
    MOST_ROUNDS_PER_EPOCH,
    NO_COORDINATOR,
    NO_RECORD,
    PROTOCOLS,
    SMALLEST_COHORT,
    SessionParams,
    Subject,
    Variant,
    VectorSpec,
    most_colluders,
    require_accountable,
)
from protocols.wire import PartySet

_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")
_NUMBER_BOUND: Final = 2**31
_CARD_LABEL: Final = "card"
_CONSORTIUM_LABEL: Final = "consortium"


class ConsortiumError(ValueError):
    """This card or this roster cannot be used; the text says what is wrong with it and what to do."""


@dataclass(frozen=True, slots=True)
class Card:
    """Who somebody is: a name, an identity, and the DER certificate of the TLS root that it signed for itself.

    Whoever holds a `Card` holds one whose signature verified; building another raises ConsortiumError.
    """

    name: str
    verify_key: VerifyKey
    tls_root: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConsortiumError(f"{self.name!r} is no name: use 1 to 64 of the characters a-z, 0-9 and -")
        try:
            self.verify_key.verify(self.signature, _CARD_LABEL, self.name, self.tls_root)
        except BadSignature as exc:
            raise ConsortiumError(
                f"the card of {self.name} is not signed by its identity: ask {self.name} for it again"
            ) from exc

    @classmethod
    def issue(cls, name: str, identity: SigningKey, tls_root: bytes) -> "Card":
        """The card of `identity`, signed by it."""
        return cls(name, identity.verify_key, tls_root, identity.sign(_CARD_LABEL, name, tls_root))

    def to_bytes(self) -> bytes:
        return _canonical(self._plain())

    @classmethod
    def from_bytes(cls, data: bytes) -> "Card":
        """Raises ConsortiumError on anything but the one encoding of a card whose signature verifies."""
        try:
            plain = json.loads(data)
            card = cls.from_hex(**plain)
        except (TypeError, ValueError, RecursionError) as exc:
            raise exc if isinstance(exc, ConsortiumError) else ConsortiumError("these bytes are no card") from exc
        if card.to_bytes() != data:
            raise ConsortiumError("a card in an encoding that is not its own")
        return card

    @classmethod
    def from_hex(cls, *, name: str, identity: str, tls_root: str, signature: str) -> "Card":
        """From hexadecimal text. Raises ConsortiumError."""
        try:
            key = VerifyKey(bytes.fromhex(identity))
            return cls(name, key, bytes.fromhex(tls_root), bytes.fromhex(signature))
        except KeyRefused as exc:
            raise ConsortiumError(f"the identity of {name!r} is no key: {exc}") from exc

    def _plain(self) -> dict[str, str]:
        return {
            "name": self.name,
            "identity": self.verify_key.raw.hex(),
            "tls_root": self.tls_root.hex(),
            "signature": self.signature.hex(),
        }


@dataclass(frozen=True, slots=True)
class Consortium:
    """The members in their order (a party's id is its place), their coordinator (a mesh has none), and what all of them
    agreed on.

    colluding, losses: how many parties may side with the coordinator (c) and how many may be lost (d): c + 2d < n.
    aggregators: of a committee, the names of the members that aggregate and contribute nothing; none where each member
    does both. rounds_per_epoch: so many sums follow one exchange of keys. accountable: whoever sends a wrong share is
    proven to have done so.
    training: a JSON-like table that this package does not read. signatures: name of a member -> its signature over the
    digest; those that are there are checked. digest: 32 bytes over everything but the signatures; config_digest: 32
    bytes over the training table. Raises ConsortiumError.
    """

    name: str
    version: int
    members: tuple[Card, ...]
    coordinator: Card | None
    protocol: str
    variant: Variant
    colluding: int
    losses: int
    max_weight: int
    training: Mapping[str, Any]
    signatures: Mapping[str, bytes] = field(default_factory=dict)
    aggregators: tuple[str, ...] = ()
    rounds_per_epoch: int = 1
    accountable: bool = False
    digest: bytes = field(init=False, repr=False, compare=False)
    config_digest: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_terms()
        _require_distinct(list(self.cards))
        object.__setattr__(self, "digest", digest(_CONSORTIUM_LABEL, _canonical(self._plain())))
        object.__setattr__(self, "config_digest", digest("config", _canonical(dict(self.training))))
        for name, signature in self.signatures.items():
            self._check_signature(self.find(name), signature)

    @property
    def cards(self) -> tuple[Card, ...]:
        """The coordinator's first, where there is one."""
        return self.members if self.coordinator is None else (self.coordinator, *self.members)

    @property
    def head(self) -> Card:
        """The coordinator. Raises ConsortiumError where there is none."""
        if self.coordinator is None:
            raise ConsortiumError(f"{self.name} is a mesh and has no coordinator: each member runs its party")
        return self.coordinator

    @property
    def members_by_id(self) -> Mapping[PartyId, VerifyKey]:
        return {PartyId(place): card.verify_key for place, card in enumerate(self.members)}

    @property
    def committee(self) -> PartySet:
        """The members that aggregate and contribute nothing; empty where each does both."""
        return frozenset(PartyId(place) for place, card in enumerate(self.members) if card.name in self.aggregators)

    def subject(self, model: bytes, last_record: bytes = NO_RECORD) -> Subject:
        """What a sum is about, by this file, by the model that a side hashed itself, and by the last record that it
        holds."""
        return Subject(
            consortium=self.digest,
            version=self.version,
            coordinator=NO_COORDINATOR if self.coordinator is None else self.coordinator.verify_key.raw,
            model=model,
            config=self.config_digest,
            last_record=last_record,
        )

    def params(self, subject: Subject, spec: VectorSpec, nonce: bytes) -> SessionParams:
        """One session on the terms of this file. nonce: 32 bytes, fresh."""
        return SessionParams(
            subject=subject,
            spec=spec,
            nonce=nonce,
            colluding=self.colluding,
            variant=self.variant,
            protocol=self.protocol,
            losses=self.losses,
            aggregators=self.committee,
            rounds_per_epoch=self.rounds_per_epoch,
            accountable=self.accountable,
        )

    def find(self, name: str) -> Card:
        """The member of this name. Raises ConsortiumError."""
        for card in self.members:
            if card.name == name:
                return card
        raise ConsortiumError(f"{name!r} is no member of {self.name}: {', '.join(c.name for c in self.members)}")

    def party_of(self, key: VerifyKey) -> PartyId:
        """The place of the member with this identity. Raises ConsortiumError."""
        for party, member in self.members_by_id.items():
            if member == key:
                return party
        raise ConsortiumError(f"no member of {self.name} has the identity {key.fingerprint}: is this its newest file?")

    def signed(self, identity: SigningKey) -> "Consortium":
        """With the signature of one more member."""
        name = self.members[self.party_of(identity.verify_key)].name
        signature = identity.sign(_CONSORTIUM_LABEL, self.digest)
        return replace(self, signatures={**self.signatures, name: signature})

    def _check_signature(self, card: Card, signature: bytes) -> None:
        try:
            card.verify_key.verify(signature, _CONSORTIUM_LABEL, self.digest)
        except BadSignature as exc:
            raise ConsortiumError(
                f"{card.name} signed another content than this: take its signature out or ask it to sign again"
            ) from exc

    def _check_terms(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConsortiumError(f"{self.name!r} is no name: use 1 to 64 of the characters a-z, 0-9 and -")
        if self.protocol not in PROTOCOLS:
            raise ConsortiumError(
                f"the protocol {self.protocol!r} is not known here: use one of {', '.join(PROTOCOLS)}"
            )
        if self.protocol == "mesh" and self.coordinator is not None:
            raise ConsortiumError("a mesh has no coordinator: leave its card out")
        if self.protocol != "mesh" and self.coordinator is None:
            raise ConsortiumError(f"{self.protocol} needs a coordinator: add its card, or agree on a mesh")
        if self.version < 1 or self.max_weight < 1:
            raise ConsortiumError("version and max_weight start at 1")
        if max(self.version, self.max_weight) >= _NUMBER_BOUND:
            raise ConsortiumError(f"version and max_weight stay below {_NUMBER_BOUND}")
        if self.colluding < 0 or self.losses < 0:
            raise ConsortiumError("colluding and losses are counts: use 0 or more")
        if len(self.members) < SMALLEST_COHORT:
            raise ConsortiumError(
                f"{len(self.members)} members: a sum over fewer than {SMALLEST_COHORT} gives inputs away, "
                f"add {SMALLEST_COHORT - len(self.members)}"
            )
        if not 1 <= self.rounds_per_epoch <= MOST_ROUNDS_PER_EPOCH:
            raise ConsortiumError(f"rounds_per_epoch is a number from 1 to {MOST_ROUNDS_PER_EPOCH}")
        self._check_aggregators()
        self._check_accountable()
        _require_room(len(self.members), self.colluding, self.losses)

    def _check_aggregators(self) -> None:
        if self.aggregators and self.protocol != "committee":
            raise ConsortiumError(f"aggregators belong to the protocol 'committee', not to {self.protocol!r}")
        if len(set(self.aggregators)) < len(self.aggregators):
            raise ConsortiumError("an aggregator is named twice: name each once")
        for name in self.aggregators:
            self.find(name)
        if len(self.members) - len(self.aggregators) < SMALLEST_COHORT:
            raise ConsortiumError(
                f"{len(self.members) - len(self.aggregators)} members contribute and a sum covers at least "
                f"{SMALLEST_COHORT}: add members, or let aggregators contribute"
            )

    def _check_accountable(self) -> None:
        try:
            if self.accountable:
                require_accountable(self.protocol, self.variant, self.rounds_per_epoch)
        except ValueError as exc:
            raise ConsortiumError(str(exc)) from exc

    def _plain(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "members": [card._plain() for card in self.members],
            "coordinator": None if self.coordinator is None else self.coordinator._plain(),
            "protocol": self.protocol,
            "variant": self.variant.value,
            "colluding": self.colluding,
            "losses": self.losses,
            "aggregators": list(self.aggregators),
            "rounds_per_epoch": self.rounds_per_epoch,
            "accountable": self.accountable,
            "max_weight": self.max_weight,
            "training": dict(self.training),
        }


def _require_room(members: int, colluding: int, losses: int) -> None:
    """c + 2d < n, and what is left after d losses may still be summed."""
    most = most_colluders(members, losses)
    if most is None:
        raise ConsortiumError(
            f"{members} members cannot lose {losses} and still be summed: plan for fewer losses or add members"
        )
    if colluding > most:
        raise ConsortiumError(
            f"{members} members that may lose {losses} stand {most} colluding parties, not {colluding}: "
            f"colluding + 2 losses must stay below the members, and losses + 2 more than colluding within them"
        )


def _require_distinct(cards: list[Card]) -> None:
    _require_all_differ("name", [(card.name, card.name) for card in cards])
    _require_all_differ("identity", [(card.verify_key.raw, card.name) for card in cards])
    _require_all_differ("TLS root", [(card.tls_root, card.name) for card in cards])


def _require_all_differ(what: str, values: Iterable[tuple[Hashable, str]]) -> None:
    owners: dict[Hashable, str] = {}
    for value, name in values:
        if value in owners:
            raise ConsortiumError(f"{owners[value]} and {name} share one {what}: every card needs its own")
        owners[value] = name


def _canonical(plain: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise ConsortiumError(f"only text, numbers, lists and tables can be agreed on: {exc}") from exc
