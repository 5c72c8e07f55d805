"""Sessions drawn by hypothesis: any size, any thresholds, any field, any inputs, anybody lost anywhere."""

from dataclasses import dataclass

from conversation import Room
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
    """The same examples on every run, so many of them, and nothing written beside the tests."""
    return settings(max_examples=examples, derandomize=True, database=None, deadline=None)


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
        """2t > n + c, or t > c; written down a second time, from PROTOCOLS."""
        least = 2 if self.variant is Variant.CURIOUS else 1
        while not (2 * least > clients + self.c if self.variant is Variant.ACTIVE else least > self.c):
            least += 1
        return max(least, self.threshold)

    @property
    def floor(self) -> int:
        return max(3, self.c + 2, self.cohort)

    def acceptable(self, clients: int) -> bool:
        return clients >= self.floor and self.t(clients) <= clients

    def survivors(self) -> frozenset[PartyId] | None:
        """U3 of a session that ends with a sum; None where too few are left at some point."""
        u1 = self._answering(Round.ADVERTISE)
        if not self.acceptable(len(u1)):
            return None
        t, enough = self.t(len(u1)), max(self.t(len(u1)), self.floor)
        u2 = self._answering(Round.ADVERTISE, Round.SHARE)
        u3 = u2 & self._answering(Round.MASKED_INPUT)
        u4 = u3 & self._answering(Round.CONFIRM) if self.variant is Variant.ACTIVE else u3
        u5 = u4 & self._answering(Round.UNMASK)
        if min(len(u2), len(u3)) < enough or len(u5) < t:
            return None
        if self.variant is Variant.ACTIVE and u2 - u3 and u3 - u5:
            return u3 if len(u5 & self._answering(Round.FALLBACK)) >= t else None
        return u3

    def _answering(self, *rounds: Round) -> frozenset[PartyId]:
        return frozenset(PartyId(party) for party in range(self.n) if self.vanish[party] not in rounds)


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
