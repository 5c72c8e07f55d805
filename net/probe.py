"""Whether a connection would come about, found out with a handshake and nothing else. No session notices it."""

import ssl
import time
from functools import partial
from typing import Final

import trio

from net.config import CoordinatorConfig, PartyConfig, load_consortium
from net.errors import CoordinatorNotThere, NetError, NotAdmitted, NotTheCoordinator
from net.policy import HANDSHAKE_PATIENCE
from net.store import read_keys
from net.tls import LEAF_RENEWAL, SKEW, Endpoint, Pins

REFUSAL_PATIENCE: Final = 2.0  # seconds: in TLS 1.3 a refusal comes after the handshake, as an end of the stream


def knock(config: PartyConfig) -> float:
    """Shakes hands with the coordinator of `config` and leaves; returns by how many seconds our clock is ahead of its.

    Its clock is read from the start of its certificate, which it renews every few minutes: a gap smaller than that is
    returned as 0. Raises CoordinatorNotThere, NotTheCoordinator, NotAdmitted, and ConsortiumError or TlsError where
    our own files do not belong together.
    """
    consortium, keys = load_consortium(config.consortium), read_keys(config.identity)
    own = consortium.members[consortium.party_of(keys.identity.verify_key)]
    endpoint = Endpoint(own, keys.tls_root, Pins.of([consortium.head]), server=False)
    return trio.run(partial(_knock, config, endpoint))


def try_to_listen(config: CoordinatorConfig) -> None:
    """Opens the port and closes it again. Raises NetError when it cannot be opened."""
    trio.run(partial(_try_to_listen, config))


async def _knock(config: PartyConfig, endpoint: Endpoint) -> float:
    assert config.address is not None
    address = config.address
    try:
        with trio.fail_after(HANDSHAKE_PATIENCE):
            transport = await trio.open_tcp_stream(address.host, address.port)
    except (OSError, trio.TooSlowError) as exc:
        raise CoordinatorNotThere(
            f"nobody answers at {address}: is the coordinator running, and is the address right?"
        ) from exc
    stream = endpoint.stream(transport)
    try:
        return await _shake_hands(config, stream)
    finally:
        with trio.move_on_after(REFUSAL_PATIENCE) as scope:
            scope.shield = True
            await stream.aclose()


async def _shake_hands(config: PartyConfig, stream: trio.SSLStream[trio.SocketStream]) -> float:
    try:
        with trio.fail_after(HANDSHAKE_PATIENCE):
            await stream.do_handshake()
    except (trio.BrokenResourceError, trio.TooSlowError) as exc:
        raise NotTheCoordinator(
            f"{config.address} did not show the certificate of our coordinator ({_reason(exc)}): check the address, "
            f"the version of the consortium file and both clocks"
        ) from exc
    if await _is_refused(stream):
        raise NotAdmitted(
            f"the coordinator at {config.address} refused our certificate: its consortium file does not hold our card, "
            f"or the clock of one side is wrong"
        )
    return _clock_gap(stream)


async def _is_refused(stream: trio.SSLStream[trio.SocketStream]) -> bool:
    """An admitted party is waited for; one that is not hears the end of the stream."""
    with trio.move_on_after(REFUSAL_PATIENCE):
        try:
            return not await stream.receive_some(1)
        except trio.BrokenResourceError:
            return True
    return False


def _clock_gap(stream: trio.SSLStream[trio.SocketStream]) -> float:
    certificate = stream.getpeercert()
    issued = ssl.cert_time_to_seconds(certificate["notBefore"]) + SKEW.total_seconds()
    age = time.time() - issued
    return min(age, 0.0) + max(age - LEAF_RENEWAL.total_seconds(), 0.0)


def _reason(exc: Exception) -> str:
    cause = exc.__cause__
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else "the handshake broke off"


async def _try_to_listen(config: CoordinatorConfig) -> None:
    address = config.listen
    try:
        listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as exc:
        raise NetError(f"cannot listen on {address}: {exc.strerror or exc}: use another address") from exc
    for listener in listeners:
        await listener.aclose()
