"""Sessions drawn by hypothesis: any size, any thresholds, any field, any inputs, anybody lost anywhere."""

import os
from dataclasses import dataclass

from conversation import Room, least_threshold
from hypothesis import settings
from hypothesis import strategies as st

from mpc.field import M31, M61, PrimeField
from protocols.errors import PartyId
from protocols.messages import Round
from protocols.session import Variant

FIELDS = {"M31": M31, "M61": M61, "5": PrimeField(5), "26 bits": PrimeField.with_bits(26)}
FILLS = ("uniform", "zero", "top", "ends")
ANSWERED = tuple(round_ for round_ in Round if round_ is not Round.DONE)


def bounded(examples: int) -> settings:
    """The same examples on every run, so many of them, and nothing written beside the tests.

    `make exhaustive` draws several times as many.
    """
    many = examples * int(os.environ.get("VEILSUM_EXAMPLES", "1"))
    return settings(max_examples=many, derandomize=True, database=None, deadline=None)


@dataclass(frozen=True)
class Session:
    """All that a session depends on, and what it should come to."""

    n: int
    c: int
    threshold: int
    cohort: int
    variant: Variant
    field: str
    fill: str
    vanish: tuple[Round | None, ...]  # party -> the round whose answer of it never comes

    def room(self) -> Room:
        room = Room(
            clients=self.n,
            colluding=self.c,
            threshold=self.threshold,
            cohort=self.cohort,
            variant=self.variant,
            field=FIELDS[self.field],
            length=3,
        )
        top = room.field.modulus - 1
        for party in room.parties:
            if self.fill != "uniform":
                ends = {"zero": (0,), "top": (top,), "ends": (0, top, top if party % 2 else 0)}[self.fill]
                room.inputs[party] = room.field.vector((ends * 3)[:3])
        return room

    @property
    def losses(self) -> dict[int, Round]:
        return {party: round_ for party, round_ in enumerate(self.vanish) if round_ is not None}

    def t(self, clients: int) -> int:
        return max(least_threshold(self.variant, clients, self.c), self.threshold)

    @property
    def floor(self) -> int:
        return max(3, self.c + 2, self.cohort)

    def acceptable(self, clients: int) -> bool:
        return clients >= self.floor and self.t(clients) <= clients

    def survivors(self) -> frozenset[PartyId] | None:
        """U3 of a session that ends with a sum; None where too few are left at some point."""
        return self.room().expected(self.losses)


@st.composite
def sessions(draw: st.DrawFn, most: int, *, least: int = 3, active: bool = False) -> Session:
    """Acceptable before anybody is lost. Losses come in numbers from none to more than can be borne."""
    n = draw(st.integers(least, most))
    variant = Variant.ACTIVE if active else draw(st.sampled_from(Variant))
    c = draw(st.integers(0, draw(st.sampled_from([0, (n - 2) // 2, n - 2]))))
    threshold = draw(st.sampled_from([1, 1, (2 * n + 2) // 3, n]))
    cohort = draw(st.sampled_from([3, 3, (n + 3) // 2, n]))
    lost = draw(st.sets(st.integers(0, n - 1), max_size=draw(st.sampled_from([0, 1, n // 3, n // 2, n]))))
    vanish = tuple(draw(st.sampled_from(ANSWERED)) if party in lost else None for party in range(n))
    drawn = Session(
        n, c, threshold, cohort, variant, draw(st.sampled_from(sorted(FIELDS))), draw(st.sampled_from(FILLS)), vanish
    )
    assert drawn.acceptable(n)
    return drawn
