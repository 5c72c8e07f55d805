"""One session at a member of a mesh: drives its machine, and decides when a round is over for it."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

import trio

from mpc.field import FieldVector
from net.control import Standing
from net.driven import Driven
from net.events import BeforeSend
from net.framing import Kind
from net.hall import Event, Hall, Joined, Left, Said, Sent
from net.peer import Peer, in_session
from net.policy import SETTLING, Policy, gather
from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved, WireError
from protocols.family import Family
from protocols.machine import Envelope, Outcome, Peering

log = logging.getLogger("veilsum.party")

Note = Callable[[Event], Awaitable[None]]


class MeshSession:
    """machine: that of `driven`. peers: who has begun it, or is about to. note: for events that are no matter of the
    session. has_left: whether a peer stands elsewhere by now. before_send: None where nobody asked for it.
    floor: the fewest inputs of a sum.
    """

    def __init__(
        self,
        family: Family,
        driven: Driven,
        machine: Peering,
        fl_round: int,
        number: int,
        peers: Mapping[PartyId, Peer],
        hall: Hall,
        floor: int,
        *,
        before_send: BeforeSend | None,
        note: Note,
        has_left: Callable[[PartyId], bool],
    ) -> None:
        self.number = number
        self.machine = machine
        self._family = family
        self._driven = driven
        self._fl_round = fl_round
        self._peers = dict(peers)
        self._hall = hall
        self._floor = floor
        self._before_send = before_send
        self._note = note
        self._has_left = has_left

    async def run(self, vector: FieldVector, early: Iterable[Sent], policy: Policy) -> Outcome:
        """The whole session. early: what came for it before. Raises LocalProtocolError where our ledger forbids it."""
        machine = self.machine
        await self._driven.set_input(vector)
        await self._step(machine.start)
        for party in sorted(self._hall.everybody - self._peers.keys()):
            await self._drop(party, DropReason.VANISHED)
        for sent in early:
            await self._handle(sent)
        while machine.outcome is None:
            await self._hold_round(policy.of(machine.round).patience)
        return machine.outcome

    async def serve(self, sent: Sent) -> None:
        """After the end: whoever lacks something of this session may ask us still."""
        self._peers[sent.party] = sent.peer
        await self._take(sent.party, sent.body)

    # One round, or what is left of it

    async def _hold_round(self, patience: float) -> None:
        """Until the machine goes on by itself, or is told to.

        Whoever can close closes. Who cannot leaves the decision to another as long again; then those who owe something
        are dropped, the proposer too, and the next one may propose: it has as long again too, since its own patience
        ends when everybody's does. Nobody left to wait for and nothing to close is the end.
        """
        machine, where, waited = self.machine, self.machine.round, False

        def moved() -> bool:
            return machine.outcome is not None or machine.round is not where

        while True:
            await self._gather(patience, lambda: moved() or self._is_idle())
            if not moved() and self._is_idle():
                await self._gather(SETTLING, lambda: moved() or not self._is_idle())
            if moved():
                return
            if machine.can_close:
                await self._step(machine.close_round)
            elif self._is_idle():
                await self._step(partial(machine.abort, AbortReason.TOO_FEW))
            elif waited:
                for party in sorted(machine.waiting_for):
                    log.info("round %s: dropping %s, it is too slow", where.value, self._hall.name(party))
                    await self._drop(party, DropReason.TOO_SLOW)
                waited = False
            else:
                waited = True

    def _is_idle(self) -> bool:
        """Nothing is under way that we know of, or too few are left for any sum."""
        here = [party for party in self._peers if not self._has_left(party)]
        return not self.machine.waiting_for or len(here) + 1 < self._floor

    async def _gather(self, patience: float, settled: Callable[[], bool]) -> None:
        await gather(patience, self._hall.next_event, self._handle, settled)

    async def _handle(self, event: Event) -> None:
        match event:
            case Sent(party, peer, self.number) if self._peers.get(party) is peer:
                await self._take(party, event.body)
                return
            case Left(party, peer, reason) if self._peers.get(party) is peer:
                await self._lose(party, reason)
            case Joined(party) if party in self._peers:
                await self._lose(party, DropReason.VANISHED)
        await self._note(event)
        match event:
            case Said(party, peer, Standing()) if self._peers.get(party) is peer and self._is_without_us(event.message):
                await self._lose(party, DropReason.VANISHED)

    def _is_without_us(self, standing: Standing) -> bool:
        """Another session of the same step, or this one as it began before we came."""
        same_step = standing.fl_round == self._fl_round
        return same_step and bool(standing.begun_with) and self._hall.me not in standing.begun_with

    async def _lose(self, party: PartyId, reason: DropReason) -> None:
        await self._drop(party, reason)
        del self._peers[party]

    async def _take(self, party: PartyId, body: bytes) -> None:
        try:
            message = self._family.codec.decode(body)
            await self._step(partial(self.machine.receive, party, message))
        except WireError as exc:
            log.warning("dropping %s: %s", self._hall.name(party), exc)
            await self._drop(party, DropReason.MALFORMED)
        except PeerMisbehaved as exc:
            log.warning("dropping %s: %s: %s", self._hall.name(exc.sender), exc.reason.value, exc.detail)
            await self._drop(exc.sender, exc.reason)

    async def _drop(self, party: PartyId, reason: DropReason) -> None:
        await self._step(partial(self.machine.drop, party, reason))

    # What leaves

    async def _step(self, call: Callable[[], list[Envelope]]) -> None:
        for envelope in await self._driven.step(call):
            if self._before_send is not None:
                await self._have_left()
                self._before_send(self._fl_round, envelope.message)
            parts = in_session(self.number, self._family.codec.encode(envelope.message))
            for party in envelope.recipients:
                if (peer := self._peers.get(party)) is not None:
                    peer.post(Kind.MESSAGE, *parts)

    async def _have_left(self) -> None:
        """For who is told of a message before it leaves: what came before it has left, unless a peer does not read."""
        with trio.move_on_after(SETTLING):
            for peer in list(self._peers.values()):
                await peer.written()
