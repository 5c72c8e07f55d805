"""The end of a session that is over, for whoever lost its connection just before it heard of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from net.control import Claim, Resumed, Task
from net.framing import Kind
from net.peer import Peer, in_frame, in_session
from protocols.errors import PartyId


@dataclass(frozen=True, slots=True)
class Ending:
    """For one party. taken: so many of its frames. sent: so many messages it had before. words: the last ones."""

    taken: int
    sent: int
    words: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Past:
    """The session of this task. endings: of who was in it to the end. largest: bytes of a message of theirs: what
    they say in it now is read past.
    """

    task: Task
    largest: int
    endings: Mapping[PartyId, Ending]

    def tell(self, party: PartyId, peer: Peer, claim: Claim | None) -> None:
        """Who claims this session and lacks the end alone gets it; another one joins the next session without it."""
        ending = self.endings.get(party)
        if ending is None or claim != Claim(self.task.run, self.task.session, ending.sent):
            return
        peer.deframer.limits[Kind.MESSAGE] = in_frame(self.largest)
        peer.say(Resumed(self.task.session, ending.taken))
        for body in ending.words:
            peer.post(Kind.MESSAGE, *in_session(self.task.session, body))
