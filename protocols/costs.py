"""What a session sends: bytes of messages as formulas, so that a session of a million need not be held to be priced.

`secagg` and `secagg_plus` follow their messages field by field and the tests hold them to encoded sessions; the others
follow PROTOCOLS 3C to 3E. All are of a session in which `lost` of n parties vanish before their input leaves, and none
after.
"""

from dataclasses import dataclass
from typing import TypeVar

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
CONFIDENCE_BITS = 64  # of the canaries, and of the committee's degree check


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
    n, left, active = session.n, session.left, session.variant is Variant.ACTIVE
    entry = 1 + _party(n) + 2 * _bytes(KEY) + _bytes(session.signature)
    keys = _message(AdvertiseKeys, entry - 1)
    roster = _message(Roster, _list(n, entry), _bytes(session.signature))
    bundles = _pairs(n - 1, n, _bytes(BUNDLE))
    shares = _message(ShareKeys, _bytes(KEY if active else 0), bundles, _bytes(session.signature))
    delivered = _message(DeliverShares, _bitmap(n), bundles, _bytes(session.signature))
    masked = _message(MaskedInput, _bytes(session.spec.masked_size))
    survivor, dropped = 2 + _bytes(SHARE), 2 + _bytes(KEY if active else SHARE)
    each = 1 + _party(n)
    reveals = _message(UnmaskShares, _array(n) + left * (each + survivor) + (n - left) * (each + dropped))
    survivors = _message(Survivors, _bitmap(n), _bytes(session.signature))
    result = _message(Result, _bitmap(n), _bytes(session.signature), _bytes(session.result))
    confirm = _message(Confirm, _bytes(SIGNATURE)) if active else 0
    request = _message(UnmaskRequest, _pairs(left, n, _bytes(SIGNATURE))) if active else 0
    return session.traffic(
        (keys + shares, _invitation(session) + roster + delivered),
        (masked + confirm + reveals, survivors + request + result),
    )


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
    shares = _message(ShareKeys, _bytes(KEY if active else 0), bundles, signature)
    delivered = _message(DeliverShares, _bitmap(n), bundles, signature)
    masked = _message(SparseInput, signature, _bytes(session.spec.masked_size))
    signed = _pairs(peers * there if active else 0, n, 1 + _bytes(KEY) + _bytes(SIGNATURE))
    survivors = _message(Survivors, _bitmap(n), signature, signed)
    confirm = _message(Confirm, _bytes(SIGNATURE)) if active else 0
    request = _message(UnmaskRequest, _pairs(holders * there, n, _bytes(SIGNATURE))) if active else 0
    reveals = _message(UnmaskShares, _pairs(holders, n, 2 + _bytes(SHARE)))
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
    """A m / ell elements up, sealed to each of A aggregators; the card and the sum down. [PROTOCOLS 3D]"""
    bits = session.spec.field.bits
    blocks = -(-session.spec.masked_length // packed) + -(-CONFIDENCE_BITS // bits)
    sealed = session.elements(blocks) + TAG
    up = aggregators * sealed + 2 * KEY + SIGNATURE
    down = aggregators * (KEY + SIGNATURE) + session.result
    sums = aggregators * session.elements(blocks)
    return Traffic(up, down, session.left * up + session.n * down + sums)


def lightsecagg(session: Session, pieces: int) -> Traffic:
    """N / (U - T) m elements of shares up and as many down, before the masked input. [LightSecAgg, MLSys 2022]"""
    n = session.n
    piece = session.elements(-(-session.spec.masked_length // pieces))
    shares = n * (piece + TAG)
    entry = KEY + session.signature
    confirmed = session.left * session.signature
    return session.traffic(
        (entry + shares, n * entry + shares + n / 8 + session.signature),
        (
            session.spec.masked_size + session.signature + piece,
            n / 8 + session.signature + confirmed + session.result,
        ),
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


def _invitation(session: Session, protocol: str = "secagg") -> int:
    """One is encoded: all of its fields but the numbers are of fixed size."""
    subject = Subject(NO_RECORD, 1, NO_RECORD, NO_RECORD, NO_RECORD, NO_RECORD)
    params = SessionParams(
        subject, session.spec, NO_RECORD, 0, variant=session.variant, protocol=protocol, losses=session.lost
    )
    return len(CODEC.encode(Invitation(params)))
