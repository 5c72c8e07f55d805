import pytest
import trio

from net.contributing import Contributing
from net.control import Task
from net.peer import Peer
from protocols.errors import SERVER, DropReason
from protocols.ledger import NOTHING_ANSWERED
from protocols.messages import CODEC, DeliverShares


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
    peer = Peer(trio.testing.memory_stream_pair()[0])
    task = Task(1, 1, bytes(32))
    ignored = {name: lambda *_: None for name in ("before_send", "on_upload", "keep")}
    return Contributing(task, None, client, peer, **ignored)


DELIVERY = CODEC.encode(DeliverShares(frozenset(), {}, bytes(64)))


async def test_shares_that_come_while_we_train_are_held_back_until_the_input_is_there(client, contributing):
    await contributing.receive(DELIVERY)
    assert client.calls == []
    await contributing.trained(None)
    assert client.calls == [("set_input",), ("receive", "DeliverShares")]


async def test_a_second_delivery_while_we_train_ends_the_session_as_unexpected(client, contributing):
    await contributing.receive(DELIVERY)
    await contributing.receive(DELIVERY)
    assert client.calls == [("drop", SERVER, DropReason.UNEXPECTED)]
    assert contributing._delivery is None
