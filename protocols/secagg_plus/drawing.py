"""Who holds whose shares: drawn by each client itself, or, where the server is believed, neighbours on a ring."""

from mpc.hashing import digest, kdf
from mpc.prg import Seed
from mpc.randomness import Randomness, SeededRandomness
from protocols.errors import PartyId
from protocols.wire import PartySet

_WORD = 8


def draw_holders(deal_secret: Seed, session: bytes, others: PartySet, degree: int) -> tuple[PartyId, ...]:
    """`degree` of the others, uniform among all such sets, in ascending order.

    All of it follows from the deal secret and D: a client that is restored draws the same again.
    """
    rand = SeededRandomness(kdf(deal_secret.raw, "holders", session))
    left = sorted(others)
    for place in range(degree):
        chosen = place + _below(len(left) - place, rand)
        left[place], left[chosen] = left[chosen], left[place]
    return tuple(sorted(left[:degree]))


def _below(bound: int, rand: Randomness) -> int:
    """Uniform in 0..bound - 1."""
    largest = (1 << 8 * _WORD) // bound * bound
    while (word := int.from_bytes(rand.bytes(_WORD), "little")) >= largest:
        pass
    return word % bound


def ring(session: bytes, u1: PartySet, degree: int) -> dict[PartyId, PartySet]:
    """For each party half of its holders on either side, in an order that D decides. [Bell et al., CCS 2020: Harary]

    The server draws it by its nonce, so it is for a server that follows the protocol. Holders are mutual.
    """
    order = sorted(u1, key=lambda party: digest("label", session, party))
    n = len(order)
    steps = range(1, degree // 2 + 1) if degree < n - 1 else range(1, n)
    return {
        party: frozenset(order[(place + step) % n] for step in steps) | frozenset(order[place - step] for step in steps)
        for place, party in enumerate(order)
    }
