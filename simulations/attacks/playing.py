"""One session of n parties, c of which collude with a coordinator that lies, at a threshold t: every view of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from unittest.mock import patch

import numpy as np

from protocols import session
from protocols.errors import PartyId
from simulations.attacks.attack import Attack, Learnt
from simulations.attacks.cast import Cast
from simulations.attacks.lying import LyingServer, parties
from simulations.attacks.search import Finding, smallest_sum
from simulations.attacks.views import Playbook, View


@dataclass
class Played:
    """A session of n parties, the last c of which collude with the coordinator, in every view."""

    n: int
    c: int
    t: int

    def __post_init__(self) -> None:
        self.playbook = Playbook(self.liar())

    def liar(self) -> LyingServer:
        return LyingServer(Cast(clients=self.n, colluding=self.c, threshold=self.t, length=2))

    @cached_property
    def views(self) -> dict[int, list[View]]:
        """Of every honest client."""
        return {client: self.playbook.views(PartyId(client)) for client in range(self.n - self.c)}

    def smallest_sum(self, enough: int = 0) -> Finding | None:
        """As `search.smallest_sum`: it stops at the first sum of at most so many inputs."""
        return smallest_sum(self.views, parties=self.n, threshold=self.t, enough=enough)

    def carry_out(self, finding: Learnt) -> bool:
        """Whether the sum of exactly these inputs, and zeros behind it, comes out of the bytes that clients gave."""
        found = Attack(self.playbook, finding, self.t).honest_sum()
        room = self.playbook.server.room
        expected = room.plain_sum(parties(finding.members))
        return np.array_equal(found[: room.length], expected) and not found[room.length :].any()


def every_threshold(n: int) -> list[tuple[int, int, int]]:
    """All (n, c, t) with two honest parties at least."""
    return [(n, c, t) for c in range(n - 1) for t in range(1, n + 1)]


@contextmanager
def without_the_rule(threshold: int) -> Iterator[None]:
    """Parties take this threshold whatever the rule gives, and a sum of any size: what the rule is there to prevent.

    The floor would forbid small sets by itself, so that nothing could be said of the threshold.
    """
    with (
        patch.object(session, "smallest_threshold", lambda variant, clients, colluding: threshold),
        patch.object(session, "smallest_cohort", lambda colluding, cohort=1: 1),
    ):
        yield
