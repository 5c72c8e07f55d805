"""A party against a coordinator that holds the right keys and does not keep to the rules."""

import json
import threading
from dataclasses import replace

import pytest
import trio

from net.control import Finished, Ready, Reason, Refused, Task, Want, Welcome
from net.errors import NotAdmitted, PartyRefused
from net.events import Happened
from net.framing import Kind, header
from net.party import PAYLOAD_GROWTH
from net.peer import Peer, read_control
from net.store import read_keys
from net.tls import Endpoint, Pins
from protocols.session import model_digest

pytestmark = pytest.mark.slow


def payload(*sums, steps=3):
    return json.dumps({"steps": steps, "sums": sums}).encode()


RUN = bytes(16)
FIRST, LATER, LAST = payload(), payload(1, 1), payload(1, 1, 1)


class Liar:
    """Listens with the coordinator's keys; each connection of the bank is handed to the next of `scripts`."""

    def __init__(self, talk):
        self.bank = talk.banks[0]
        self.bank.initial = FIRST
        keys = read_keys(talk.folder / "coordinator.key")
        pins = Pins.of(talk.consortium.members)
        self._endpoint = Endpoint(talk.consortium.coordinator, keys.tls_root, pins, server=True)
        self._talk = talk

    async def meet(self, *scripts):
        """Until the bank has ended."""
        self._scripts = list(scripts)
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self._talk.port = listeners[0].socket.getsockname()[1]
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, self._serve, listeners)
                async with trio.open_nursery() as self._talk._parties:
                    self._talk.start(self.bank)
                nursery.cancel_scope.cancel()
        return self.bank

    async def _serve(self, transport):
        stream = self._endpoint.stream(transport)
        await stream.do_handshake()
        await Peer(stream).serve(self._scripts.pop(0))


@pytest.fixture
def liar(loopback):
    return Liar(loopback())


async def heard(peer):
    peer.deframer.limits = dict.fromkeys(Kind, 2**20)
    frame = await peer.receive()
    return None if frame is None else read_control(frame)


def after_the_welcome(script):
    async def converse(peer):
        await heard(peer)
        peer.say(Welcome())
        await script(peer)
        while await peer.receive() is not None:
            pass

    return converse


def saying(*messages):
    async def script(peer):
        for message in messages:
            peer.say(message)

    return after_the_welcome(script)


def handing(message, body):
    async def script(peer):
        peer.say(message)
        assert await heard(peer) == Want(message.payload)
        peer.post(Kind.PAYLOAD, body)

    return after_the_welcome(script)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Finished(1, model_digest(FIRST)), "a finished for the payload of step 1, and there are steps left"),
        (Finished(2, model_digest(FIRST)), "calls that of step 2 is of step 1"),
        (Task(1, 2, model_digest(FIRST), RUN), "calls that of step 2 is of step 1"),
        (Refused(Reason.CLOCK, "two\nlines"), "not one short line"),
    ],
)
async def test_what_it_says_of_the_payload_that_we_hold_must_be_true(liar, message, why):
    bank = await liar.meet(saying(message))
    assert isinstance(bank.error, PartyRefused)
    assert why in str(bank.error)
    assert not bank.happened(Happened.FINISHED)
    assert not bank.happened(Happened.TASK)


@pytest.mark.parametrize(
    ("message", "body", "why"),
    [
        (Finished(3, model_digest(LATER)), LATER, "there are steps left"),
        (Task(1, 4, model_digest(LAST), RUN), LAST, "no step is left after it"),
        (Task(1, 2, model_digest(LATER), RUN), LATER, "calls that of step 2 is of step 3"),
        (Task(1, 3, model_digest(LATER), RUN), LAST, "not the one that was announced"),
        (Task(1, 3, model_digest(b"no json"), RUN), b"no json", "none of this training"),
        (Task(1, 3, model_digest(LATER), RUN), bytes(len(FIRST) + PAYLOAD_GROWTH + 1), "are allowed now"),
    ],
)
async def test_a_payload_that_is_not_what_it_was_called_is_never_kept(liar, message, body, why):
    bank = await liar.meet(handing(message, body))
    assert isinstance(bank.error, PartyRefused)
    assert why in str(bank.error)
    assert not bank.config.payload.exists()
    assert not bank.happened(Happened.ADOPTED)


async def test_a_payload_that_nobody_asked_for_ends_the_connection(liar):
    async def script(peer):
        peer.post(Kind.PAYLOAD, LATER)

    bank = await liar.meet(after_the_welcome(script))
    assert "are allowed now" in str(bank.error)


async def test_a_later_end_is_taken_over_where_our_own_workload_says_that_it_is_one(liar, caplog):
    bank = await liar.meet(handing(Finished(4, model_digest(LAST)), LAST))
    assert bank.error is None
    assert bank.config.payload.read_bytes() == LAST
    assert [event.fl_round for event in bank.happened(Happened.ADOPTED)] == [4]
    assert bank.happened(Happened.FINISHED)
    assert "took over the coordinator's model of step 4: we were not there when it was computed" in caplog.text


async def test_a_stop_ends_a_party_whose_coordinator_is_silent_after_the_welcome(liar):
    liar.bank.on_event = lambda event: liar.bank.stop.set() if event.what is Happened.CONNECTED else None
    bank = await liar.meet(saying())
    assert bank.error is None


async def test_a_stop_ends_a_party_whose_hello_is_never_answered(liar):
    async def never_answer(peer):
        await heard(peer)
        liar.bank.stop.set()
        assert await peer.receive() is None

    bank = await liar.meet(never_answer)
    assert bank.error is None


async def test_a_stop_ends_a_party_whose_session_goes_nowhere_when_the_patience_is_over(liar, monkeypatch):
    monkeypatch.setattr("net.party.STOPPING_PATIENCE", 0.1)
    liar.bank.on_event = lambda event: liar.bank.stop.set() if event.what is Happened.TRAINED else None
    bank = await liar.meet(saying(Task(1, 1, model_digest(FIRST), RUN)))
    assert bank.error is None
    assert bank.happened(Happened.TRAINED)


async def test_a_hello_that_is_not_answered_in_time_is_said_again_until_the_patience_is_over(liar, monkeypatch):
    monkeypatch.setattr("net.line.HANDSHAKE_PATIENCE", 0.05)
    liar.bank.config = replace(liar.bank.config, patience=0.4)
    answered = []

    async def never_answer(peer):
        answered.append(await heard(peer))
        await peer.receive()

    bank = await liar.meet(*[never_answer] * 50)
    assert isinstance(bank.error, NotAdmitted)
    assert "does not answer our hello" in str(bank.error)
    assert len(answered) > 1


async def test_who_is_not_admitted_at_first_dials_again(liar):
    async def close(peer):
        pass

    bank = await liar.meet(close, close, handing(Finished(4, model_digest(LAST)), LAST))
    assert bank.error is None
    assert bank.happened(Happened.FINISHED)
    assert len(bank.happened(Happened.TURNED_AWAY)) == 1
    assert not bank.happened(Happened.LOST)


async def test_a_connection_that_breaks_inside_the_welcome_is_dialled_again(liar):
    async def say_half_a_welcome(peer):
        await heard(peer)
        await peer._stream.send_all(header(Kind.CONTROL, 10))
        await trio.aclose_forcefully(peer._stream)

    bank = await liar.meet(say_half_a_welcome, handing(Finished(4, model_digest(LAST)), LAST))
    assert bank.error is None
    assert bank.happened(Happened.FINISHED)


async def test_tasks_that_replace_each_other_leave_no_training_waiting(liar):
    going, release, begun = threading.Event(), threading.Event(), []
    train = liar.bank.workload.contribute

    def contribute(held):
        begun.append(1)
        going.set()
        assert release.wait(10)
        return train(held)

    async def script(peer):
        peer.say(Task(1, 1, model_digest(FIRST), RUN))
        await ready(peer, 1)
        await trio.to_thread.run_sync(going.wait)
        before = trio.lowlevel.current_statistics().tasks_living
        for session in range(2, 30):
            peer.say(Task(session, 1, model_digest(FIRST), RUN))
            await ready(peer, session)
        assert trio.lowlevel.current_statistics().tasks_living <= before + 2
        liar.bank.stop.set()
        release.set()
        peer.close()

    liar.bank.workload.contribute = contribute
    bank = await liar.meet(after_the_welcome(script))
    assert bank.error is None
    assert len(begun) <= 2


async def ready(peer, session):
    while (frame := await peer.receive()) is not None:
        if frame.kind is Kind.CONTROL and read_control(frame) == Ready(session):
            return
        peer.deframer.limits = dict.fromkeys(Kind, 2**20)
