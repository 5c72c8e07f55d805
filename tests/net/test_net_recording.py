"""Records in whole sessions over real TLS: who holds which, who catches up, who is no longer believed."""

import json
import shutil
import threading
from dataclasses import replace

import pytest
import trio
from powers import initial

from net.control import RUN_BYTES, Finished, Reason, Records, Refused, Task, WantRecords, Welcome
from net.errors import TooFewParties
from net.events import Happened
from net.framing import Kind
from net.peer import Peer, read_control
from net.policy import ASSEMBLE, Policy, RoundPolicy
from net.recorder import MOST_AT_ONCE, Recorder
from net.records import RecordsFile
from net.store import read_keys
from net.tls import Endpoint, Pins
from net.witness import Witness
from protocols.errors import AbortReason, PartyId
from protocols.evidence import Seen
from protocols.machine import Aborted, Aggregate
from protocols.record import START, Record, Summed, Witnessed, require_follows, verify
from protocols.session import NO_RECORD, model_digest

pytestmark = pytest.mark.slow


def sums(payload):
    return json.loads(payload)["sums"]


def records_of(talk, name="coordinator"):
    return RecordsFile(talk.folder / f"{name}.records", talk.consortium)


def chain_of(talk, name="coordinator"):
    """Verified, one after the other."""
    head, chain = START, []
    for record in records_of(talk, name).chain():
        require_follows(record, head)
        verify(record, talk.consortium)
        chain.append(record)
        head = record.head
    return chain


def require_same_everywhere(talk, *, but=()):
    chain = chain_of(talk)
    for bank in talk.banks:
        if bank.place not in but:
            assert chain_of(talk, f"bank-{bank.place}") == chain
            assert records_of(talk, f"bank-{bank.place}").contested() == []
            assert not bank.happened(Happened.CONTESTED)
    return chain


async def test_the_coordinator_and_every_bank_hold_the_same_chain(loopback):
    talk = loopback()
    payload = await talk.run(steps=3)
    chain = require_same_everywhere(talk)
    assert [record.fl_round for record in chain] == [1, 2, 3]
    assert [record.evidence.u3 for record in chain] == [frozenset(range(5))] * 3
    assert [record.params.subject.last_record for record in chain] == [NO_RECORD, chain[0].digest, chain[1].digest]
    assert chain[0].params.subject.model == model_digest(initial(3))
    assert [record.ending.next_model for record in chain[:2]] == [one.params.subject.model for one in chain[1:]]
    assert chain[-1].ending.next_model == model_digest(payload)
    assert all(record.transcripts.keys() == set(range(5)) for record in chain)


@pytest.mark.parametrize(
    ("banks", "changes"),
    [
        (5, {"variant": "curious", "colluding": 0}),
        (5, {"protocol": "secagg+"}),
        (5, {"protocol": "lightsecagg"}),
        (5, {"protocol": "committee"}),
        (7, {"protocol": "committee", "aggregators": ("bank-3", "bank-4", "bank-5", "bank-6")}),
        (5, {"rounds_per_epoch": 2}),
    ],
    ids=["curious", "secagg+", "lightsecagg", "committee", "committee-apart", "epochs"],
)
async def test_so_they_do_in_every_protocol(loopback, banks, changes):
    talk = loopback(banks, **{key: value for key, value in changes.items() if key != "variant"}, **variant_of(changes))
    for bank in talk.banks:
        terms = replace(bank.config.terms, variant=talk.consortium.variant, max_colluding=talk.consortium.colluding)
        bank.config = replace(bank.config, terms=terms)
    await talk.run(steps=3)
    chain = require_same_everywhere(talk)
    assert [record.fl_round for record in chain] == [1, 2, 3]
    confirmed = [len(verify(record, talk.consortium).confirmations) for record in chain]
    assert all(confirmed) is ("variant" not in changes)
    assert all(record.transcripts.keys() == set(range(banks)) for record in chain)


def variant_of(changes):
    from protocols.session import Variant

    return {"variant": Variant(changes.get("variant", "active"))}


async def test_an_aborted_session_has_its_record_too(loopback):
    talk = loopback()
    talk.policy = replace(talk.policy, attempts=2)
    talk.banks[0].kill_at = talk.banks[1].kill_at = "MaskedInput"
    await talk.run()
    aborted, summed = require_same_everywhere(talk, but=(0, 1))
    assert aborted.ending == Aborted(AbortReason.TOO_FEW)
    assert aborted.dropped.keys() == {0, 1}
    assert aborted.evidence.u2 == frozenset(range(5))
    assert summed.evidence.u3 == {2, 3, 4}
    assert summed.params.subject.model == aborted.params.subject.model


async def test_a_sum_that_nothing_follows_from_is_recorded_as_none(loopback):
    talk = loopback()
    talk.policy = replace(talk.policy, attempts=2)
    refusals = [ValueError("out of range")]

    def refuse_once(fl_round):
        if refusals:
            raise refusals.pop()

    talk.workload.before_advance = refuse_once
    await talk.run()
    stopped, summed = require_same_everywhere(talk)
    assert stopped.ending == Aborted(AbortReason.STOPPED)
    assert isinstance(summed.ending, Summed)


async def test_a_coordinator_that_is_started_again_goes_on_with_its_chain(loopback):
    talk = loopback()
    talk.workload.before_advance = lambda fl_round: trio.from_thread.run_sync(talk.stop.set)
    await talk.run(steps=2)
    talk.workload.before_advance = lambda fl_round: None
    talk.stop = trio.Event()
    await talk.run(steps=2)
    assert [record.number for record in require_same_everywhere(talk)] == [1, 2]


# Who was not there


async def test_a_party_that_returns_is_given_the_records_that_it_missed(loopback, monkeypatch):
    """More of them than are given at once, before the session that it comes back for."""
    monkeypatch.setattr("net.recorder.MOST_AT_ONCE", 2)
    monkeypatch.setattr("net.catching_up.MOST_AT_ONCE", 2)
    talk = loopback()
    victim, back = talk.banks[1], threading.Event()

    def hold_until_it_is_back(fl_round):
        if fl_round == 6:
            victim.kill_at, victim.on_event = None, lambda event: event.what is Happened.CONNECTED and back.set()
            trio.from_thread.run_sync(talk.start, victim)
            assert back.wait(10)

    victim.kill_at = "MaskedInput"
    talk.workload.before_advance = hold_until_it_is_back
    payload = await talk.run(steps=7)
    assert sums(payload) == [0b11101] * 6 + [0b11111]
    chain = require_same_everywhere(talk)
    assert chain[0].dropped.keys() == chain[5].dropped.keys() == {1}
    assert chain[6].evidence.u3 == frozenset(range(5))


async def test_a_party_that_comes_when_all_is_over_is_given_every_record(loopback):
    talk = loopback()
    talk.banks[2].kill_at = "MaskedInput"
    await talk.run(steps=2)
    assert chain_of(talk, "bank-2") == []
    talk.banks[2].kill_at, talk.banks[2].error = None, None
    await talk.run(steps=2)
    assert talk.banks[2].error is None
    assert len(require_same_everywhere(talk)) == 2


async def test_a_party_that_lost_its_file_is_given_all_of_it_again(loopback):
    talk = loopback()
    talk.workload.before_advance = lambda fl_round: fl_round == 2 and trio.from_thread.run_sync(talk.stop.set)
    await talk.run(steps=3)
    (talk.folder / "bank-4.records").unlink()
    talk.workload.before_advance = lambda fl_round: None
    talk.stop = trio.Event()
    assert sums(await talk.run(steps=3)) == [31] * 3
    assert len(require_same_everywhere(talk)) == 3


# A history that is not the same


@pytest.fixture
async def half_way(loopback):
    """Two of three steps are done, everybody has both records, and everything is stopped."""
    talk = loopback()
    talk.workload.before_advance = lambda fl_round: fl_round == 2 and trio.from_thread.run_sync(talk.stop.set)
    await talk.run(steps=3)
    talk.workload.before_advance = lambda fl_round: None
    talk.stop = trio.Event()
    for bank in talk.banks:  # one that stopped sooner than the record came would ask for it the next time
        shutil.copy(talk.folder / "coordinator.records", talk.folder / f"bank-{bank.place}.records")
    return talk


async def test_a_coordinator_that_lost_its_records_is_declined_until_it_has_copied_a_banks(half_way, caplog):
    talk = half_way
    (talk.folder / "coordinator.records").unlink()
    talk.policy = Policy(RoundPolicy(patience=1.0), attempts=1)
    with pytest.raises(TooFewParties):
        await talk.run(steps=3)
    (declined,) = talk.banks[0].happened(Happened.DECLINED)
    assert "the coordinator's records end at 0 and ours at 2: it has lost some, and can copy our file" in declined.text
    assert "bank-0 does not take part in step 3" in caplog.text
    shutil.copy(talk.folder / "bank-3.records", talk.folder / "coordinator.records")
    talk.policy = Policy(RoundPolicy(patience=20.0), attempts=1)
    assert sums(await talk.run(steps=3)) == [31] * 3
    assert len(require_same_everywhere(talk)) == 3


async def test_whoever_was_shown_another_history_takes_no_part_with_the_others(half_way, make_keys):
    """The coordinator gave bank-0 another record 2, as well signed."""
    talk = half_way
    first, second = chain_of(talk)
    forked = replace(second, fl_round=99).signed(make_keys("coordinator").identity)
    (talk.folder / "bank-0.records").unlink()
    apart = records_of(talk, "bank-0")
    apart.append(first, START)
    apart.append(forked, first.head)
    assert sums(await talk.run(steps=3)) == [31, 31, 0b11110]
    require_same_everywhere(talk, but=(0,))
    (declined,) = talk.banks[0].happened(Happened.DECLINED)
    assert "the coordinator's record 2 is not the one that we hold: its history was forked" in declined.text
    assert chain_of(talk, "bank-0") == [first, forked]
    ((why, data),) = apart.contested()
    assert why == "record 3 does not follow record 2: it names another one"
    assert Record.from_bytes(data).number == 3


async def test_a_client_that_holds_another_last_record_refuses_the_session_itself(half_way, monkeypatch):
    """Though the coordinator said nothing of records."""
    talk = half_way
    monkeypatch.setattr("net.recorder.Recorder.announce", lambda *_: None)
    (talk.folder / "bank-0.records").unlink()
    assert sums(await talk.run(steps=3)) == [31, 31, 0b11110]
    (aborted,) = [event for event in talk.banks[0].happened(Happened.ABORTED) if event.fl_round == 3]
    assert "outside-terms" in aborted.text


async def test_a_damaged_file_ends_its_process_with_one_line(half_way):
    talk = half_way
    damaged = talk.folder / "bank-0.records"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    talk.policy = Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=1.5)})
    assert sums(await talk.run(steps=3)) == [31, 31, 0b11110]
    assert str(talk.banks[0].error).startswith(f"{damaged}: ")
    assert "bring a copy from another member, or move it away" in str(talk.banks[0].error)
    shutil.copy(damaged, talk.folder / "coordinator.records")
    with pytest.raises(Exception, match="bring a copy from another member"):
        await talk.run(steps=3)


# A witness by itself


@pytest.fixture
async def witness(half_way):
    """bank-0's, after the first of two records; what happens is noted in `events`."""
    events = []
    first, _ = chain_of(half_way)
    (half_way.folder / "bank-0.records").unlink()
    records_of(half_way, "bank-0").append(first, START)
    made = Witness(half_way.folder / "bank-0.model", half_way.consortium, PartyId(0), events.append)
    await made.read()
    made.events, made.talk = events, half_way
    return made


def contested(witness):
    return [why for why, _ in records_of(witness.talk, "bank-0").contested()]


async def test_the_next_record_is_taken_and_a_known_one_is_nothing_new(witness):
    first, second = chain_of(witness.talk)
    for record in (first, second, second, first):
        await witness.receive(record.to_bytes())
    assert witness.head == second.head
    assert (witness.events, witness.distrust, contested(witness)) == ([], None, [])
    assert chain_of(witness.talk, "bank-0") == [first, second]


async def test_a_record_beyond_the_next_is_left_for_later(witness, make_keys):
    _, second = chain_of(witness.talk)
    later = replace(second, number=7).signed(make_keys("coordinator").identity)
    await witness.receive(later.to_bytes())
    assert (witness.head.number, witness.events, witness.distrust) == (1, [], None)


def lies_about(second, keys):
    """What the coordinator could send in place of the second record, and what is said of it."""
    subject = second.params.subject
    coordinator, bank = keys("coordinator").identity, keys("bank-1").identity
    yield b"no record at all", "these bytes are no record"
    yield replace(second, fl_round=9).to_bytes(), "its signature is wrong"
    yield second.signed(bank).to_bytes(), "not by the coordinator"
    elsewhere = replace(subject, last_record=bytes(range(32)))
    yield (
        replace(second, previous=bytes(range(32)), params=replace(second.params, subject=elsewhere))
        .signed(coordinator)
        .to_bytes(),
        "did not sign",
    )
    silent = replace(second.evidence, confirmations={}, u4=frozenset())
    yield replace(second, evidence=silent).signed(coordinator).to_bytes(), "0 confirmations of its set"


@pytest.mark.parametrize("which", range(5))
async def test_what_cannot_be_believed_is_kept_apart_and_said_aloud(witness, make_keys, caplog, which):
    _, second = chain_of(witness.talk)
    data, why = list(lies_about(second, make_keys))[which]
    await witness.receive(data)
    assert witness.head.number == 1
    assert why in str(witness.distrust)
    assert why in contested(witness)[0]
    assert [event.what for event in witness.events] == [Happened.CONTESTED]
    assert "a record of the coordinator is contested, and kept as evidence" in caplog.text
    assert len(chain_of(witness.talk, "bank-0")) == 1


async def test_two_records_of_one_number_prove_a_fork(witness, make_keys):
    first, _ = chain_of(witness.talk)
    other = replace(first, fl_round=9).signed(make_keys("coordinator").identity)
    await witness.receive(other.to_bytes())
    assert witness.distrust == "the coordinator signed two records 1"
    assert records_of(witness.talk, "bank-0").contested() == [(witness.distrust, other.to_bytes())]


def own_view(record, talk, **changes):
    """What bank-0 would know of the session of this record, had it been in it."""
    testimony = verify(record, talk.consortium)
    return replace(Witnessed(Seen(record.params, testimony.statement), None, None), **changes)


async def test_what_agrees_with_what_we_saw_is_believed(witness):
    _, second = chain_of(witness.talk)
    witness.took_part(own_view(second, witness.talk, line=second.transcripts[PartyId(0)]))
    await witness.receive(second.to_bytes())
    assert (witness.head, witness.events) == (second.head, [])


async def test_a_record_of_another_set_than_we_confirmed_is_kept_in_both_places(witness, caplog):
    """It is well signed and next in the chain: it is what the coordinator says, and we say otherwise."""
    _, second = chain_of(witness.talk)
    other = Seen(second.params, ("confirm", bytes(32), b"\x0f"))
    witness.took_part(own_view(second, witness.talk, seen=other))
    await witness.receive(second.to_bytes())
    assert (witness.head, witness.distrust) == (second.head, None)
    assert contested(witness) == ["it names another set, or another session behind it, than the one that we confirmed"]
    assert [event.what for event in witness.events] == [Happened.CONTESTED]
    assert "record 2: it names another set" in caplog.text
    assert len(chain_of(witness.talk, "bank-0")) == 2


async def test_a_sum_that_we_hold_and_no_record_tells_of_is_said_aloud(witness):
    first, second = chain_of(witness.talk)
    vector = witness.talk.workload.spec(b"").field.vector([1] * 50)
    aggregate = Aggregate(vector, frozenset({PartyId(0)}))
    witness.took_part(own_view(first, witness.talk, aggregate=aggregate))
    await witness.receive(second.to_bytes())
    assert contested(witness) == ["there is no record of a session whose sum we were given"]
    witness.took_part(own_view(second, witness.talk))
    assert witness.head == second.head


def lying(monkeypatch, **changes):
    """A coordinator that draws up its records with these in the place of the truth, and signs them."""
    draw_up = Recorder._drawn_up
    monkeypatch.setattr(Recorder, "_drawn_up", lambda own, concluded: replace(draw_up(own, concluded), **changes))


async def test_each_party_holds_a_record_against_what_it_saw_itself(loopback, monkeypatch):
    """What the coordinator says of bank-1's messages is wrong; nobody else can know."""
    talk = loopback()
    lying(monkeypatch, transcripts={PartyId(1): bytes(range(32))})
    await talk.run(steps=2)
    for bank in talk.banks:
        told = [event.text for event in bank.happened(Happened.CONTESTED)]
        assert len(told) == (2 if bank.place == 1 else 0), told
        assert all("what it says that we and the coordinator said to each other" in text for text in told)
        assert len(chain_of(talk, f"bank-{bank.place}")) == 2


async def test_a_record_of_another_sum_is_contested_by_all_who_were_given_it(loopback, monkeypatch):
    talk = loopback()
    lying(monkeypatch, ending=Summed(bytes(32), bytes(32)))
    await talk.run()
    for bank in talk.banks:
        (event,) = bank.happened(Happened.CONTESTED)
        assert event.text == "record 1: its sum is not the one that we were given"


async def test_a_session_whose_record_would_be_too_large_goes_without_one(loopback, monkeypatch, caplog):
    monkeypatch.setattr("protocols.record.LARGEST_RECORD", 1000)
    talk = loopback()
    assert sums(await talk.run(steps=2)) == [31, 31]
    assert chain_of(talk) == chain_of(talk, "bank-0") == []
    assert "step 2: no record of this session is kept: a record of " in caplog.text


# A coordinator that does not keep to the rules of catching up


class Scripted:
    """Listens with the coordinator's keys and talks to bank-0, which holds one record, as `script` says."""

    def __init__(self, talk):
        self.talk, self.bank = talk, talk.banks[0]
        keys = read_keys(talk.folder / "coordinator.key")
        pins = Pins.of(talk.consortium.members)
        self._endpoint = Endpoint(talk.consortium.coordinator, keys.tls_root, pins, server=True)

    async def meet(self, script):
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.talk.port = listeners[0].socket.getsockname()[1]

        async def serve(transport):
            stream = self._endpoint.stream(transport)
            await stream.do_handshake()
            await Peer(stream).serve(converse)

        async def converse(peer):
            peer.deframer.limits = dict.fromkeys(Kind, 2**20)
            await peer.receive()
            peer.say(Welcome())
            await script(peer)
            self.bank.stop.set()

        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, serve, listeners)
                async with trio.open_nursery() as self.talk._parties:
                    self.talk.start(self.bank)
                nursery.cancel_scope.cancel()


@pytest.fixture
async def scripted(half_way):
    first, _ = chain_of(half_way)
    (half_way.folder / "bank-0.records").unlink()
    records_of(half_way, "bank-0").append(first, START)
    return Scripted(half_way)


async def said(peer, kind=object):
    while not isinstance(message := read_control(await peer.receive()), kind):
        pass
    return message


def task(payload, session=1):
    return Task(session, 3, payload, bytes(RUN_BYTES))


async def test_a_task_waits_for_the_records_that_it_builds_on(scripted):
    _, second = chain_of(scripted.talk)
    payload = model_digest((scripted.talk.folder / "bank-0.model").read_bytes())
    held = []

    def note(event):
        if event.what is Happened.TASK:
            held.append(len(chain_of(scripted.talk, "bank-0")))

    scripted.bank.on_event = note

    async def script(peer):
        peer.say(Records(2, second.digest))
        peer.say(task(payload))
        assert await said(peer) == WantRecords(1)
        peer.post(Kind.RECORD, second.to_bytes())
        assert type(await said(peer)).__name__ == "Ready"

    await scripted.meet(script)
    assert chain_of(scripted.talk, "bank-0")[-1] == second
    assert held == [2]


@pytest.mark.parametrize(
    ("number", "digest", "why"),
    [
        (0, NO_RECORD, "the coordinator's records end at 0 and ours at 1"),
        (1, bytes(range(32)), "the coordinator's record 1 is not the one that we hold"),
    ],
)
async def test_a_chain_that_cannot_be_ours_is_declined_at_the_task(scripted, number, digest, why):
    payload = model_digest((scripted.talk.folder / "bank-0.model").read_bytes())

    async def script(peer):
        peer.say(Records(number, digest))
        peer.say(task(payload))
        refused = await said(peer, Refused)
        assert refused.reason is Reason.OTHER_RECORDS
        assert why in refused.text

    await scripted.meet(script)
    assert [event.fl_round for event in scripted.bank.happened(Happened.TASK)] == [1, 2]


async def test_a_chain_whose_next_record_is_a_lie_is_declined_at_the_task(scripted):
    _, second = chain_of(scripted.talk)
    payload = model_digest((scripted.talk.folder / "bank-0.model").read_bytes())

    async def script(peer):
        for again in range(2):
            peer.say(Records(2, second.digest))
            peer.say(task(payload, session=1 + again))
            if not again:
                assert await said(peer) == WantRecords(1)
                peer.post(Kind.RECORD, replace(second, fl_round=8).to_bytes())
            assert "cannot be believed: its signature is wrong" in (await said(peer, Refused)).text

    await scripted.meet(script)
    assert len(scripted.bank.happened(Happened.CONTESTED)) == 1


async def test_the_end_is_the_end_whatever_becomes_of_the_records(scripted):
    """Here it says where its chain ends and gives nothing of it that could be believed."""
    talk = scripted.talk
    last = json.loads((talk.folder / "bank-0.model").read_bytes())
    done = json.dumps({"steps": 2, "sums": last["sums"]}).encode()
    (talk.folder / "bank-0.model").write_bytes(done)

    async def script(peer):
        peer.say(Records(9, bytes(range(32))))
        peer.say(Finished(3, model_digest(done)))
        assert await said(peer) == WantRecords(1)
        peer.post(Kind.RECORD, b"nothing")
        while await peer.receive() is not None:
            pass

    await scripted.meet(script)
    assert scripted.bank.error is None
    assert scripted.bank.happened(Happened.FINISHED)


async def test_nobody_is_given_the_same_records_twice_on_one_connection(half_way):
    given = []

    class Listening:
        def post(self, kind, data):
            given.append(Record.from_bytes(data).number)

    keys = read_keys(half_way.folder / "coordinator.key")
    recorder = Recorder(half_way.folder / "coordinator.model", half_way.consortium, keys.identity)
    peer = Listening()
    for after in (0, 0, 1, 0, 2, 1):
        await recorder.give(peer, after)
    assert given == [1, 2, 2]
    assert MOST_AT_ONCE > 2
