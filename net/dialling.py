"""How a party comes to its coordinator, or to its peers: tried again and again."""

import logging
import ssl
from collections.abc import Callable

import trio

from mpc.randomness import SystemRandomness
from net.config import Address
from net.errors import CoordinatorNotThere, NetError, NotAdmitted, NotTheCoordinator, TlsError
from net.policy import HANDSHAKE_PATIENCE, Backoff
from net.sockets import keep_alive
from net.tasks import cancel_when, open_crew
from net.tls import Endpoint

Stream = trio.SSLStream[trio.SocketStream]

log = logging.getLogger("veilsum.party")


async def shake_hands(address: Address, endpoint: Endpoint) -> tuple[Stream, str]:
    """A connection, and the name on the card of whoever answered.

    Raises OSError or TooSlowError when nobody is there, TlsError when no pin vouches for who is.
    """
    transport = await trio.open_tcp_stream(address.host, address.port)
    try:
        keep_alive(transport)
        stream = endpoint.stream(transport)
        with trio.fail_after(HANDSHAKE_PATIENCE):
            await stream.do_handshake()
        return stream, endpoint.who_signed(stream.getpeercert(binary_form=True))
    except trio.BrokenResourceError as exc:
        await trio.aclose_forcefully(transport)
        if isinstance(exc.__cause__, ssl.SSLCertVerificationError):
            raise TlsError(exc.__cause__.verify_message) from exc
        raise ConnectionError("the handshake was broken off") from exc
    except BaseException:
        await trio.aclose_forcefully(transport)
        raise


class Dialler:
    """Dials with growing delays. The patience begins with the first try after we were last welcome.

    Who shows another certificate, or does not admit us, may be an impostor, or may hold an older file: what it said is
    remembered for the end, and we dial again. on_refusal: told once of each reason.
    """

    def __init__(
        self,
        address: Address,
        patience: float,
        endpoint: Endpoint,
        consortium: str,
        *,
        on_refusal: Callable[[str], None],
        stop: trio.Event,
    ) -> None:
        self._address = address
        self._patience = patience
        self._endpoint = endpoint
        self._consortium = consortium
        self._on_refusal = on_refusal
        self._stop = stop
        self._backoff = Backoff(SystemRandomness())
        self._give_up_at: float | None = None
        self._reason: NetError | None = None

    def welcomed(self) -> None:
        """The coordinator has taken us."""
        self._backoff.succeeded()
        self._give_up_at = self._reason = None

    def turned_away(self, reason: NetError) -> None:
        """This try came to nothing."""
        if str(reason) != str(self._reason):
            self._on_refusal(f"{reason}; trying again")
            log.warning("%s; trying again", reason)
        self._reason = reason

    async def dial(self) -> Stream | None:
        """A connection to the pinned coordinator; None when this process was asked to stop.

        Raises CoordinatorNotThere, or why we were last turned away.
        """
        if self._give_up_at is None:
            self._give_up_at = trio.current_time() + self._patience
        found: list[Stream] = []
        with trio.move_on_at(self._give_up_at):
            async with open_crew() as crew:
                crew.start_soon(cancel_when, self._stop, crew.cancel_scope)
                found.append(await self._dial_until_there())
        if not found and not self._stop.is_set():
            raise self._reason or CoordinatorNotThere(
                f"nobody answers at {self._address} for {self._patience:g} s: is the coordinator "
                f"running, and is the address right?"
            )
        return found[0] if found else None

    async def _dial_until_there(self) -> Stream:
        while True:
            await trio.sleep(self._backoff.next())
            try:
                return await self._dial_once()
            except (NotTheCoordinator, NotAdmitted) as exc:
                self.turned_away(exc)
            except (OSError, trio.TooSlowError) as exc:
                log.debug("no coordinator at %s yet: %s", self._address, exc)

    async def _dial_once(self) -> Stream:
        """Raises OSError or TooSlowError when nobody is there, NotTheCoordinator when somebody else is."""
        try:
            stream, _ = await shake_hands(self._address, self._endpoint)
        except TlsError as exc:
            raise self._not_the_coordinator(str(exc)) from exc
        return stream

    def _not_the_coordinator(self, why: str) -> NotTheCoordinator:
        return NotTheCoordinator(
            f"{self._address} is not the coordinator of {self._consortium} ({why}): check the address, the "
            f"version of the consortium file and the clock"
        )
