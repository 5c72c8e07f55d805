"""Where a session stands at its server: who was asked, who answered, what is enough to go on."""

from collections.abc import Mapping, Set
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Generic, TypeVar

from mpc.keys import VerifyKey
from protocols.errors import DropReason, PartyId
from protocols.evidence import Dispute, Evidence, Verdict
from protocols.machine import Outcome
from protocols.messages import Round
from protocols.secagg.collected import NOBODY, ServerState
from protocols.secagg.neighbours import CompleteGraph, Graph
from protocols.secagg.proofs import Proof
from protocols.secagg.testimony import ROSTER
from protocols.session import SessionParams, Variant
from protocols.wire import PartySet

R = TypeVar("R", bound=StrEnum)


class Progress(Generic[R]):
    """The part of a server that asks and counts, and changes nothing. rounds: those of its protocol, with its names."""

    rounds: ClassVar[type[StrEnum]]

    _params: SessionParams
    _members: Mapping[PartyId, VerifyKey]
    _invited: PartySet
    _state: ServerState

    @property
    def round(self) -> R:
        return self._named(self._state.round)

    @property
    def outcome(self) -> Outcome | None:
        return self._state.outcome

    @property
    def params(self) -> SessionParams:
        return self._params

    @property
    def dropped(self) -> Mapping[PartyId, tuple[R, DropReason]]:
        """Who was lost, with the round whose answer never came. After its last answer nobody can be lost."""
        asked_again = Round.FALLBACK in self._order and not self._state.fallback_for
        unasked = Round.FALLBACK if asked_again else Round.DONE
        return MappingProxyType(
            {
                party: (self._named(loss.round), loss.reason)
                for party, loss in self._state.lost.items()
                if loss.round != unasked
            }
        )

    def _named(self, round_: StrEnum) -> R:
        """Two protocols that share a round have each a name of its own for it, of equal value."""
        named: R = self.rounds(round_.value)  # type: ignore[assignment]  # a class variable cannot be generic
        return named

    @property
    def disputes(self) -> frozenset[Dispute]:
        return frozenset(self._state.disputes)

    @property
    def evidence(self) -> Evidence:
        """Of what came so far, and when the session is over."""
        state = self._state
        return Evidence(
            state.u1, state.u2, state.u3, state.u4, state.u5,
            foundation=self._foundation if state.u1 else b"",
            confirmations=dict(state.confirmations),
            disputes=tuple(sorted(state.disputes)),
            verdicts=self.verdicts,
        )  # fmt: skip

    @property
    def _foundation(self) -> bytes:
        """Of D, once U1 is fixed."""
        return ROSTER.dump(self._state.keys[client] for client in sorted(self._state.u1))

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Who cheated, and how, in order of the party. None in a session that is not accountable."""
        return tuple(sorted({one.verdict for one in self._state.proofs}, key=lambda one: (one.cheater, one.reason)))

    @property
    def proofs(self) -> tuple[Proof, ...]:
        """Of each verdict, for somebody who was not there. Shares are in them."""
        return tuple(self._state.proofs)

    @property
    def u1(self) -> PartySet:
        """Advertised."""
        return self._state.u1

    @property
    def u2(self) -> PartySet:
        """Shared their keys."""
        return self._state.u2

    @property
    def u3(self) -> PartySet:
        """Survivors: their masked input is in the sum."""
        return self._state.u3

    @property
    def u4(self) -> PartySet:
        """Confirmed U3."""
        return self._state.u4

    @property
    def u5(self) -> PartySet:
        """Revealed."""
        return self._state.u5

    @property
    def waiting_for(self) -> PartySet:
        if self._state.outcome is not None:
            return NOBODY
        return self._asked - self._answered - self._state.lost.keys()

    @property
    def can_close(self) -> bool:
        return self._state.outcome is None and len(self._answered) >= self._enough and self._carried

    @property
    def _active(self) -> bool:
        return self._params.variant is Variant.ACTIVE

    @property
    def _asked(self) -> PartySet:
        """Whose answer the round is about."""
        state = self._state
        by_round: dict[StrEnum, PartySet] = {
            Round.ADVERTISE: self._invited,
            Round.SHARE: state.u1,
            Round.MASKED_INPUT: state.u2,
            Round.CONFIRM: state.u3,
            Round.UNMASK: state.u4 if self._active else state.u3,
            Round.FALLBACK: state.u5,
        }
        return by_round.get(state.round, NOBODY)

    @property
    def _answered(self) -> Set[PartyId]:
        state = self._state
        by_round: dict[StrEnum, Set[PartyId]] = {
            Round.ADVERTISE: state.keys.keys(),
            Round.SHARE: state.shares.keys(),
            Round.MASKED_INPUT: state.masked,
            Round.CONFIRM: state.confirmations.keys(),
            Round.UNMASK: state.reveals.keys(),
            Round.FALLBACK: state.fallback.keys(),
        }
        return by_round.get(state.round, NOBODY)

    @property
    def _enough(self) -> int:
        """Answers that the round needs: t, and before U3 is fixed also the fewest inputs of a sum."""
        params = self._params
        if self._state.round == Round.ADVERTISE:
            return max(params.floor, params.threshold_for(len(self._state.keys)))
        if self._state.round in (Round.SHARE, Round.MASKED_INPUT):
            return max(params.floor, self._threshold)
        return self._threshold

    @property
    def _carried(self) -> bool:
        """Whether those who answered can do what the next rounds need of them. Of the complete graph t can."""
        return True

    @property
    def _threshold(self) -> int:
        return self._params.threshold_for(len(self._state.u1))

    @property
    def _graph(self) -> Graph:
        return CompleteGraph(self._state.u1)

    @property
    def _order(self) -> list[StrEnum]:
        """The rounds of this session, each behind the one before it."""
        return [one for one in Round if self._active or one is not Round.CONFIRM]
