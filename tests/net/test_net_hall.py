import socket
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import trio

from mpc.field import PrimeField
from net.control import Claim, Resumed, Task, Welcome
from net.door import Door
from net.framing import Kind
from net.hall import Gone, Hall, Joined, Left, Sent
from net.partaking import Trained
from net.past import Ending, Past
from net.peer import Peer
from net.policy import KEEPALIVE_IDLE
from net.sockets import keep_alive
from net.tls import Endpoint, Pins
from protocols.errors import DropReason, PartyId


@pytest.fixture
def hall(make_consortium, make_keys):
    consortium = make_consortium()
    secret = make_keys("coordinator").tls_root
    return Hall(consortium, Endpoint(consortium.coordinator, secret, Pins.of(consortium.members), server=True))


@pytest.fixture
async def visitors(hall, nursery):
    """Connects to the hall; the nursery fails with whatever leaves `welcome`."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, hall.welcome, listeners)

    async with AsyncExitStack() as opened:

        async def connect():
            stream = await trio.open_tcp_stream(*listeners[0].socket.getsockname()[:2])
            return await opened.enter_async_context(stream)

        yield connect


async def test_a_leaf_that_cannot_be_had_closes_one_connection_and_no_more(hall, visitors, monkeypatch, caplog):
    stream = hall._endpoint.stream
    failures = [OSError(28, "No space left on device")]

    def fail_once(transport):
        if failures:
            raise failures.pop()
        return stream(transport)

    monkeypatch.setattr(hall._endpoint, "stream", fail_once)
    first = await visitors()
    assert await first.receive_some() == b""
    assert "No space left on device" in caplog.text
    second = await visitors()
    await second.send_all(b"no handshake either\r\n")
    assert await second.receive_some() == b""
    assert "WRONG_VERSION_NUMBER" in caplog.text  # it was listened to


async def test_where_no_place_is_left_the_oldest_stranger_goes(hall, visitors, caplog):
    hall.door = Door(2)
    first, second = await visitors(), await visitors()
    while len(hall.door._taken) < 2:
        await trio.lowlevel.checkpoint()
    third = await visitors()
    assert await first.receive_some() == b""
    assert "closed 1 connections so far that took too long to say hello" in caplog.text
    for still_there in (second, third):
        await still_there.send_all(b"no handshake either\r\n")
        assert await still_there.receive_some() == b""
    assert caplog.text.count("WRONG_VERSION_NUMBER") == 2  # both were listened to
    while hall.door._taken:
        await trio.lowlevel.checkpoint()


async def test_a_connection_is_probed_while_it_is_silent():
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, await trio.open_tcp_stream(*listener.socket.getsockname()[:2]) as stream:
        keep_alive(stream)
        assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 4)[0] == 1
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_IDLE


def test_what_a_party_sent_or_trained_does_not_print():
    peer = Peer(trio.testing.memory_stream_pair()[0])
    peer.say(Welcome())
    assert "secret" not in repr(Sent(PartyId(0), peer, 1, b"secret", uploaded=True))
    vector = PrimeField.with_bits(20).vector([123456])
    assert "123456" not in repr(Trained(None, vector))


# Who may come back


class Connection:
    """A peer, as far as the hall counts."""

    def __init__(self, came=0, went=0):
        self.bytes_in, self.bytes_out, self.said, self.closed = came, went, [], False

    def say(self, message):
        self.said.append(message)

    def close(self):
        self.closed = True


@pytest.fixture
def patient(make_consortium, make_keys):
    consortium = make_consortium()
    secret = make_keys("coordinator").tls_root
    endpoint = Endpoint(consortium.coordinator, secret, Pins.of(consortium.members), server=True)
    return Hall(consortium, endpoint, grace=5.0)


def test_who_vanished_is_expected_until_its_grace_is_over(patient):
    one = Connection()
    patient._note(Joined(PartyId(2), one))
    patient._note(Left(PartyId(2), one, DropReason.VANISHED))
    assert (patient.away, patient.lost, 2 in patient.expected, 2 in patient.peers) == ({2: one}, set(), True, False)
    patient._note(Gone(PartyId(2), one))
    assert (patient.away, patient.lost, 2 in patient.expected) == ({}, {2}, False)


@pytest.mark.parametrize("reason", [DropReason.ABORTED, DropReason.MALFORMED, DropReason.UNEXPECTED])
def test_who_left_or_broke_the_rules_is_not_waited_for(patient, reason):
    one = Connection()
    patient._note(Joined(PartyId(2), one))
    patient._note(Left(PartyId(2), one, reason))
    assert (patient.away, patient.lost) == ({}, {2})


def test_the_end_of_a_grace_does_not_concern_who_is_back(patient):
    one, other = Connection(), Connection()
    patient._note(Joined(PartyId(2), one))
    patient._note(Left(PartyId(2), one, DropReason.VANISHED))
    patient._note(Joined(PartyId(2), other))
    patient._note(Gone(PartyId(2), one))
    assert (patient.away, patient.lost, patient.peers) == ({}, set(), {2: other})
    patient._note(Left(PartyId(2), other, DropReason.VANISHED))
    patient._note(Gone(PartyId(2), one))
    assert patient.away == {2: other}


def test_what_all_connections_of_a_party_carried_is_counted_once(patient):
    older, newer = Connection(100, 10), Connection(1, 2)
    patient._note(Joined(PartyId(2), older))
    assert patient.traffic(PartyId(2)) == (100, 10)
    patient._note(Joined(PartyId(2), newer))
    assert (older.closed, patient.traffic(PartyId(2))) == (True, (101, 12))
    patient._note(Left(PartyId(2), older, DropReason.VANISHED))
    patient._note(Left(PartyId(2), newer, DropReason.VANISHED))
    assert patient.traffic(PartyId(2)) == (101, 12)
    assert patient.traffic(PartyId(3)) == (0, 0)


CLAIM = Claim(bytes(16), 3, 5)
PAST = Past(Task(3, 1, bytes(32), bytes(16)), 1000, {PartyId(2): Ending(4, 5, (b"the sum",))})


@pytest.mark.parametrize(
    ("party", "claim", "hears"),
    [
        (2, CLAIM, True),
        (2, replace(CLAIM, taken=4), False),
        (2, replace(CLAIM, session=2), False),
        (2, replace(CLAIM, run=bytes(15) + b"x"), False),
        (2, None, False),
        (3, CLAIM, False),
    ],
)
async def test_who_lacks_the_end_alone_of_the_session_before_hears_it(party, claim, hears):
    peer = Peer(trio.testing.memory_stream_pair()[0])
    said = []
    peer.say, peer.post = said.append, lambda kind, *parts: said.append((kind, b"".join(parts)))
    PAST.tell(PartyId(party), peer, claim)
    expected = [Resumed(3, 4), (Kind.MESSAGE, b"\0\0\0\3the sum")]
    assert said == (expected if hears else [])
    assert (Kind.MESSAGE in peer.deframer.limits) is hears
