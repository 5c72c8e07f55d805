"""Whether a connection would come about, found out with a handshake and nothing else. No session notices it."""

import ssl
import time
from functools import partial
from typing import Final

import trio

from net.config import Address, PartyConfig
from net.errors import ConfigError, CoordinatorNotThere, NetError, NotAdmitted, NotTheCoordinator
from net.membership import Membership
from net.policy import HANDSHAKE_PATIENCE
from net.tls import LEAF_RENEWAL, SKEW, Endpoint
from protocols.roster import Card

REFUSAL_PATIENCE: Final = 2.0  # seconds: in TLS 1.3 a refusal comes after the handshake, as an end of the stream


def knock(config: PartyConfig) -> float:
    """Shakes hands with the coordinator of `config` and leaves; returns by how many seconds our clock is ahead of its.

    Its clock is read from the start of its certificate, which it renews every few minutes: a gap smaller than that is
    returned as 0. Raises CoordinatorNotThere, NotTheCoordinator, NotAdmitted, and ConfigError where our own files do
    not belong together.
    """
    member = Membership.of(config)
    if config.address is None:
        raise ConfigError(f"{member.file}: there is a coordinator: write its 'address' in the party's file")
    return _knock_at(member, config.address, member.consortium.head, "our coordinator")


def knock_at_peer(config: PartyConfig, card: Card) -> float:
    """The same with a member of a mesh that we dial."""
    member = Membership.of(config)
    if config.mesh is None or card.name not in config.mesh.peers:
        raise ConfigError(f"[peers] {card.name!r} is missing in the party's file: add its address")
    return _knock_at(member, config.mesh.peers[card.name], card, card.name)


def _knock_at(member: Membership, address: Address, card: Card, who: str) -> float:
    endpoint = member.endpoint([card], server=False)
    return trio.run(partial(_knock, address, endpoint, who))


def try_to_listen(address: Address) -> None:
    """Opens the port and closes it again. Raises NetError when it cannot be opened."""
    trio.run(partial(_try_to_listen, address))


async def _knock(address: Address, endpoint: Endpoint, who: str) -> float:
    try:
        with trio.fail_after(HANDSHAKE_PATIENCE):
            transport = await trio.open_tcp_stream(address.host, address.port)
    except (OSError, trio.TooSlowError) as exc:
        raise CoordinatorNotThere(f"nobody answers at {address}: is {who} running, and is the address right?") from exc
    stream = endpoint.stream(transport)
    try:
        return await _shake_hands(address, stream, who)
    finally:
        with trio.move_on_after(REFUSAL_PATIENCE) as scope:
            scope.shield = True
            await stream.aclose()


async def _shake_hands(address: Address, stream: trio.SSLStream[trio.SocketStream], who: str) -> float:
    try:
        with trio.fail_after(HANDSHAKE_PATIENCE):
            await stream.do_handshake()
    except (trio.BrokenResourceError, trio.TooSlowError) as exc:
        raise NotTheCoordinator(
            f"{address} did not show the certificate of {who} ({_reason(exc)}): check the address, "
            f"the version of the consortium file and both clocks"
        ) from exc
    if await _is_refused(stream):
        raise NotAdmitted(
            f"{who} at {address} refused our certificate: its consortium file does not hold our card, "
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


async def _try_to_listen(address: Address) -> None:
    try:
        listeners = await trio.open_tcp_listeners(address.port, host=address.host)
    except OSError as exc:
        raise NetError(f"cannot listen on {address}: {exc.strerror or exc}: use another address") from exc
    for listener in listeners:
        await listener.aclose()
