"""A party, or the coordinator, ends at each of its writes and is started again: the sum is exact, all hold one model.

The processes are tasks; one that is killed is gone from one line to the next, and what it had on disk is what there is.
Real processes and SIGKILL: `test_crash_processes.py`.
"""

import json
from dataclasses import replace
from itertools import product

import pytest
from crashing import Crash, Killed, Writes

from net.events import Happened
from net.policy import Policy, RoundPolicy
from protocols.families import FAMILIES

pytestmark = pytest.mark.slow

PATIENT = Policy(RoundPolicy(patience=20.0), attempts=2, grace=20.0)
VICTIM = 2
BANK_WRITES, COORDINATOR_WRITES = 14, 7
PAYLOAD = 5  # which of the coordinator's
CHANGES = {
    **{name: {"protocol": name} for name, family in FAMILIES.items() if family.collector},
    "epochs": {"rounds_per_epoch": 3},
}


def die():
    raise Killed


def crashes(writes):
    return [pytest.param(Crash(*at), id=str(Crash(*at))) for at in product(range(writes), (False, True))]


@pytest.fixture
def four_banks(loopback):
    """Of a protocol, or with epochs; nobody colludes, so that it stands a loss."""

    def make(name):
        talk = loopback(4, colluding=0, **CHANGES[name])
        talk.policy = PATIENT
        for bank in talk.banks:
            bank.config = replace(bank.config, terms=replace(bank.config.terms, max_colluding=0))
        return talk

    return make


def contributors(total):
    return {place for place in range(total.bit_length()) if total >> place & 1}


def whole(talk, payload, masked):
    """Exact sums over all but one at least, one model, and nobody sent two inputs under the same masks."""
    everybody = set(range(len(talk.banks)))
    sums = [contributors(total) for total in json.loads(payload)["sums"]]
    assert all(included in (everybody, everybody - {VICTIM}) for included in sums)
    assert all(set(report.included) in sums for report in talk.reports if report.included)
    assert [bank.error for bank in talk.banks] == [None] * len(talk.banks)
    assert all(bank.config.payload.read_bytes() == payload for bank in talk.banks)
    assert all(len(set(uploads)) == 1 for sessions in masked.values() for uploads in sessions.values())
    return sums


async def test_what_a_bank_writes_in_a_session(loopback, monkeypatch):
    """Each answer: the journal, then the ledger. The input alone, too; and at the end the ledger, then the model."""
    talk = loopback()
    writes = Writes("bank-2", die).watch(monkeypatch.setattr)
    await talk.run()
    assert writes.seen == ["journal", "ledger"] * 6 + ["ledger", "payload"]
    assert len(writes.seen) == BANK_WRITES


async def test_what_a_coordinator_writes_in_a_session(loopback, monkeypatch):
    """What opens each of the five rounds; the model; that the session is over."""
    talk = loopback()
    writes = Writes("coordinator", die).watch(monkeypatch.setattr)
    await talk.run()
    assert writes.seen == ["journal"] * 5 + ["payload", "journal"]
    assert (len(writes.seen), writes.seen[PAYLOAD]) == (COORDINATOR_WRITES, "payload")


@pytest.mark.parametrize("crash", crashes(BANK_WRITES))
async def test_a_bank_that_ends_at_any_write_and_comes_back_costs_no_exactness(loopback, monkeypatch, masked, crash):
    talk = loopback()
    talk.policy = PATIENT
    talk.banks[VICTIM].returns = True
    writes = Writes(f"bank-{VICTIM}", die, crash).watch(monkeypatch.setattr)
    whole(talk, await talk.run(), masked)
    assert writes.crash is None
    was_in_it = crash.number > 1 or (crash.number == 1 and crash.after)  # its keys, and what leads to them, are on disk
    assert (VICTIM in talk.reports[-1].included) is was_in_it


@pytest.mark.parametrize("crash", crashes(COORDINATOR_WRITES))
async def test_a_coordinator_that_ends_at_any_write_and_comes_back_costs_nothing(
    loopback, monkeypatch, masked, crash, caplog
):
    talk = loopback()
    talk.policy = PATIENT
    Writes("coordinator", die, crash).watch(monkeypatch.setattr)
    assert whole(talk, await talk.run(), masked) == [{0, 1, 2, 3, 4}]
    assert talk.crashes == 1
    assert "this step is summed again" not in caplog.text
    assert all(len(uploads) <= 2 for sessions in masked.values() for uploads in sessions.values())
    sum_is_known = crash.number > PAYLOAD or (crash.number == PAYLOAD and crash.after)
    assert [bool(bank.happened(Happened.ADOPTED)) for bank in talk.banks] == [sum_is_known] * len(talk.banks)


@pytest.mark.parametrize("crash", [Crash(2, after=True), Crash(6, after=False)], ids=str)
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("victim", [f"bank-{VICTIM}", "coordinator"])
async def test_of_whatever_protocol_a_process_that_ends_and_comes_back_costs_nothing(
    four_banks, monkeypatch, masked, name, victim, crash
):
    """A bank in its second answer, or its fourth; a coordinator when the third round is open, or near the end."""
    talk = four_banks(name)
    talk.banks[VICTIM].returns = True
    writes = Writes(victim, die, crash).watch(monkeypatch.setattr)
    assert whole(talk, await talk.run(), masked) == [{0, 1, 2, 3}]
    assert writes.crash is None


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("victim", [f"bank-{VICTIM}", "coordinator"])
async def test_of_whatever_protocol_every_crash_is_survived(four_banks, monkeypatch, masked, name, victim, tmp_path):
    counted = Writes(victim, die).watch(monkeypatch.setattr)
    await four_banks(name).run()
    for crash in (Crash(*at) for at in product(range(len(counted.seen)), (False, True))):
        for file in tmp_path.iterdir():
            file.unlink()
        masked.clear()
        talk = four_banks(name)
        talk.banks[VICTIM].returns = True
        writes = Writes(victim, die, crash)
        writes.watch(monkeypatch.setattr)
        whole(talk, await talk.run(), masked)
        assert writes.crash is None, crash
