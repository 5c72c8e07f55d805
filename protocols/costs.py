"""What a session sends: bytes of messages as formulas, so that a session of a million need not be held to be priced.

All but `mesh` follow the messages of their protocol field by field, and the tests hold them to encoded sessions; `mesh`
follows PROTOCOLS 3C. All are of a session in which `lost` of n parties vanish before their input leaves, and none
after.
"""

from dataclasses import dataclass
from typing import TypeVar

from protocols.committee.messages import (
    AdvertiseKey,
    Card,
    Certificate,
    Certify,
    Checks,
    CheckValues,
    Committee,
    Contribution,
    Delivery,
    Offer,
    Receipt,
    Receipts,
    SumShare,
    Vow,
    Vows,
)
from protocols.epoch.messages import RoundStart
from protocols.errors import PartyId
from protocols.lightsecagg import messages as light
from protocols.messages import (
    CODEC,
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    Invitation,
    MaskedInput,
    Result,
    Roster,
    ShareKeys,
    Survivors,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.secagg_plus.messages import ChooseHolders, Neighbours
from protocols.secagg_plus.messages import MaskedInput as SparseInput
from protocols.session import NO_RECORD, SessionParams, Subject, Variant, VectorSpec

L = TypeVar("L", int, float)

KEY = 32
SIGNATURE = 64
SHARE = 35
BUNDLE = 86  # two shares and a tag
TAG = 16
MESH_SHARE = 36


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes of messages, without what framing and TLS add.

    up, down: of one party that stays to the end. server: in and out of the server in the whole session, None where
    there is none.
    """

    up: int
    down: int
    server: int | None


@dataclass(frozen=True, slots=True)
class Session:
    """n parties of which `lost` vanish before their input leaves; what they sum."""

    n: int
    lost: int
    spec: VectorSpec
    variant: Variant
    accountable: bool = False

    @property
    def left(self) -> int:
        return self.n - self.lost

    @property
    def signature(self) -> int:
        return SIGNATURE if self.variant is Variant.ACTIVE else 0

    @property
    def result(self) -> int:
        """Bytes of the sum, packed."""
        return -(-self.spec.length * self.spec.field.bits // 8)

    def elements(self, length: int) -> int:
        """Bytes of so many elements, packed."""
        return -(-length * self.spec.field.bits // 8)

    def traffic(self, first: tuple[float, float], then: tuple[float, float]) -> Traffic:
        """From what a party sends and hears before anybody is lost, and after."""
        up, down = first[0] + then[0], first[1] + then[1]
        return Traffic(round(up), round(down), round(self.n * sum(first) + self.left * sum(then)))


def secagg(session: Session) -> Traffic:
    """Bonawitz et al., CCS 2017, as `protocols/secagg` speaks it: every field, to the byte where ids are 0..n-1."""
    n, active = session.n, session.variant is Variant.ACTIVE
    entry = 1 + _party(n) + 2 * _bytes(KEY) + _bytes(session.signature)
    keys = _message(AdvertiseKeys, entry - 1)
    roster = _message(Roster, _list(n, entry), _bytes(session.signature))
    bundles = _pairs(n - 1, n, _bytes(BUNDLE))
    shares = _message(ShareKeys, _bytes(KEY if active else 0), bundles, _bytes(session.signature), _digests(session, n))
    delivered = _message(
        DeliverShares, _bitmap(n), bundles, _bytes(session.signature), _vouchers(session, n - 1, n)
    )  # fmt: skip
    return session.traffic((keys + shares, _invitation(session) + roster + delivered), _from_masked_input(session))


def _digests(session: Session, holders: int) -> int:
    """Of both shares of each holder, which a dealer vouches for."""
    return _bytes(2 * KEY * holders if session.accountable else 0)


def _vouchers(session: Session, dealers: int, holders: int) -> float:
    """One from each dealer: commitment, two digests, the place among so many holders, the path and the signature."""
    if not session.accountable:
        return _list(0, 0)
    voucher = 1 + _bytes(KEY) + _bytes(2 * KEY) + _party(holders) + _bytes(_path(holders)) + _bytes(SIGNATURE)
    return _pairs(dealers, session.n, voucher)


def _answered_for(session: Session) -> int:
    """The signature over what is revealed."""
    return _bytes(SIGNATURE if session.accountable else 0)


def epoch(session: Session, rounds: int) -> Traffic:
    """All of an epoch's sums, as `protocols/epoch` speaks it: `lost` vanish in each round and are back in the next."""
    n = session.n
    entry = 1 + _party(n) + _bytes(KEY) + _list(rounds, _bytes(KEY)) + _bytes(SIGNATURE)
    keys = _message(AdvertiseKeys, entry - 1)
    roster = _message(Roster, _list(n, entry), _bytes(SIGNATURE))
    bundles = _pairs(n - 1, n, _bytes(2 * SHARE * rounds + TAG))
    shares = _message(ShareKeys, _list(rounds, _bytes(KEY)), _bytes(SIGNATURE), bundles)
    invitation = _invitation(session, rounds=rounds)
    params = invitation - _message(Invitation)
    start = _message(RoundStart, _bytes(KEY), 1, params, _bitmap(n), _bytes(SIGNATURE), 1)
    up, down = _from_masked_input(session)
    return session.traffic(
        (keys + shares, invitation + roster + bundles - 1 + rounds * start), (rounds * up, rounds * down)
    )


def _from_masked_input(session: Session) -> tuple[float, float]:
    """Up and down for one who stays: masked input, U3, its confirmations, the shares, the sum."""
    n, left, active = session.n, session.left, session.variant is Variant.ACTIVE
    masked = _message(MaskedInput, _bytes(session.spec.masked_size))
    survivor, dropped = 2 + _bytes(SHARE), 2 + _bytes(KEY if active else SHARE)
    each = 1 + _party(n)
    revealed = _array(n) + left * (each + survivor) + (n - left) * (each + dropped)
    reveals = _message(UnmaskShares, revealed, _answered_for(session))
    survivors = _message(Survivors, _bitmap(n), _bytes(session.signature))
    result = _message(Result, _bitmap(n), _bytes(session.signature), _bytes(session.result))
    confirm = _message(Confirm, _bytes(SIGNATURE)) if active else 0
    request = _message(UnmaskRequest, _pairs(left, n, _bytes(SIGNATURE))) if active else 0
    return masked + confirm + reveals, survivors + request + result


def secagg_plus(session: Session, holders: int, peers: float) -> Traffic:
    """Bell et al., CCS 2020, as `protocols/secagg_plus` speaks it, to the byte but for who happened to draw whom.

    peers: a client's holders and owners together, on average. Curious: no signatures, nobody chooses or confirms.
    """
    n, left, active = session.n, session.left, session.variant is Variant.ACTIVE
    there = (left - 1) / (n - 1)  # of the others, for one who is
    signature = _bytes(session.signature)
    entry = 1 + _party(n) + 2 * _bytes(KEY) + signature
    opened = 1 + entry + _bytes(_path(n))
    roster = _message(Roster, _bitmap(n), _bytes(KEY), signature)
    neighbours = _message(Neighbours, _list(holders, _party(n)), _list(peers + 1, opened))
    chosen = _message(ChooseHolders, _list(holders, _party(n))) if active else 0
    bundles = _pairs(holders, n, _bytes(BUNDLE))
    shares = _message(ShareKeys, _bytes(KEY if active else 0), bundles, signature, _digests(session, holders))
    delivered = _message(DeliverShares, _bitmap(n), bundles, signature, _vouchers(session, holders, holders))
    masked = _message(SparseInput, signature, _bytes(session.spec.masked_size))
    signed = _pairs(peers * there if active else 0, n, 1 + _bytes(KEY) + _bytes(SIGNATURE))
    survivors = _message(Survivors, _bitmap(n), signature, signed)
    confirm = _message(Confirm, _bytes(SIGNATURE)) if active else 0
    request = _message(UnmaskRequest, _pairs(holders * there, n, _bytes(SIGNATURE))) if active else 0
    reveals = _message(UnmaskShares, _pairs(holders, n, 2 + _bytes(SHARE)), _answered_for(session))
    result = _message(Result, _bitmap(n), signature, _bytes(session.result))
    return session.traffic(
        (
            _message(AdvertiseKeys, entry - 1) + chosen + shares,
            _invitation(session, "secagg+") + roster + neighbours + delivered,
        ),
        (masked + confirm + reveals, survivors + request + result),
    )


def drawn_peers(n: int, holders: int) -> float:
    """How many a client masks with, on average, where each draws so many holders: the draws of two may coincide."""
    return 2 * holders - holders**2 / (n - 1)


def mesh(session: Session) -> Traffic:
    """2 m (n - 1) elements and 36 n^2 bytes of shares a party; keys and signatures are not counted. [PROTOCOLS 3C]"""
    each = 2 * (session.n - 1) * session.spec.masked_size + MESH_SHARE * session.n**2
    return Traffic(each, each, None)


def committee(session: Session, aggregators: int, packed: int) -> Traffic:
    """A m / ell elements up, as `protocols/committee` speaks it: every field. [PROTOCOLS 3D]

    The n are clients; A more parties, of the numbers that follow, aggregate and contribute nothing.
    """
    n, left, elements = session.n, session.left, session.elements
    blocks, kappa = -(-session.spec.masked_length // packed), session.spec.canaries
    piece = elements(blocks + kappa) + TAG
    number = (_party(n + aggregators) * (n + aggregators) - _party(n) * n) / aggregators
    signature, clients = _bytes(SIGNATURE), _bitmap(n)

    def of_each(value: float) -> float:
        return _list(aggregators, 1 + number + value)

    key = number + 2 * _bytes(KEY) + signature
    card = _list(aggregators, 1 + key), signature
    contribution = _message(Contribution, _bytes(KEY), signature, _bytes(aggregators * piece))
    invitation = _committee_invitation(session, aggregators)
    result = _message(Result, clients, _bytes(KEY), of_each(signature), signature, _bytes(session.result))
    receipt = clients + _bytes(KEY) + signature
    values = elements(left * kappa)
    said = (
        _message(AdvertiseKey, key)
        + _message(Receipt, receipt)
        + _message(Vow, signature)
        + _message(CheckValues, signature, _bytes(values))
        + _message(Certify, signature)
        + _message(SumShare, signature, _bytes(elements(blocks)))
    )
    delivery = _message(Delivery, _party(n), _bytes(KEY), signature, _bytes(KEY * aggregators), _bytes(piece))
    told = (
        invitation
        + _message(Committee, *card)
        + left * delivery
        + _message(Offer, clients, signature, _bytes(KEY * left))
        + _message(Receipts, of_each(1 + receipt))
        + _message(Vows, of_each(signature))
        + _message(Checks, of_each(signature), _bytes(aggregators * values))
        + _message(Certificate, of_each(signature))
        + result
    )
    clients_traffic = session.traffic((0, invitation + _message(Card, *card)), (contribution, result))
    assert clients_traffic.server is not None
    server = clients_traffic.server + round(aggregators * (said + told))
    return Traffic(clients_traffic.up, clients_traffic.down, server)


def _committee_invitation(session: Session, aggregators: int) -> int:
    subject = Subject(NO_RECORD, 1, NO_RECORD, NO_RECORD, NO_RECORD, NO_RECORD)
    apart = frozenset(map(PartyId, range(session.n, session.n + aggregators)))
    params = SessionParams(subject, session.spec, NO_RECORD, 0, protocol="committee", aggregators=apart)
    return len(CODEC.encode(Invitation(params)))


def lightsecagg(session: Session, pieces: int) -> Traffic:
    """As `protocols/lightsecagg` speaks it: every field, to the byte where ids are 0..n-1. [LightSecAgg, MLSys 2022]

    N / (U - T) m elements of pieces up and as many down, before the masked input; U - T is `pieces`.
    """
    n, left, active = session.n, session.left, session.variant is Variant.ACTIVE
    signature = _bytes(session.signature)
    entry = 1 + _party(n) + _bytes(KEY) + signature
    piece = session.elements(-(-session.spec.masked_length // pieces))
    sealed = _party(n) + _bytes(piece + TAG)
    dealt = _message(light.Dealt, _pairs(n - 1, n, _bytes(KEY)), signature)
    roster = _message(light.Roster, _list(n, entry), signature)
    dealers = _message(light.Dealers, _bitmap(n), signature)
    masked = _message(light.MaskedInput, _bytes(session.spec.masked_size))
    answer = _message(light.AggregatedPiece, _bytes(piece))
    survivors = _message(light.Survivors, _bitmap(n), signature)
    result = _message(light.Result, _bitmap(n), signature, _bytes(session.result))
    confirm = _message(light.Confirm, signature) if active else 0
    request = _message(light.AggregateRequest, _pairs(left, n, signature)) if active else 0
    invitation = _invitation(session, "lightsecagg")
    return session.traffic(
        (
            _message(light.AdvertiseKey, entry - 1) + (n - 1) * _message(light.Piece, sealed) + dealt,
            invitation + roster + (n - 1) * _message(light.Relayed, sealed) + dealers,
        ),
        (masked + confirm + answer, survivors + request + result),
    )


# --- msgpack, as `protocols/wire.py` writes it: sizes of what stands in a message ---


def _message(kind: type, *fields: float) -> float:
    """[version, class name, [fields]]"""
    return 4 + len(kind.__name__) + sum(fields)


def _bytes(length: L) -> L:
    head = 2 if length < 2**8 else 3 if length < 2**16 else 5
    return head + length


def _path(n: int) -> float:
    """Bytes from a leaf to the root of a tree of n leaves, on average: the last of an odd level has no sibling."""
    siblings, width, below = 0.0, n, 1
    while width > 1:
        alone = n - (width - 1) * below if width % 2 else 0
        siblings += 1 - alone / n
        width, below = (width + 1) // 2, 2 * below
    return KEY * siblings


def _array(length: float) -> int:
    return 1 if length < 16 else 3 if length < 2**16 else 5


def _list(length: float, item: float) -> float:
    return _array(length) + length * item


def _pairs(length: float, n: int, value: float) -> float:
    """A mapping from parties of 0..n-1, as pairs."""
    return _list(length, 1 + _party(n) + value)


def _party(n: int) -> float:
    """The number of a party, on average over 0..n-1."""
    longer = max(n - 2**7, 0) + max(n - 2**8, 0) + 2 * max(n - 2**16, 0)
    return 1 + longer / n


def _bitmap(n: int) -> int:
    return _bytes(-(-n // 8))


def _invitation(session: Session, protocol: str = "secagg", rounds: int = 1) -> int:
    """One is encoded: all of its fields but the numbers are of fixed size."""
    subject = Subject(NO_RECORD, 1, NO_RECORD, NO_RECORD, NO_RECORD, NO_RECORD)
    params = SessionParams(
        subject, session.spec, NO_RECORD, 0, variant=session.variant, protocol=protocol, losses=session.lost,
        rounds_per_epoch=rounds, accountable=session.accountable,
    )  # fmt: skip
    return len(CODEC.encode(Invitation(params)))
