"""Of each pair of members the one with the higher place calls, again and again, for as long as the process runs."""

import logging
import time
from collections.abc import Callable, Mapping

import trio

from mpc.randomness import SystemRandomness
from net.config import Address
from net.control import Hello, Refused, Welcome
from net.dialling import Stream, shake_hands
from net.errors import FrameError, TlsError
from net.events import ignore
from net.hall import Hall, Visit
from net.peer import Peer, read_control
from net.policy import HANDSHAKE_PATIENCE, Backoff
from net.tls import Endpoint
from protocols.errors import PartyId
from protocols.session import WIRE

log = logging.getLogger("veilsum.party")


class Call(Visit):
    """A connection that this side opened: it says hello, and is welcome or not. refusal: what the other said then."""

    def __init__(self, hall: Hall, party: PartyId) -> None:
        super().__init__(hall, party, ignore)
        self.refusal = (
            "it closed the connection at once: its consortium file does not hold our card, or a clock is wrong"
        )

    async def _greet(self, peer: Peer) -> bool:
        peer.say(Hello(WIRE, self._hall.consortium.digest, int(time.time())))
        with trio.fail_after(HANDSHAKE_PATIENCE):
            frame = await peer.receive()
        if frame is None:
            return False
        answer = read_control(frame)
        if isinstance(answer, Refused):
            self.refusal = answer.text
            return False
        if not isinstance(answer, Welcome):
            raise FrameError("the first message is no welcome")
        await self._join(peer)
        return True


class Calling:
    """Keeps connections with those below us. addresses: of all of these. on_refusal: told once of each reason.

    over: no more calls, this process ends.
    """

    def __init__(
        self,
        hall: Hall,
        endpoint: Endpoint,
        addresses: Mapping[PartyId, Address],
        *,
        on_refusal: Callable[[str], None],
    ) -> None:
        self.over = False
        self._hall = hall
        self._endpoint = endpoint
        self._addresses = addresses
        self._on_refusal = on_refusal
        self._told: set[str] = set()

    async def keep_calling(self, party: PartyId) -> None:
        """One task for each of those below us."""
        backoff = Backoff(SystemRandomness())
        while not self.over:
            await trio.sleep(backoff.next())
            if (stream := await self._connect(party)) is None:
                continue
            call = Call(self._hall, party)
            await Peer(stream).serve(call.converse)
            await call.leave()
            if call.was_welcome:
                backoff.succeeded()
            elif not self.over:
                self._refused(f"{self._hall.name(party)} refused us: {call.refusal}")

    async def _connect(self, party: PartyId) -> Stream | None:
        address, name = self._addresses[party], self._hall.name(party)
        try:
            stream, answered = await shake_hands(address, self._endpoint)
        except TlsError as exc:
            self._refused(f"{address} is not {name} ({exc}): check the address and the version of the consortium file")
            return None
        except (OSError, trio.TooSlowError) as exc:
            log.debug("%s is not at %s yet: %s", name, address, exc)
            return None
        if answered != name:
            await trio.aclose_forcefully(stream)
            self._refused(f"{address} is {answered} and not {name}: check the addresses in [peers]")
            return None
        return stream

    def _refused(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._on_refusal(f"{text}; trying again")
            log.warning("%s; trying again", text)
