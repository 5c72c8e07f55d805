import socket
from contextlib import AsyncExitStack

import pytest
import trio

from mpc.field import PrimeField
from net.control import Welcome
from net.door import Door
from net.hall import Hall, Sent
from net.partaking import Trained
from net.peer import Peer
from net.policy import KEEPALIVE_IDLE
from net.sockets import keep_alive
from net.tls import Endpoint, Pins
from protocols.errors import PartyId


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
