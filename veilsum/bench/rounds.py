"""A secure round over TLS, and the same round in clear over the same connections. Every party is a process.

In clear: each sends its parameters as float32, the coordinator adds them in place and sends the sum to all. Secure:
each encodes its parameters, runs the protocol's own machine, and decodes the mean.
"""

import multiprocessing
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from mpc.encoding import Codec, Span, build_codec
from mpc.field import FieldVector
from mpc.keys import SigningKey
from mpc.randomness import SeededRandomness, SystemRandomness
from net.framing import CHUNK_BYTES, LARGEST_BODY, Deframer, Kind, pieces
from net.tls import Pins, RootSecret, issue_leaf, new_root, tls_context
from protocols.errors import SERVER, PartyId
from protocols.machine import Envelope, Finished
from protocols.messages import CODEC
from protocols.roster import Card
from protocols.secagg import Client, Server
from veilsum.bench.measuring import Scale, compare, rounded
from veilsum.bench.sessions import Setting

PARTIES: Final = 10
_PATIENCE: Final = 60.0  # seconds for a process to start
SECURE, PLAIN, STOP, DONE = b"secure", b"plain", b"stop", b"done"


@dataclass(slots=True)
class Line:
    """Frames over one TLS connection."""

    socket: ssl.SSLSocket
    _deframer: Deframer = field(default_factory=lambda: Deframer(dict.fromkeys(Kind, LARGEST_BODY)))

    def send(self, kind: Kind, body: bytes) -> None:
        for piece in pieces(kind, body):
            self.socket.sendall(piece)

    def hear(self) -> bytes:
        while (frame := self._deframer.next()) is None:
            data = self.socket.recv(CHUNK_BYTES)
            if not data:
                raise ConnectionError("the other side is gone")
            self._deframer.feed(data)
        return frame.body


@dataclass(frozen=True, slots=True)
class Side:
    """What one side of the connections is: a name, its root, and the other's card as bytes, for another process."""

    name: str
    secret: bytes = field(repr=False)
    root: bytes
    other: bytes

    def context(self, purpose: int) -> ssl.SSLContext:
        leaf = issue_leaf(self.root, RootSecret(self.secret), name=self.name)
        return tls_context(purpose, leaf, Pins.of([Card.from_bytes(self.other)]))


def two_sides() -> tuple[Side, Side]:
    """The coordinator, and the parties with one root between them."""
    rand, names = SystemRandomness(), ("hub", "party")
    secrets = {name: RootSecret.generate(rand) for name in names}
    roots = {name: new_root(name, secrets[name]) for name in names}
    cards = {name: Card.issue(name, SigningKey.generate(rand), roots[name]).to_bytes() for name in names}
    hub, party = (Side(name, secrets[name].raw, roots[name], cards[other]) for name, other in (names, reversed(names)))
    return hub, party


def codec_for(parameters: int) -> Codec:
    return build_codec(spans=(Span(parameters, -1.0, 1.0),), clients=PARTIES, seed=bytes(32))


def setting_for(codec: Codec) -> Setting:
    return Setting.of(PARTIES, codec.vector_length, field=codec.field)


# --- a party's process ---


def party(side: Side, port: int, me: int, parameters: int) -> None:
    """Takes part in rounds of either kind until it is told to stop."""
    update = np.linspace(-1, 1, parameters, dtype=np.float32)
    context = side.context(ssl.PROTOCOL_TLS_CLIENT)
    codec = codec_for(parameters)
    setting = setting_for(codec)
    with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as secured:
        line = Line(secured)
        line.send(Kind.CONTROL, me.to_bytes(1, "big"))
        while (kind := line.hear()) != STOP:
            if kind == SECURE:
                _contribute(line, setting, PartyId(me), codec, update)
            else:
                line.send(Kind.UPLOAD, update.tobytes())
                np.frombuffer(line.hear(), dtype=np.float32) / PARTIES
            line.send(Kind.CONTROL, DONE)


def _contribute(line: Line, setting: Setting, me: PartyId, codec: Codec, update: Any) -> None:
    rand = SeededRandomness(bytes([me]))
    machine = Client(me, identity=setting.identities[me], terms=setting.terms, rand=rand)
    machine.set_input(codec.encode(update, rand=rand))
    while machine.outcome is None:
        for envelope in machine.receive(SERVER, CODEC.decode(line.hear())):
            line.send(Kind.MESSAGE, CODEC.encode(envelope.message))
    assert isinstance(machine.outcome, Finished)
    codec.decode_sum(machine.outcome.aggregate.vector)


# --- the coordinator ---


@dataclass(frozen=True, slots=True)
class Hub:
    """The coordinator's side of all connections."""

    lines: dict[PartyId, Line]
    setting: Setting
    parameters: int

    def plain(self) -> None:
        self._all(Kind.CONTROL, PLAIN)
        total = np.zeros(self.parameters, dtype=np.float32)
        for line in self.lines.values():
            np.add(total, np.frombuffer(line.hear(), dtype=np.float32), out=total)
        self._all(Kind.PAYLOAD, total.tobytes())
        self._wait()

    def secure(self) -> FieldVector:
        self._all(Kind.CONTROL, SECURE)
        server = Server(self.setting.params, identity=self.setting.identities[SERVER], members=self.setting.members)
        self._post(server.start())
        while server.outcome is None:
            for sender in sorted(server.waiting_for):
                server.receive(sender, CODEC.decode(self.lines[sender].hear()))
            self._post(server.close_round())
        self._wait()
        assert isinstance(server.outcome, Finished)
        return server.outcome.aggregate.vector

    def _post(self, envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            data = CODEC.encode(envelope.message)
            for recipient in envelope.recipients:
                self.lines[recipient].send(Kind.MESSAGE, data)

    def _all(self, kind: Kind, body: bytes) -> None:
        for line in self.lines.values():
            line.send(kind, body)

    def _wait(self) -> None:
        for line in self.lines.values():
            assert line.hear() == DONE


@contextmanager
def connected(parameters: int) -> Iterator[Hub]:
    """Ten processes and their connections; they end with the context."""
    hub, parties = two_sides()
    context = hub.context(ssl.PROTOCOL_TLS_SERVER)
    start = multiprocessing.get_context("spawn").Process
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_PATIENCE)
        port, lines = listener.getsockname()[1], {}
        for me in range(PARTIES):
            process = start(target=party, args=(parties, port, me, parameters), daemon=True)
            process.start()
            stack.callback(process.join)
        for _ in range(PARTIES):
            line = Line(stack.enter_context(context.wrap_socket(listener.accept()[0], server_side=True)))
            lines[PartyId(line.hear()[0])] = line
        found = Hub(dict(sorted(lines.items())), setting_for(codec_for(parameters)), parameters)
        try:
            yield found
        finally:
            found._all(Kind.CONTROL, STOP)


def measure(scale: Scale) -> dict[str, Any]:
    """Ten parties, 10 million parameters (quick: 200,000)."""
    parameters = 200_000 if scale.quick else 10_000_000
    with connected(parameters) as hub:
        found = compare(hub.secure, hub.plain, scale.times)
    return {
        "parties": PARTIES,
        "m": parameters,
        "secure_seconds": rounded(found.seconds),
        "plain_seconds": rounded(found.floor_seconds),
        "ratio": rounded(found.ratio),
    }
