"""One session as a process saw it, without a secret."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import trio

from protocols.errors import DropReason, PartyId
from protocols.machine import Collector, Finished, Outcome
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class SessionReport:
    """Of a coordinator, or of a peer.

    dropped: party -> the stage whose answer never came, and why; at a peer: where the peer stood when it lost that one.
    absent: members that were not in the session. bytes_up, bytes_down: by party, from and to it, frames with their
    headers. seconds: from the beginning to the end.
    """

    fl_round: int
    included: frozenset[PartyId]
    dropped: Mapping[PartyId, tuple[StrEnum, DropReason]]
    absent: frozenset[PartyId]
    bytes_up: Mapping[PartyId, int]
    bytes_down: Mapping[PartyId, int]
    seconds: float
    outcome: Outcome


OnReport = Callable[[SessionReport], None]


Traffic = Callable[[PartyId], tuple[int, int]]
"""Bytes from a party and to it, on all its connections so far."""


class Meter:
    """Bytes and seconds of one session with `members`."""

    def __init__(self, members: PartySet, traffic: Traffic) -> None:
        self._start: Final = trio.current_time()
        self._traffic = traffic
        self._before = {party: traffic(party) for party in members}

    def report(
        self, fl_round: int, machine: Collector, outcome: Outcome, everybody: frozenset[PartyId]
    ) -> SessionReport:
        """Now, at the end. everybody: who could have been in it."""
        in_session = self._before.keys() & everybody
        dropped = {party: lost for party, lost in machine.dropped.items() if party in in_session}
        now = {party: self._traffic(party) for party in self._before}
        return SessionReport(
            fl_round=fl_round,
            included=outcome.aggregate.included if isinstance(outcome, Finished) else frozenset(),
            dropped=dropped,
            absent=everybody - in_session,
            bytes_up={party: now[party][0] - came for party, (came, _) in self._before.items()},
            bytes_down={party: now[party][1] - went for party, (_, went) in self._before.items()},
            seconds=trio.current_time() - self._start,
            outcome=outcome,
        )
