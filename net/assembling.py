"""Before a session: who is there holds the payload, and says so."""

import logging

from net.control import Claim, Ready, Refused, Resumed, Task, Want
from net.framing import Kind
from net.hall import Event, Hall, Joined, Left, Said
from net.past import Past
from net.peer import Peer
from net.policy import RoundPolicy, gather
from protocols.errors import PartyId

log = logging.getLogger("veilsum.coordinator")


class Asking:
    """Gives the task to all who are connected, the payload to those who lack it, and counts who is ready.

    past: the session before, in this process.
    """

    def __init__(self, hall: Hall, task: Task, payload: bytes, past: Past | None) -> None:
        self._hall = hall
        self._past = past
        self._task = task
        self._payload = payload
        self._ready: dict[PartyId, Peer] = {}
        self._asked: dict[PartyId, Peer] = {}
        self._given: set[Peer] = set()

    async def run(self, policy: RoundPolicy) -> dict[PartyId, Peer]:
        for party, peer in self._hall.peers.items():
            self._ask(party, peer)

        def settled() -> bool:
            """Whose connection broke may be back in a moment."""
            missed = self._hall.away and not policy.enough(len(self._ready))
            return self._hall.stopping or not (self._asked or missed)

        await gather(policy.patience, self._hall.next_event, self._handle, settled)
        return self._ready

    def _ask(self, party: PartyId, peer: Peer) -> None:
        self._ready.pop(party, None)
        self._asked[party] = peer
        if self._past is not None:
            self._past.tell(party, peer, self._hall.claims.pop(party, None))
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
                self._asked.pop(party, None)
                self._ready.pop(party, None)
            case Said(party, peer, message) if self._asked.get(party) is peer:
                self._answered(party, peer, message)

    def _answered(self, party: PartyId, peer: Peer, message: object) -> None:
        match message:
            case Ready(session=self._task.session):
                self._ready[party] = self._asked.pop(party)
            case Want(payload=self._task.payload) if peer not in self._given:  # an older task may have made it ask too
                self._given.add(peer)
                peer.post(Kind.PAYLOAD, self._payload)
            case Refused(text=text):
                del self._asked[party]
                log.warning("%s does not take part in step %d: %s", self._hall.name(party), self._task.fl_round, text)
