"""Table A: what secure aggregation adds to a client's bytes.

    python -m examples.tables.a_expansion

Paper: Bonawitz et al., CCS 2017: 1.73 times the bytes of 16-bit values in clear for 2^10 clients and 2^20 values, 1.98
for 2^14 and 2^24 (its abstract). Its formula for what one client sends and hears: 2n aK + (5n - 4) aS + m ceil(log2 R)
bits, keys and shares of 256 bits, R = n (2^16 - 1) + 1.
Compared: that formula, and the bytes of the messages that one client of ours sends and hears, built at their real
number and size and encoded. No session is held. Nobody is lost, as in the formula.
Match: the formula gives 1.73 and 1.98 to two decimals; the curious variant's bytes lie within 3 % of it. The active
variant has a line of its own (signatures, a commitment, the confirmations); so has the sum that our server sends back,
which the paper does not count.
Needs nothing beyond veilsum.
"""

from dataclasses import dataclass

from examples.tables.printing import Table
from mpc.field import PrimeField
from protocols.errors import PartyId
from protocols.messages import (
    CODEC,
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    Invitation,
    MaskedInput,
    Message,
    Result,
    Roster,
    ShareKeys,
    SurvivorReveal,
    Survivors,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.session import NO_RECORD, SessionParams, Subject, Variant, VectorSpec

PUBLISHED = {(2**10, 2**20): 1.73, (2**14, 2**24): 1.98}  # Bonawitz et al., CCS 2017, abstract
BITS = 16  # of a value in clear
KEY_BITS = SHARE_BITS = 256  # aK, aS, ibid.

KEY, SIGNATURE, SHARE, BUNDLE = bytes(32), bytes(64), bytes(35), bytes(86)  # sizes: protocols/messages.py


@dataclass(frozen=True, slots=True)
class Row:
    """Expansions: bytes of one client, sent and heard, over `length` values of 16 bits in clear."""

    n: int
    length: int
    published: float
    formula: float
    curious: float
    active: float
    result: float  # what the sum, sent back, adds to either

    @property
    def off(self) -> float:
        """Of the curious variant, from the formula."""
        return self.curious / self.formula - 1


def field(n: int) -> PrimeField:
    """The smallest that holds every sum of n values. It has as many bits as R."""
    return PrimeField.with_bits((n * (2**BITS - 1)).bit_length())


def formula(n: int, length: int) -> float:
    """The paper's, over the values in clear."""
    r = n * (2**BITS - 1) + 1
    bits: int = 2 * n * KEY_BITS + (5 * n - 4) * SHARE_BITS + length * (r - 1).bit_length()
    return bits / (BITS * length)


def messages(n: int, spec: VectorSpec, variant: Variant) -> list[Message]:
    """What party 0 sends and hears in a session of n parties of which none is lost, but for the sum."""
    active = variant is Variant.ACTIVE
    signature, commitment = (SIGNATURE, KEY) if active else (b"", b"")
    parties = [PartyId(party) for party in range(n)]
    everybody, others = frozenset(parties), parties[1:]
    entries = tuple(AdvertiseKeys(party, KEY, KEY, signature) for party in parties)
    bundles = dict.fromkeys(others, BUNDLE)
    subject = Subject(NO_RECORD, 1, NO_RECORD, NO_RECORD, NO_RECORD, NO_RECORD)
    said: list[Message] = [
        Invitation(SessionParams(subject, spec, NO_RECORD, 0, variant=variant)),
        entries[0],
        Roster(entries, signature),
        ShareKeys(commitment, bundles, signature),
        DeliverShares(everybody, bundles, signature),
        MaskedInput(bytes(spec.masked_size)),
        Survivors(everybody, signature),
        UnmaskShares(dict.fromkeys(parties, SurvivorReveal(SHARE))),
    ]
    return [*said, Confirm(SIGNATURE), UnmaskRequest(dict.fromkeys(parties, SIGNATURE))] if active else said


def counted(n: int, length: int, variant: Variant) -> int:
    """Bytes of these messages, encoded."""
    return sum(len(CODEC.encode(message)) for message in messages(n, VectorSpec(length, field(n)), variant))


def result_bytes(n: int, length: int) -> int:
    """Of the sum over everybody, as the active variant's server sends it back."""
    everybody = frozenset(PartyId(party) for party in range(n))
    return len(CODEC.encode(Result(everybody, SIGNATURE, bytes(field(n).packed_size(length)))))


def row(n: int, length: int) -> Row:
    clear = BITS * length / 8
    return Row(
        n,
        length,
        PUBLISHED[n, length],
        formula(n, length),
        counted(n, length, Variant.CURIOUS) / clear,
        counted(n, length, Variant.ACTIVE) / clear,
        result_bytes(n, length) / clear,
    )


def table() -> Table:
    found = [row(n, length) for n, length in PUBLISHED]
    return Table(
        "Expansion of one client's bytes, sent and heard. [Bonawitz et al., CCS 2017]",
        ("n", "m", "published", "formula", "curious", "off", "active", "off", "the sum back"),
        [
            (
                f"2^{one.n.bit_length() - 1}",
                f"2^{one.length.bit_length() - 1}",
                f"{one.published:.2f}",
                f"{one.formula:.4f}",
                f"{one.curious:.4f}",
                f"{one.off:+.1%}",
                f"{one.active:.4f}",
                f"{one.active / one.formula - 1:+.1%}",
                f"+{one.result:.4f}",
            )
            for one in found
        ],
    )


def main() -> None:
    print(table())


if __name__ == "__main__":
    main()
