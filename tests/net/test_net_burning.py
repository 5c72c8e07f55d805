"""What cannot be taken up is given up for good, with one line: no second answer leaves, and the training goes on."""

import json
from dataclasses import replace

import pytest
from crashing import Crash, Killed, Writes

from mpc.keys import SigningKey
from net.contributing import Contributing
from net.control import Resumed
from net.events import Happened
from net.journal import storage_key
from net.ledger_file import LedgerFile
from net.peer import Peer
from net.policy import Policy, RoundPolicy
from protocols.ledger import ONE_VERSION

pytestmark = pytest.mark.slow

PATIENT = Policy(RoundPolicy(patience=20.0), attempts=2, grace=20.0)
VICTIM = 2
MASKED = Crash(7, after=True)  # the ledger that leads to the masked input
HUB_GIVEN_UP = "the session that was open when this coordinator ended is given up: "
GIVEN_UP = "the session that was open when this party ended is given up: "


def die():
    raise Killed


def sums(payload):
    return json.loads(payload)["sums"]


def killed_once(talk, monkeypatch, crash, meanwhile):
    """A bank that is killed there, comes back, and finds what `meanwhile` did to its files."""
    bank, talk.policy = talk.banks[VICTIM], PATIENT
    bank.returns = True
    bank.meanwhile = meanwhile
    return Writes(f"bank-{VICTIM}", die, crash).watch(monkeypatch.setattr)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda path: path.unlink(), "cannot be read: No such file or directory"),
        (cut_short, "torn, damaged, or of another identity or time"),
        (flip, "torn, damaged, or of another identity or time"),
        (lambda path: path.write_bytes(b""), "torn, damaged, or of another identity or time"),
    ],
    ids=["gone", "cut short", "flipped", "empty"],
)
async def test_a_bank_whose_journal_is_harmed_is_out_of_the_session_and_in_the_next(
    loopback, monkeypatch, caplog, harm, line
):
    talk = loopback()
    journal = talk.banks[VICTIM].config.payload.with_suffix(".journal")
    killed_once(talk, monkeypatch, MASKED, lambda: harm(journal))
    payload = await talk.run(steps=2)
    assert sums(payload) == [0b11011, 0b11111]
    told = [record.getMessage() for record in caplog.records if GIVEN_UP in record.getMessage()]
    assert told == [f"{GIVEN_UP}{journal}: {line}"]
    assert not journal.exists()
    assert all(bank.config.payload.read_bytes() == payload for bank in talk.banks)


async def test_an_older_journal_is_not_taken_up_and_is_gone_afterwards(loopback, monkeypatch, caplog):
    talk = loopback()
    journal = talk.banks[VICTIM].config.payload.with_suffix(".journal")
    older = []
    writes = killed_once(talk, monkeypatch, MASKED, lambda: journal.write_bytes(older[3]))
    count = writes._count

    def counted(what, write):
        count(what, write)
        if journal.exists():
            older.append(journal.read_bytes())

    monkeypatch.setattr(writes, "_count", counted)
    assert sums(await talk.run(steps=2)) == [0b11011, 0b11111]
    assert f"{GIVEN_UP}{journal}: torn, damaged, or of another identity or time" in caplog.text
    assert not journal.exists()


async def test_a_ledger_that_is_gone_leaves_no_way_into_the_journal(loopback, monkeypatch):
    talk = loopback()
    ledger = talk.banks[VICTIM].config.payload.with_suffix(".ledger")
    killed_once(talk, monkeypatch, MASKED, ledger.unlink)
    assert sums(await talk.run(steps=2)) == [0b11011, 0b11111]
    assert not talk.banks[VICTIM].happened(Happened.RESUMED)


class Rows:
    """A workload that tells its versions apart."""

    local_version = ONE_VERSION

    def __init__(self, other):
        self._other = other

    def __getattr__(self, name):
        return getattr(self._other, name)

    def retrains(self, payload):
        return True

    def contribute_again(self, payload):
        return self._other.contribute(payload)


async def test_a_bank_whose_rows_have_changed_does_not_go_on_with_what_it_trained_on_the_others(
    loopback, monkeypatch, caplog
):
    talk = loopback()
    bank = talk.banks[VICTIM]
    bank.workload = Rows(bank.workload)
    killed_once(talk, monkeypatch, MASKED, lambda: setattr(bank.workload, "local_version", bytes(31) + b"2"))
    assert sums(await talk.run(steps=2)) == [0b11011, 0b11111]
    assert f"{GIVEN_UP}the consortium's file, or our rows, are not what they were" in caplog.text


async def test_after_the_end_no_bank_has_a_journal_or_a_session_that_is_open(loopback):
    talk = loopback()
    await talk.run(steps=2)
    assert not list(talk.folder.glob("*.journal"))
    for bank in talk.banks:
        ledger, last = LedgerFile(bank.config.payload.with_suffix(".ledger")).read_journaled()
        assert (ledger.sessions, last) == ((), None)


@pytest.mark.parametrize(
    ("harm", "line"),
    [
        (lambda path: path.unlink(), None),
        (lambda path: path.write_bytes(b"no journal"), "torn, damaged, or of another identity or time"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "torn, damaged, or of another identity or time"),
    ],
    ids=["gone", "none", "cut short"],
)
async def test_a_coordinator_whose_journal_is_harmed_begins_the_step_anew(loopback, monkeypatch, caplog, harm, line):
    talk = loopback()
    talk.policy = PATIENT
    journal = talk.folder / "coordinator.journal"
    Writes("coordinator", die, Crash(2, after=True)).watch(monkeypatch.setattr)
    talk.between = lambda: harm(journal)
    payload = await talk.run()
    assert (sums(payload), talk.crashes) == ([31], 1)
    told = [one for one in caplog.messages if "the session that was open when this coordinator ended is given" in one]
    assert told == ([] if line is None else [f"{HUB_GIVEN_UP}{journal}: {line}"])
    assert all(bank.config.payload.read_bytes() == payload for bank in talk.banks)
    assert all(len(bank.happened(Happened.ABORTED)) == 1 for bank in talk.banks)


async def test_a_coordinator_whose_newest_step_is_torn_goes_on_from_the_one_before(loopback, monkeypatch):
    """The power went while it was written: nothing of it had left."""
    talk = loopback()
    talk.policy = PATIENT
    journal = talk.folder / "coordinator.journal"
    Writes("coordinator", die, Crash(2, after=True)).watch(monkeypatch.setattr)
    talk.between = lambda: cut_short(journal)
    assert sums(await talk.run()) == [31]
    assert not any(bank.happened(Happened.ABORTED) for bank in talk.banks)


@pytest.mark.parametrize("number", [3, 4])
async def test_a_coordinators_older_journal_opens_no_second_set(loopback, monkeypatch, masked, caplog, number):
    """It has forgotten what it showed: who knows better leaves the session, and the next attempt is over all."""
    talk = loopback()
    talk.policy = PATIENT
    journal, older = talk.folder / "coordinator.journal", []
    writes = Writes("coordinator", die, Crash(number, after=True)).watch(monkeypatch.setattr)
    count = writes._count

    def counted(what, write):
        count(what, write)
        older.append(journal.read_bytes())

    monkeypatch.setattr(writes, "_count", counted)
    talk.between = lambda: journal.write_bytes(older[1])
    payload = await talk.run()
    assert sums(payload) == [31]
    assert all(bank.config.payload.read_bytes() == payload for bank in talk.banks)
    assert all(len(set(uploads)) == 1 for sessions in masked.values() for uploads in sessions.values())
    assert all(len(sessions) == 2 for sessions in masked.values())
    assert "refused what the coordinator sent" not in caplog.text  # it was not even asked to say it again


async def test_a_coordinator_that_has_more_of_a_bank_than_it_ever_said_is_refused(loopback, monkeypatch, caplog):
    talk = loopback()
    talk.policy = PATIENT
    wire, say = talk.wire(VICTIM), Peer.say

    def boast(self, message):
        say(self, replace(message, taken=9) if isinstance(message, Resumed) else message)

    monkeypatch.setattr(Peer, "say", boast)

    def cut_once(event):
        if event.what is Happened.TRAINED and not wire.cuts:
            wire.cut()

    talk.banks[VICTIM].on_event = cut_once
    assert sums(await talk.run(steps=2)) == [0b11011, 0b11111]
    assert "the coordinator has more of us than we ever said" in caplog.text


async def test_what_a_bank_said_and_cannot_read_any_more_ends_its_part_with_a_line(loopback, monkeypatch, caplog):
    talk = loopback()
    talk.policy = PATIENT
    wire, offer = talk.wire(VICTIM), Contributing._offer

    def harmed(self, frame):
        if self._client._me == VICTIM and self.task.fl_round == 1 and not wire.cuts:
            self._journal._file._storage = storage_key(SigningKey(bytes(32)), "another")
            wire.cut()
        offer(self, frame)

    monkeypatch.setattr(Contributing, "_offer", harmed)
    assert sums(await talk.run())[0] == 0b11011
    assert "step 1: our part in it is given up: " in caplog.text
