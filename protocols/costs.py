"""What a session sends: bytes of messages as formulas, so that a session of a million need not be held to be priced.

`secagg` and `lightsecagg` follow their messages field by field and the tests hold them to encoded sessions; the others
follow PROTOCOLS 3B to 3D. All are of a session in which `lost` of n parties vanish before their input leaves, and none
after.
"""

from dataclasses import dataclass

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
from protocols.session import NO_RECORD, SessionParams, Subject, Variant, VectorSpec

KEY = 32
SIGNATURE = 64
SHARE = 35
BUNDLE = 86  # two shares and a tag
MERKLE_ABOVE = 1_000  # parties from which on a sparse graph's roster is a root, with an opening for each neighbour
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


def secagg_plus(session: Session, holders: int, neighbours: int) -> Traffic:
    """Bell et al., CCS 2020. More neighbours than holders: each client draws its own holders. [PROTOCOLS 3B, K]

    Curious: no signatures, no Confirm, and a client hears the keys of its neighbours only.
    """
    n, active = session.n, session.variant is Variant.ACTIVE
    lost = session.lost / n
    entry = _party(n) + 2 * KEY + session.signature
    if not active:
        roster = neighbours * entry
    elif n > MERKLE_ABOVE:
        roster = (neighbours + 1) * (entry + KEY * (n - 1).bit_length())
    else:
        roster = n * entry
    drawn = holders * _party(n) if neighbours > holders else 0
    bundles = holders * (_party(n) + BUNDLE)
    commitment = KEY if active else 0
    confirmed = holders * (1 - lost) * SIGNATURE if active else 0
    signed_inputs = neighbours * SIGNATURE if active else 0
    leaves = neighbours * lost * (_party(n) + (KEY if active else SHARE))
    return session.traffic(
        (
            entry + drawn + bundles + commitment + session.signature,
            _invitation(session) + roster + drawn + bundles + n / 8 + 2 * session.signature,
        ),
        (
            session.spec.masked_size + 2 * session.signature + holders * (1 - lost) * (_party(n) + SHARE) + leaves,
            2 * n / 8 + 2 * session.signature + signed_inputs + confirmed + session.result,
        ),
    )


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
    invitation = _invitation(session) + len("lightsecagg") - len("secagg")
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


def _bytes(length: int) -> int:
    head = 2 if length < 2**8 else 3 if length < 2**16 else 5
    return head + length


def _array(length: int) -> int:
    return 1 if length < 16 else 3 if length < 2**16 else 5


def _list(length: int, item: float) -> float:
    return _array(length) + length * item


def _pairs(length: int, n: int, value: float) -> float:
    """A mapping from parties of 0..n-1, as pairs."""
    return _list(length, 1 + _party(n) + value)


def _party(n: int) -> float:
    """The number of a party, on average over 0..n-1."""
    longer = max(n - 2**7, 0) + max(n - 2**8, 0) + 2 * max(n - 2**16, 0)
    return 1 + longer / n


def _bitmap(n: int) -> int:
    return _bytes(-(-n // 8))


def _invitation(session: Session) -> int:
    """One is encoded: all of its fields but the numbers are of fixed size."""
    subject = Subject(NO_RECORD, 1, NO_RECORD, NO_RECORD, NO_RECORD, NO_RECORD)
    return len(CODEC.encode(Invitation(SessionParams(subject, session.spec, NO_RECORD, 0, variant=session.variant))))
