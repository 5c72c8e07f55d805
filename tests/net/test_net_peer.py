from types import SimpleNamespace

import pytest
import trio

from net.control import Grant, Welcome
from net.errors import Truncated
from net.framing import CHUNK_BYTES, HEADER_BYTES, Frame, Kind
from net.peer import MOST_IN_MEMORY, MOST_QUEUED, SPOOLED_ABOVE, Peer, read_control
from net.policy import CLOSING_PATIENCE

LIMITS = dict.fromkeys(Kind, 2**24)


@pytest.fixture
def pair():
    near, far = trio.testing.memory_stream_pair()
    peers = Peer(near), Peer(far)
    for peer in peers:
        peer.deframer.limits = dict(LIMITS)
    return peers


async def test_frames_cross_in_order_and_are_counted_on_both_sides(pair):
    near, far = pair
    got = []

    async def speak(peer):
        peer.say(Welcome())
        peer.post(Kind.MESSAGE, b"head", b"body")

    async def listen(peer):
        while (frame := await peer.receive()) is not None:
            got.append(frame)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.serve, speak)
        nursery.start_soon(far.serve, listen)
    assert read_control(got[0]) == Welcome()
    assert got[1] == Frame(Kind.MESSAGE, b"headbody")
    assert near.bytes_out == far.bytes_in == sum(HEADER_BYTES + len(frame.body) for frame in got)


async def test_a_large_frame_shows_its_progress(pair):
    near, far = pair
    seen = []

    async def speak(peer):
        peer.post(Kind.PAYLOAD, bytes(2 * CHUNK_BYTES + 1), progress=lambda done, total: seen.append((done, total)))

    async def listen(peer):
        await peer.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.serve, speak)
        nursery.start_soon(far.serve, listen)
    total = 2 * CHUNK_BYTES + 1
    assert seen == [(0, total), (CHUNK_BYTES, total), (2 * CHUNK_BYTES, total), (total, total)]


async def test_a_peer_that_stops_reading_holds_up_nobody_and_is_closed_in_time(autojump_clock):
    near, _far = trio.testing.lockstep_stream_pair()
    peer, start = Peer(near), trio.current_time()

    async def speak(peer):
        for session in range(10):
            peer.say(Grant(session))

    await peer.serve(speak)
    assert trio.current_time() - start == CLOSING_PATIENCE


async def test_a_peer_whose_queue_grows_without_end_is_given_up(autojump_clock):
    near, _far = trio.testing.lockstep_stream_pair()

    async def flood(peer):
        for session in range(MOST_QUEUED + 2):
            peer.say(Grant(session))
        await trio.sleep_forever()

    with trio.fail_after(2 * CLOSING_PATIENCE):
        await Peer(near).serve(flood)


async def test_a_connection_that_ends_inside_a_frame_is_truncated(pair):
    near, far = pair
    await near._stream.send_all(b"\x00\x00\x00\x09\x01half")
    await near._stream.aclose()
    with pytest.raises(Truncated):
        await far.receive()


async def test_what_is_posted_to_a_closed_connection_is_forgotten(pair):
    near, _ = pair
    near.close()
    near.say(Welcome())
    assert near.bytes_out == 0


async def test_an_error_of_the_conversation_comes_out_as_itself(pair):
    async def fail(peer):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await pair[0].serve(fail)


async def test_what_is_large_waits_in_a_file_and_arrives_in_order(pair):
    near, far = pair
    bodies = [bytes([number]) * (SPOOLED_ABOVE + number) for number in range(1, 6)]
    got, in_memory = [], []

    async def speak(peer):
        for body in bodies:
            peer.post(Kind.MESSAGE, b"head", body)
            peer.say(Grant(0))
            in_memory.append(peer._in_memory)
        await peer.written()
        assert (peer._waiting, peer._in_memory, peer._spool._end) == (0, 0, 0)

    async def listen(peer):
        while (frame := await peer.receive()) is not None:
            got.append(frame)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(near.serve, speak)
        nursery.start_soon(far.serve, listen)
    assert [frame.body[4:] for frame in got if frame.kind is Kind.MESSAGE] == bodies
    assert [frame.kind for frame in got] == [Kind.MESSAGE, Kind.CONTROL] * 5
    assert max(in_memory) < 2 * SPOOLED_ABOVE  # the one that is being written, and what is small
    assert far.bytes_in == near.bytes_out


async def test_a_slow_readers_queue_stays_small_in_memory_whatever_is_posted(autojump_clock):
    near, _far = trio.testing.lockstep_stream_pair()
    most = []

    async def flood(peer):
        for size in [SPOOLED_ABOVE * 4] * 20 + [SPOOLED_ABOVE // 2] * 200:
            peer.post(Kind.MESSAGE, bytes(size))
            most.append(peer._in_memory)
        assert peer._spool._end > 20 * 2**20

    await Peer(near).serve(flood)
    assert most[-1] <= MOST_IN_MEMORY + 4 * SPOOLED_ABOVE


async def test_a_file_that_cannot_be_written_costs_one_slow_reader_its_connection(autojump_clock):
    near, _far = trio.testing.lockstep_stream_pair()

    def no_space(*parts):
        raise OSError(28, "No space left on device")

    async def speak(peer):
        peer._spool.put = no_space
        for _ in range(2):
            peer.post(Kind.MESSAGE, bytes(2 * SPOOLED_ABOVE))
        await trio.sleep_forever()

    peer = Peer(near)
    peer._spool = SimpleNamespace(close=lambda: None)
    with trio.fail_after(2 * CLOSING_PATIENCE):
        await peer.serve(speak)
