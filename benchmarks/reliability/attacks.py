"""What an attacker does to a coordinator, connection by connection, at a stated rate.

Strangers reach its port and no more. Insiders hold the keys of one member, the last one.
"""

import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any, Final

import trio

import net.peer
from benchmarks.reliability.faults import Setting
from benchmarks.reliability.files import Folder, party_config
from benchmarks.reliability.proxy import LOOPBACK
from benchmarks.reliability.training import Naming, initial
from mpc.randomness import SystemRandomness
from net.config import Address, load_consortium
from net.control import CONTROL, Hello, Want
from net.errors import NetError
from net.events import ignore
from net.framing import LARGEST_BODY, Kind, header
from net.party import run_party
from net.store import Keys, read_keys
from net.tls import Endpoint, Pins, new_root
from protocols.roster import Card
from protocols.session import WIRE, model_digest

DRIP: Final = 1.0  # seconds between two bytes of one that is slow
HELD: Final = 120.0  # seconds that a connection is held, where it is not closed before
REAL: Final = 16 * 2**20  # bytes of a frame that is as large as it says
PIECE: Final = 64 * 1024
TIMES: Final = 10
MOST_OPEN: Final = 2000  # connections of an attacker

Stream = trio.SSLStream[trio.SocketStream]


class Attacker:
    """Whom it attacks, and with which keys. address: where it calls from. chance: of bytes that say nothing."""

    def __init__(self, folder: Folder, setting: Setting, where: Address, address: str, seed: int) -> None:
        self.folder = folder
        self.setting = setting
        self.where = where
        self.address = address
        self.chance = Random(f"abuse {seed}")
        self.consortium = load_consortium(folder.consortium)
        self.place = setting.banks - 1
        own, foreign = self.consortium.members[self.place], Keys.generate(SystemRandomness())
        stranger = Card.issue(own.name, foreign.identity, new_root(own.name, foreign.tls_root))
        self.inside = self._endpoint(own, read_keys(folder.key(self.place)))
        self.outside = self._endpoint(stranger, foreign)

    def _endpoint(self, card: Card, keys: Keys) -> Endpoint:
        return Endpoint(card, keys.tls_root, Pins.of([self.consortium.head]), server=False)

    async def call(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(self.where.host, self.where.port, local_address=self.address)

    async def enter(self, *messages: Any) -> Stream:
        """As the member that it is. messages: what it says after its hello."""
        stream = self.inside.stream(await self.call())
        await stream.do_handshake()
        for message in (Hello(WIRE, self.consortium.digest, int(time.time())), *messages):
            await stream.send_all(framed(message))
        return stream


Act = Callable[[Attacker], Awaitable[None]]


def framed(message: Any) -> bytes:
    body = CONTROL.encode(message)
    return header(Kind.CONTROL, len(body)) + body


def first_flight(endpoint: Endpoint) -> bytes:
    """What a client says before it has heard anything."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        endpoint.context().wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


async def drip(stream: trio.abc.SendStream, text: bytes) -> None:
    for at in range(len(text)):
        await stream.send_all(text[at : at + 1])
        await trio.sleep(DRIP)


# Strangers


async def say_nothing(attacker: Attacker) -> None:
    async with await attacker.call() as stream:
        await stream.receive_some()


async def drip_a_handshake(attacker: Attacker) -> None:
    async with await attacker.call() as stream:
        await drip(stream, first_flight(attacker.inside))


async def stop_in_a_handshake(attacker: Attacker) -> None:
    async with await attacker.call() as stream:
        await stream.send_all(first_flight(attacker.inside))
        while await stream.receive_some():
            pass


async def knock(attacker: Attacker) -> None:
    await trio.aclose_forcefully(await attacker.call())


async def say_garbage(attacker: Attacker) -> None:
    async with await attacker.call() as stream:
        await stream.send_all(attacker.chance.randbytes(1000))
        await stream.receive_some()


async def show_a_foreign_certificate(attacker: Attacker) -> None:
    stream = attacker.outside.stream(await attacker.call())
    await stream.do_handshake()
    await stream.receive_some()


# Insiders


async def drip_a_hello(attacker: Attacker) -> None:
    stream = attacker.inside.stream(await attacker.call())
    await stream.do_handshake()
    await drip(stream, framed(Hello(WIRE, attacker.consortium.digest, int(time.time()))))


async def announce_a_huge_frame(attacker: Attacker) -> None:
    stream = await attacker.enter()
    await stream.send_all(header(Kind.MESSAGE, LARGEST_BODY))
    while await stream.receive_some():
        pass


async def send_a_huge_frame(attacker: Attacker) -> None:
    stream = await attacker.enter()
    await stream.send_all(header(Kind.MESSAGE, REAL))
    for _ in range(0, REAL, PIECE):
        await stream.send_all(bytes(PIECE))


async def come_and_go(attacker: Attacker) -> None:
    stream = await attacker.enter()
    await trio.aclose_forcefully(stream)


async def ask_and_never_read(attacker: Attacker) -> None:
    async with await attacker.enter(Want(model_digest(initial(attacker.setting.steps)))):
        await trio.sleep(HELD)


_post = net.peer.Peer.post


def _post_tenfold(peer: net.peer.Peer, *arguments: Any, **named: Any) -> None:
    for _ in range(TIMES):
        _post(peer, *arguments, **named)


async def take_part_tenfold(attacker: Attacker) -> None:
    """A real party, each of whose frames leaves ten times; where that costs it its connection it comes back."""
    vars(net.peer)["Peer"].post = _post_tenfold
    setting, folder, place = attacker.setting, attacker.folder, attacker.place
    config = party_config(folder, setting, place, attacker.where, HELD)
    await run_party(config, Naming(setting, ignore, place), initial(setting.steps), stop=trio.Event())


@dataclass(frozen=True, slots=True)
class Attack:
    """rate: connections that it begins a second. inside: it holds a member's keys, who does not take part itself.
    address: where it calls from; the banks call from 127.0.0.1.
    """

    act: Act
    rate: float
    inside: bool = False
    address: str = "127.0.0.2"


ATTACKS: Final[Mapping[str, Attack]] = MappingProxyType(
    {
        "silent connections": Attack(say_nothing, 50),
        "a handshake byte by byte": Attack(drip_a_handshake, 50),
        "half a handshake": Attack(stop_in_a_handshake, 50),
        "connections that close at once": Attack(knock, 200),
        "the same, from the banks' address": Attack(knock, 30, address=LOOPBACK),
        "garbage": Attack(say_garbage, 100),
        "a foreign certificate": Attack(show_a_foreign_certificate, 50),
        "an insider: a hello byte by byte": Attack(drip_a_hello, 20, inside=True),
        "an insider: frames of 4 GiB announced": Attack(announce_a_huge_frame, 20, inside=True),
        "an insider: frames of 16 MiB sent": Attack(send_a_huge_frame, 20, inside=True),
        "an insider: comes and goes": Attack(come_and_go, 20, inside=True),
        "an insider: asks and never reads": Attack(ask_and_never_read, 1, inside=True),
        "an insider: says all ten times": Attack(take_part_tenfold, 1, inside=True),
    }
)


async def attack(attacker: Attacker, one: Attack, on_begin: Callable[[], None]) -> None:
    """Until it is cancelled. on_begin: called before each connection."""
    room = trio.CapacityLimiter(MOST_OPEN)
    async with trio.open_nursery() as nursery:
        while True:
            await room.acquire_on_behalf_of(token := object())
            on_begin()
            nursery.start_soon(_act, attacker, one, partial(room.release_on_behalf_of, token))
            await trio.sleep(1 / one.rate)


async def _act(attacker: Attacker, one: Attack, done: Callable[[], None]) -> None:
    """Whatever the coordinator does against it ends this connection and no other."""
    try:
        with trio.move_on_after(HELD), suppress(OSError, trio.BrokenResourceError, NetError):
            await one.act(attacker)
    finally:
        done()
