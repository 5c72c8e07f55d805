"""Before a session: who is there holds the payload, and says so."""

import logging
from collections.abc import Callable, Iterable

from net.control import Claim, Ready, Refused, Resumed, Task, Want, WantRecords
from net.framing import Kind
from net.hall import Event, Hall, Joined, Left, Said
from net.past import Past
from net.peer import Peer
from net.policy import SETTLING, RoundPolicy, gather
from net.recorder import Recorder
from protocols.errors import PartyId

AreEnough = Callable[[Iterable[PartyId]], bool]

log = logging.getLogger("veilsum.coordinator")


class Asking:
    """Gives the task to all who are connected, what they lack for it, and counts who is ready.

    past: the session before, in this process. Who let the patience of an earlier task go by, or
    left before it answered one, is asked too, and the others wait for it a moment and no longer.
    """

    def __init__(
        self,
        hall: Hall,
        policy: RoundPolicy,
        task: Task,
        payload: bytes,
        *,
        past: Past | None,
        recorder: Recorder,
        are_enough: AreEnough,
    ) -> None:
        self._hall = hall
        self._past = past
        self._recorder = recorder
        self._are_enough = are_enough
        self._task = task
        self._payload = payload
        self._ready: dict[PartyId, Peer] = {}
        self._asked: dict[PartyId, Peer] = {}
        self._given: set[Peer] = set()
        self._policy = policy

    async def run(self) -> dict[PartyId, Peer]:
        for party, peer in self._hall.peers.items():
            self._ask(party, peer)
        await self._gather(self._policy.patience, self._all_but_late)
        if self._are_enough(self._ready):
            await self._gather(SETTLING, self._all)
        self._hall.late |= self._asked.keys()
        return self._ready

    def _all(self) -> bool:
        return not (self._asked or self._missed)

    def _all_but_late(self) -> bool:
        late = self._hall.late if self._are_enough(self._ready) else frozenset[PartyId]()
        return not (self._asked.keys() - late or self._missed)

    @property
    def _missed(self) -> bool:
        """Whose connection broke may be back in a moment."""
        return bool(self._hall.away) and not self._policy.enough(len(self._ready))

    async def _gather(self, patience: float, settled: Callable[[], bool]) -> None:
        await gather(patience, self._hall.next_event, self._handle, lambda: self._hall.stopping or settled())

    def _ask(self, party: PartyId, peer: Peer) -> None:
        self._ready.pop(party, None)
        self._asked[party] = peer
        if self._past is not None:
            self._past.tell(party, peer, self._hall.claims.pop(party, None))
        self._recorder.announce(peer)
        peer.say(self._task)

    def _is_in_it(self, party: PartyId, peer: Peer) -> None:
        """It took the task before its connection broke."""
        self._asked.pop(party, None)
        self._ready[party] = peer
        peer.say(Resumed(self._task.session, 0))

    async def _handle(self, event: Event) -> None:
        match event:
            case Joined(party, peer, Claim(self._task.run, self._task.session)):
                self._is_in_it(party, peer)
            case Joined(party, peer):
                self._ask(party, peer)
            case Left(party, peer) if peer in (self._asked.get(party), self._ready.get(party)):
                if self._asked.pop(party, None) is peer:
                    self._hall.late.add(party)
                self._ready.pop(party, None)
            case Said(_, peer, WantRecords(after)):
                await self._recorder.give(peer, after)
            case Said(party, peer, message) if self._asked.get(party) is peer:
                self._answered(party, peer, message)

    def _answered(self, party: PartyId, peer: Peer, message: object) -> None:
        match message:
            case Ready(session=self._task.session):
                self._ready[party] = self._asked.pop(party)
                self._hall.late.discard(party)
            case Want(payload=self._task.payload) if peer not in self._given:  # an older task may have made it ask too
                self._given.add(peer)
                peer.post(Kind.PAYLOAD, self._payload)
            case Refused(text=text):
                del self._asked[party]
                log.warning("%s does not take part in step %d: %s", self._hall.name(party), self._task.fl_round, text)
