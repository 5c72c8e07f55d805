"""What the proxy does to the bytes of a connection, for each fault."""

import time

import pytest
import trio
import trio.testing

from benchmarks.reliability.faults import Fault, Link
from benchmarks.reliability.proxy import LOOPBACK, Proxy
from net.config import Address

TEXT = bytes(range(100)) * 5


class Line:
    """A server behind a proxy: it says each byte back, and keeps what it heard on each connection."""

    def __init__(self, *faults):
        self.struck = []
        self.heard = []
        self.ends = []
        self.proxy = Proxy(Link(0), map(Fault.parse, faults), self.struck.append)

    async def open(self, nursery):
        listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
        nursery.start_soon(trio.serve_listeners, self._echo, listeners)
        self.proxy.upstream = Address(*listeners[0].socket.getsockname()[:2])
        entry = await self.proxy.listen()
        nursery.start_soon(self.proxy.serve, entry)
        self._entry = entry[0].socket.getsockname()[:2]

    async def call(self):
        return await trio.open_tcp_stream(*self._entry)

    async def _echo(self, stream):
        heard = bytearray()
        self.heard.append(heard)
        async with stream:
            try:
                while piece := await stream.receive_some():
                    heard += piece
                    await stream.send_all(piece)
                self.ends.append("end")
            except trio.BrokenResourceError:
                self.ends.append("reset")


@pytest.fixture
async def line(nursery):
    async def make(*faults):
        made = Line(*faults)
        await made.open(nursery)
        return made

    with trio.fail_after(10):
        yield make


async def talk(stream, text=TEXT):
    """What comes back, and how it ends."""
    heard = bytearray()
    async with stream:
        try:
            await stream.send_all(text)
            await stream.send_eof()
            while piece := await stream.receive_some():
                heard += piece
        except trio.BrokenResourceError:
            return bytes(heard), "reset"
    return bytes(heard), "end"


async def settled(condition):
    while not condition():
        await trio.testing.wait_all_tasks_blocked(0.01)


async def test_without_a_fault_all_is_carried_both_ways(line):
    one = await line()
    assert await talk(await one.call()) == (TEXT, "end")
    assert one.heard == [TEXT]
    assert (one.struck, one.ends) == ([], ["end"])


async def test_a_cut_lets_exactly_so_many_bytes_pass_and_resets_both_ends(line):
    one = await line("0 up@123 cut")
    heard, end = await talk(await one.call())
    await settled(lambda: one.ends)
    assert (end, one.ends) == ("reset", ["reset"])
    assert TEXT.startswith(heard)
    assert one.heard == [TEXT[:123]]
    assert [str(struck.fault) for struck in one.struck] == ["0 up@123 cut"]


async def test_a_truncated_way_ends_in_order_in_the_middle(line):
    one = await line("0 down@77 truncate")
    assert await talk(await one.call()) == (TEXT[:77], "end")
    one = await line("0 up@78 truncate")
    assert await talk(await one.call()) == (TEXT[:78], "end")
    assert one.heard == [TEXT[:78]]


async def test_a_corrupted_byte_differs_in_one_bit_and_no_other_does(line):
    one = await line("0 up@200 corrupt")
    heard, end = await talk(await one.call())
    assert end == "end"
    assert [place for place in range(len(TEXT)) if heard[place] != TEXT[place]] == [200]
    assert (heard[200] ^ TEXT[200]).bit_count() == 1


async def test_a_stall_holds_the_rest_for_so_long_and_says_until_when(line):
    one = await line("0 up@10 stall 0.2")
    begun = time.monotonic()
    assert await talk(await one.call()) == (TEXT, "end")
    assert time.monotonic() - begun >= 0.2
    (struck,) = one.struck
    assert struck.until - struck.at == pytest.approx(0.2)


async def test_a_delay_holds_each_later_piece(line):
    one = await line("0 up@0 delay 0.1")
    begun = time.monotonic()
    assert await talk(await one.call()) == (TEXT, "end")
    assert time.monotonic() - begun >= 0.1


async def test_what_was_said_is_said_again_on_another_connection(line):
    one = await line("0 up@300 replay")
    assert await talk(await one.call()) == (TEXT, "end")
    await settled(lambda: len(one.heard) == 2 and len(one.heard[1]) == 300)
    assert one.heard == [TEXT, TEXT[:300]]


async def test_a_fault_of_the_second_connection_leaves_the_first_alone(line):
    one = await line("0#2 up@5 cut")
    assert await talk(await one.call()) == (TEXT, "end")
    assert (await talk(await one.call()))[1] == "reset"
    assert await talk(await one.call()) == (TEXT, "end")


async def test_bytes_of_all_connections_together_count_and_a_fault_strikes_once(line):
    one = await line(f"0 up@{len(TEXT) + 50} cut")
    assert await talk(await one.call()) == (TEXT, "end")
    assert (await talk(await one.call()))[1] == "reset"
    assert await talk(await one.call()) == (TEXT, "end")
    await settled(lambda: len(one.ends) == 3)
    assert one.heard == [TEXT, TEXT[:50], TEXT]


async def test_two_faults_at_one_place_both_strike(line):
    one = await line("0 up@20 corrupt", "0 up@20 stall 0.05")
    heard, _ = await talk(await one.call())
    assert heard[20] != TEXT[20]
    assert len(one.struck) == 2


async def test_where_nobody_listens_the_caller_is_reset(line):
    one = await line()
    one.proxy.upstream = None
    assert await talk(await one.call()) == (b"", "reset")


async def test_a_fault_of_another_link_is_not_this_ones(line):
    one = await line("1 up@5 cut")
    assert await talk(await one.call()) == (TEXT, "end")
