import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mpc.hashing import digest
from net.answered import Answered
from net.config import PartyTerms, dump_party, load_party
from net.errors import LedgerError, NetError
from net.events import Happened
from net.ledger_file import LedgerFile
from net.policy import ASSEMBLE, Policy, RoundPolicy
from net.workload import KnowsItsInput
from protocols.ledger import (
    NOTHING_ANSWERED,
    ONE_VERSION,
    Keeper,
    Ledger,
    OpenSession,
    RevealedSum,
    contribution_key,
    differencing_key,
)
from protocols.messages import UnmaskShares
from protocols.session import NO_RECORD, Subject

ROOT = Path(__file__).parents[2]
ONE = Ledger(sessions=(OpenSession(digest("session"), 3),))
TWO = Ledger(sums=(RevealedSum(digest("key"), digest("members"), 1, frozenset()),))

# A process that holds the ledger of its first argument until its standard input ends.
HOLDER = """
import sys
from dataclasses import replace
from pathlib import Path
from net.errors import NetError
from net.ledger_file import LedgerFile

try:
    with LedgerFile(Path(sys.argv[1])).held():
        print("held", flush=True)
        sys.stdin.read()
except NetError as exc:
    sys.exit(f"{type(exc).__name__}: {exc}")
"""

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")


@pytest.fixture
def file(tmp_path):
    return LedgerFile(tmp_path / "bank.ledger")


def test_no_file_is_a_party_that_has_answered_nothing(file, tmp_path):
    keeper: Keeper = file
    assert keeper.read() == NOTHING_ANSWERED
    assert list(tmp_path.iterdir()) == []


@posix_only
def test_a_ledger_is_replaced_whole_and_is_its_owners_alone(file, tmp_path):
    file.write(ONE)
    file.write(TWO)
    assert file.read() == TWO
    assert [path.name for path in tmp_path.iterdir()] == ["bank.ledger"]
    assert stat.S_IMODE((tmp_path / "bank.ledger").stat().st_mode) == 0o600


@pytest.mark.parametrize("damage", [lambda raw: raw[:-1], lambda raw: b"", lambda raw: raw + b"\0", lambda raw: b"no"])
def test_a_damaged_ledger_is_named_with_the_remedy_and_not_taken_for_an_empty_one(file, tmp_path, damage):
    (tmp_path / "bank.ledger").write_bytes(damage(TWO.to_bytes()))
    with pytest.raises(LedgerError, match=r"bank\.ledger: not a ledger, .*do not bring back an older copy"):
        file.read()


@pytest.mark.parametrize("crash_in", ["fsync", "replace"])
def test_a_crash_while_it_is_written_leaves_the_ledger_before(file, monkeypatch, crash_in):
    file.write(ONE)

    def crash(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(*(os, "fsync") if crash_in == "fsync" else (Path, "replace"), crash)
    with pytest.raises(NetError, match=r"bank\.ledger: cannot be written: Input/output error"):
        file.write(TWO)
    assert file.read() == ONE


def test_what_is_held_is_held_once_and_can_be_held_again_afterwards(file, tmp_path):
    with (
        file.held(),
        pytest.raises(LedgerError, match=r"bank\.ledger: another process uses this identity: stop it first"),
        LedgerFile(tmp_path / "bank.ledger").held(),
    ):
        pass
    with file.held():
        file.write(ONE)
    assert file.read() == ONE


def test_a_lock_that_cannot_be_made_is_an_error_for_people(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(LedgerError, match=r"bank\.ledger\.lock: cannot be written"),
        LedgerFile(tmp_path / "file" / "bank.ledger").held(),
    ):
        pass


@pytest.mark.slow
def test_of_two_processes_one_holds_it_and_when_that_is_killed_the_lock_is_free(tmp_path):
    def start():
        return subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(tmp_path / "bank.ledger")],
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    with start() as first:
        assert first.stdout.readline() == "held\n"
        with start() as second:
            _, err = second.communicate(timeout=60)
        assert second.returncode == 1
        assert err.startswith("LedgerError: ")
        assert "another process uses this identity" in err
        assert err.count("\n") == 1
        first.kill()
    with start() as third:
        assert third.stdout.readline() == "held\n"
        third.kill()


# The file in a party process

ALL = Policy(RoundPolicy(patience=20.0), attempts=1)
FOUR_WILL_DO = Policy(RoundPolicy(patience=20.0), {ASSEMBLE: RoundPolicy(patience=20.0, hoped_for=4)}, attempts=1)


def ledger_of(bank):
    return LedgerFile(bank.config.payload.with_suffix(".ledger")).read()


@pytest.mark.slow
async def test_after_a_training_each_bank_has_an_entry_for_every_step_and_no_session_open(loopback):
    loop = loopback()
    await loop.run(steps=2)
    for bank in loop.banks:
        assert [entry.times for entry in ledger_of(bank).sums] == [1, 1]
        assert ledger_of(bank).sessions == ()


async def test_the_ledger_says_of_the_reveal_before_the_reveal_leaves(loopback):
    loop, seen = loopback(), []
    bank = loop.banks[2]
    bank.before_send = lambda _, message: seen.append((type(message).__name__, len(ledger_of(bank).sums)))
    await loop.run()
    assert ("Confirm", 0) in seen
    assert (UnmaskShares.__name__, 1) in seen


async def test_a_second_party_with_the_same_ledger_ends_with_one_line_before_it_dials(loopback):
    bank = loopback().banks[0]
    with LedgerFile(bank.config.payload.with_suffix(".ledger")).held():
        await bank.run()
    assert isinstance(bank.error, LedgerError)
    assert "another process uses this identity" in str(bank.error)


async def test_a_party_does_not_start_on_a_damaged_ledger(loopback):
    bank = loopback().banks[0]
    bank.config.payload.with_suffix(".ledger").write_bytes(b"damaged")
    await bank.run()
    assert isinstance(bank.error, LedgerError)
    assert "not a ledger" in str(bank.error)


@pytest.mark.slow
async def test_banks_that_were_killed_after_their_answers_refuse_another_set_and_train_on_with_the_same(
    loopback, caplog
):
    """All but one answer and the coordinator gets too few: the next session lacks a bank, and is refused; then it is
    back."""
    loop = loopback()
    assert loop.policy == ALL
    for place in (3, 4):
        loop.banks[place].kill_at = "UnmaskShares"
    with pytest.raises(NetError):
        await loop.run()
    assert [len(ledger_of(bank).sums) for bank in loop.banks] == [1] * 5
    for bank in loop.banks:
        bank.kill_at = None
    loop.policy = FOUR_WILL_DO
    with pytest.raises(NetError):
        await loop.run(missing=(4,))
    assert "our shares for a sum of this step over other members have left" in caplog.text
    loop.reports.clear()
    loop.policy = ALL
    await loop.run()
    assert loop.reports[0].included == {0, 1, 2, 3, 4}
    assert "this step is summed again" in caplog.text
    assert [entry.times for entry in ledger_of(loop.banks[0]).sums] == [2]


@pytest.mark.slow
async def test_the_guard_of_a_partys_own_file_reaches_its_client(loopback, tmp_path):
    loop = loopback()
    terms = PartyTerms(max_colluding=1, smallest_change=2, strict=True, retries_after_reveal=0)
    for bank in loop.banks:
        path = tmp_path / f"party-{bank.place}.toml"
        path.write_text(dump_party(replace(bank.config, terms=terms), tmp_path))
        bank.config = load_party(path)
        assert bank.config.terms == terms
    loop.banks[4].kill_at, loop.banks[4].kill_in = "MaskedInput", 2
    with pytest.raises(NetError):
        await loop.run(steps=2)
    refused = [bank.happened(Happened.ABORTED)[-1].text for bank in loop.banks[:4]]
    assert refused == ["refused: small-change"] * 4


class Statistics:
    """A workload that says of its input what the ledger wants to know."""

    local_version = ONE_VERSION
    again = 0

    def __init__(self, other, *, retrains):
        self._other, self._retrains = other, retrains

    def __getattr__(self, name):
        return getattr(self._other, name)

    def retrains(self, payload):
        return self._retrains

    def contribute_again(self, payload):
        self.again += 1
        return self._other.contribute(payload)


class Plain:
    def contribute(self, payload):
        return "as before"


def test_what_was_given_to_a_committee_is_trained_anew_before_it_is_given_again(file):
    subject = Subject(digest("us"), 1, digest("coordinator"), digest("model"), digest("config"), NO_RECORD)
    workload = Statistics(Plain(), retrains=True)
    answered = Answered(file, workload)
    assert answered.contribution(subject)(b"") == "as before"
    assert workload.again == 0
    answered.keep(NOTHING_ANSWERED.contributed(contribution_key(differencing_key(subject))))
    answered.contribution(subject)(b"")
    assert workload.again == 1


@pytest.mark.slow
@pytest.mark.parametrize("retrains", [True, False])
async def test_after_a_restart_an_input_is_trained_anew_and_one_that_cannot_be_is_not_given_again(loopback, retrains):
    loop = loopback()
    for bank in loop.banks:
        bank.workload = Statistics(bank.workload, retrains=retrains)
        assert isinstance(bank.workload, KnowsItsInput)
        bank.kill_at = "UnmaskShares" if bank.place > 2 else None
    with pytest.raises(NetError):
        await loop.run()
    assert not any(bank.workload.again for bank in loop.banks)
    for bank in loop.banks:
        bank.kill_at = None
    if retrains:
        await loop.run()
        assert [bank.workload.again for bank in loop.banks] == [1] * 5
    else:
        with pytest.raises(NetError):
            await loop.run()
        refused = loop.banks[0].happened(Happened.ABORTED)[-1]
        assert refused.text == "refused: summed-before"
