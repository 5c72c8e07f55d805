"""What goes from one session of a party to its next one: the ledger, and an epoch while its process runs."""

from dataclasses import dataclass
from typing import Any

import pytest
from powers import PowersOfTwo

from net.answered import Answered
from net.journal import Piece
from protocols.errors import LocalProtocolError, PartyId
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.machine import HandsOn

EPOCH, SESSION = bytes(31) + b"1", bytes(31) + b"2"


class Memory:
    ledger = NOTHING_ANSWERED.moved(EPOCH, 2).moved(SESSION, 5)

    def read_journaled(self) -> tuple[Ledger, None]:
        return self.ledger, None

    def write(self, ledger: Ledger, last: Piece | None = None) -> None:
        self.ledger = ledger


@dataclass(frozen=True)
class Epoch:
    name: bytes = EPOCH


@dataclass
class Made:
    """A machine of an epoch that knows what it was built with, and leaves `epoch`."""

    ledger: Ledger
    given: Epoch | None
    epoch: Epoch | None = None


def make(me: PartyId, *, ledger: Ledger, epoch: Epoch | None = None, **other: Any) -> Made:
    if epoch and ledger.seq(epoch.name) is None:
        raise LocalProtocolError("the ledger does not know it")
    return Made(ledger, epoch)


@pytest.fixture
def answered() -> Answered:
    one = Answered(Memory(), PowersOfTwo(0))
    one.read()
    return one


def next_machine(answered: Answered, maker: Any = make) -> Any:
    return answered.machine(maker, PartyId(0), None, None, b"")


def end(answered: Answered, epoch: Epoch | None) -> None:
    machine: Any = Made(NOTHING_ANSWERED, None, epoch)
    assert isinstance(machine, HandsOn)
    answered.ended(machine)


def test_a_process_begins_without_an_epoch_and_gives_up_what_stands_open(answered: Answered) -> None:
    machine = next_machine(answered)
    assert (machine.given, machine.ledger) == (None, NOTHING_ANSWERED)


def test_an_epoch_goes_into_the_next_machine_with_its_entry_and_into_no_other(answered: Answered) -> None:
    end(answered, Epoch())
    machine = next_machine(answered)
    assert (machine.given, machine.ledger) == (Epoch(), NOTHING_ANSWERED.moved(EPOCH, 2))
    machine = next_machine(answered)
    assert (machine.given, machine.ledger) == (None, NOTHING_ANSWERED)


def test_a_session_that_leaves_no_epoch_takes_away_the_one_before(answered: Answered) -> None:
    end(answered, Epoch())
    end(answered, None)
    assert next_machine(answered).given is None


def test_an_epoch_that_the_ledger_does_not_know_is_given_up_with_a_line(
    answered: Answered, caplog: pytest.LogCaptureFixture
) -> None:
    end(answered, Epoch(SESSION[::-1]))
    machine = next_machine(answered)
    assert (machine.given, machine.ledger) == (None, NOTHING_ANSWERED)
    assert [record.getMessage() for record in caplog.records] == [
        "our keys for the rounds to come are given up, others are made in their place: the ledger does not know it"
    ]


def test_a_machine_that_hands_nothing_on_is_built_without_an_epoch(answered: Answered) -> None:
    def plain(me: PartyId, *, ledger: Ledger, identity: None, terms: None, rand: Any, local_version: bytes) -> object:
        return object()

    answered.ended(next_machine(answered, plain))
    assert not isinstance(next_machine(answered, plain), HandsOn)
