"""A party, or the coordinator, ends at each of its writes and is started again: the sum is exact, all hold one model.

The processes are tasks; one that is killed is gone from one line to the next, and what it had on disk is what there is.
Real processes and SIGKILL: `test_crash_processes.py`.
"""

import json
from collections import defaultdict

import pytest
from crashing import Crash, Killed, Writes

from net.contributing import Contributing
from net.events import Happened
from net.framing import Kind
from net.policy import Policy, RoundPolicy

pytestmark = pytest.mark.slow

PATIENT = Policy(RoundPolicy(patience=10.0), attempts=2, grace=10.0)
VICTIM = 2


def contributors(total):
    return {place for place in range(total.bit_length()) if total >> place & 1}


def die():
    raise Killed


@pytest.fixture
def masked(monkeypatch):
    """Bank -> session -> every different upload that it sent in this session, of whatever process."""
    sent, send = defaultdict(lambda: defaultdict(set)), Contributing._send

    async def noting(self, frame):
        if frame.kind == Kind.UPLOAD:
            sent[self._client._me][self.task.run, self.task.session].add(self._journal.body(frame))
        await send(self, frame)

    monkeypatch.setattr(Contributing, "_send", noting)
    return sent


def whole(talk, payload, masked):
    """Exact sums, one model, and nobody masked two inputs in one session."""
    (total,) = json.loads(payload)["sums"]
    assert total in (0b11111, 0b11011)
    assert [report.included for report in talk.reports if report.included] in ([], [contributors(total)])
    assert [bank.error for bank in talk.banks] == [None] * len(talk.banks)
    assert all(bank.config.payload.read_bytes() == payload for bank in talk.banks)
    assert all(len(uploads) == 1 for sessions in masked.values() for uploads in sessions.values())


async def count(loopback, monkeypatch, name):
    talk = loopback()
    writes = Writes(name, die).watch(monkeypatch)
    await talk.run()
    return writes.seen


async def test_what_a_bank_writes_in_a_session(loopback, monkeypatch):
    """Each answer: the journal, then the ledger. The input alone, too; and at the end the ledger, then the model."""
    seen = await count(loopback, monkeypatch, "bank-2")
    assert seen == ["journal", "ledger"] * 6 + ["ledger", "payload"]


async def test_what_a_coordinator_writes_in_a_session(loopback, monkeypatch):
    """What opens each of the five rounds; the model; that the session is over."""
    assert await count(loopback, monkeypatch, "coordinator") == ["journal"] * 5 + ["payload", "journal"]


BANK_WRITES, COORDINATOR_WRITES = 14, 7
PAYLOAD = 5  # which of the coordinator's
EVERY_CRASH = [pytest.param(after, id="after" if after else "before") for after in (False, True)]


@pytest.mark.parametrize("after", EVERY_CRASH)
@pytest.mark.parametrize("number", range(BANK_WRITES))
async def test_a_bank_that_ends_at_any_write_and_comes_back_costs_no_exactness(
    loopback, monkeypatch, masked, number, after
):
    talk = loopback()
    talk.policy = PATIENT
    bank = talk.banks[VICTIM]
    bank.returns = True
    writes = Writes(f"bank-{VICTIM}", die, Crash(number, after)).watch(monkeypatch)
    payload = await talk.run()
    assert writes.crash.number is None
    whole(talk, payload, masked)
    was_in_it = number > 1 or (number == 1 and after)  # its keys, and the ledger that leads to them, are on disk
    assert (VICTIM in talk.reports[-1].included) is was_in_it


@pytest.mark.parametrize("after", EVERY_CRASH)
@pytest.mark.parametrize("number", range(COORDINATOR_WRITES))
async def test_a_coordinator_that_ends_at_any_write_and_comes_back_costs_nothing(
    loopback, monkeypatch, masked, number, after
):
    talk = loopback()
    talk.policy = PATIENT
    Writes("coordinator", die, Crash(number, after)).watch(monkeypatch)
    payload = await talk.run()
    assert talk.crashes == 1
    whole(talk, payload, masked)
    assert json.loads(payload)["sums"] == [31]
    assert all(len(sessions) == 1 for sessions in masked.values())
    sum_is_known = number > PAYLOAD or (number == PAYLOAD and after)
    assert [bool(bank.happened(Happened.ADOPTED)) for bank in talk.banks] == [sum_is_known] * len(talk.banks)
