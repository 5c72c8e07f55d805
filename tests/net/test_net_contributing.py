import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import trio

from net.contributing import Contributing
from net.control import Task
from net.party_journal import KeptFrame, KeptSession
from protocols.errors import SERVER, DropReason
from protocols.ledger import NOTHING_ANSWERED
from protocols.machine import Envelope
from protocols.messages import CODEC, Confirm, DeliverShares, MaskedInput, UnmaskRequest
from protocols.secagg.family import SECAGG


class Client:
    """Writes down what is done with it."""

    outcome = None
    ledger = NOTHING_ANSWERED
    warnings = ()

    def __init__(self):
        self.calls = []

    def receive(self, sender, message):
        self.calls.append(("receive", type(message).__name__))
        return []

    def drop(self, party, reason):
        self.calls.append(("drop", party, reason))
        return []

    def set_input(self, vector):
        self.calls.append(("set_input",))


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def contributing(client):
    return taken(client)


class Memory:
    """A journal that keeps what was said in a list."""

    def __init__(self):
        self.bodies = []

    def write(self, session, machine, said):
        frames = tuple(KeptFrame(kind, len(body), len(self.bodies) + at) for at, (kind, body) in enumerate(said))
        self.bodies += [body for _, body in said]
        return replace(session, frames=(*session.frames, *frames))

    def body(self, frame):
        return self.bodies[frame.body]

    def finish(self, session, machine):
        pass


TASK = Task(1, 1, bytes(32), bytes(16))


def taken(client, *, trains=True, most_waiting=1000):
    kept = KeptSession(TASK, bytes(32), 0, not trains, ())
    ignored = {name: lambda *_: None for name in ("before_send", "on_upload")}
    return Contributing(None, SECAGG, client, kept, Memory(), most_waiting=most_waiting, **ignored)


class Wire:
    """A peer that writes down what is posted to it."""

    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append((type(message).__name__, message.size))

    def post(self, kind, *parts, progress=None):
        self.said.append((kind.name, len(parts[-1])))


CONFIRMED = CODEC.encode(UnmaskRequest({}))
DELIVERY = CODEC.encode(DeliverShares(frozenset(), {}, bytes(64)))


async def test_shares_that_come_while_we_train_are_held_back_until_the_input_is_there(client, contributing):
    await contributing.receive(DELIVERY)
    assert client.calls == []
    await contributing.give_input(None)
    assert client.calls == [("set_input",), ("receive", "DeliverShares")]


async def test_a_second_delivery_while_we_train_ends_the_session_as_unexpected(client, contributing):
    await contributing.receive(DELIVERY)
    await contributing.receive(DELIVERY)
    assert client.calls == [("drop", SERVER, DropReason.UNEXPECTED)]
    assert not contributing._waiting


async def test_what_comes_after_the_shares_waits_behind_them(client, contributing):
    for body in (DELIVERY, CONFIRMED):
        await contributing.receive(body)
    assert client.calls == []
    await contributing.give_input(None)
    assert client.calls == [("set_input",), ("receive", "DeliverShares"), ("receive", "UnmaskRequest")]


async def test_more_than_the_room_for_what_waits_ends_the_session(client):
    contributing = taken(client, most_waiting=len(DELIVERY) + len(CONFIRMED))
    for body in (DELIVERY, CONFIRMED):
        await contributing.receive(body)
    assert client.calls == []
    await contributing.receive(CONFIRMED)
    assert client.calls == [("drop", SERVER, DropReason.UNEXPECTED)]


async def test_a_party_that_only_aggregates_waits_for_no_input(client):
    await taken(client, trains=False).receive(DELIVERY)
    assert client.calls == [("receive", "DeliverShares")]


async def test_each_upload_is_offered_when_the_one_before_it_has_been_granted(client):
    inputs = [MaskedInput(bytes(size)) for size in (10, 20, 30)]
    sizes = [len(CODEC.encode(one)) for one in inputs]
    client.receive = lambda sender, message: [Envelope((SERVER,), one) for one in inputs]
    wire, contributing = Wire(), taken(client, trains=False)
    await contributing.attach(wire, 0)
    await contributing.receive(DELIVERY)
    assert wire.said == [("Offer", sizes[0])]
    for _ in range(4):
        await contributing.granted()
    uploaded, offered = ([size for what, size in wire.said if what == name] for name in ("UPLOAD", "Offer"))
    assert uploaded == offered == sizes
    assert [what for what, _ in wire.said] == ["Offer", "UPLOAD"] * 3


async def test_what_follows_an_upload_leaves_behind_it(client):
    messages = [MaskedInput(bytes(10)), Confirm(bytes(64)), MaskedInput(bytes(20)), Confirm(bytes(64))]
    client.receive = lambda sender, message: [Envelope((SERVER,), one) for one in messages]
    wire, contributing = Wire(), taken(client, trains=False)
    await contributing.attach(wire, 0)
    await contributing.receive(DELIVERY)
    assert [what for what, _ in wire.said] == ["Offer"]
    await contributing.granted()
    assert [what for what, _ in wire.said] == ["Offer", "UPLOAD", "MESSAGE", "Offer"]
    await contributing.granted()
    assert [what for what, _ in wire.said][4:] == ["UPLOAD", "MESSAGE"]


def test_parties_that_run_in_threads_of_one_process_do_not_wait_for_each_others_uploads(monkeypatch):
    parties = 5
    together = threading.Barrier(parties)

    def body_of_all_at_once(memory, frame):
        together.wait(timeout=10)
        return memory.bodies[frame.body]

    monkeypatch.setattr(Memory, "body", body_of_all_at_once)

    async def take_part():
        client, wire = Client(), Wire()
        client.receive = lambda sender, message: [Envelope((SERVER,), Confirm(bytes(64)))]
        with trio.fail_after(20):
            contributing = taken(client, trains=False)
            await contributing.attach(wire, 0)
            await contributing.receive(DELIVERY)
        return [what for what, _ in wire.said]

    with ThreadPoolExecutor(parties) as pool:
        assert list(pool.map(trio.run, [take_part] * parties)) == [["MESSAGE"]] * parties
