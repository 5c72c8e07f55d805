"""A process is killed in the middle of a session, in each stage, and started again: training goes on and ends."""

import signal
import threading

import numpy as np
import pytest

from fl_integration.workload import State
from protocols.messages import Round
from protocols.secagg.family import SECAGG
from protocols.session import Variant

pytestmark = pytest.mark.slow

# CI runs those at which something leaves that cannot be taken back; beneath the commands, after each write:
# `tests/net/test_net_crashing.py`
STAGES = [
    pytest.param(stage, marks=[] if stage in (Round.MASKED_INPUT, Round.UNMASK) else [pytest.mark.exhaustive])
    for stage in SECAGG.stages(Variant.ACTIVE)
]
BANKS = ("a", "b", "c", "d")
ROUNDS = 4
FATAL_ROUND = 2
PATIENCE = 120.0  # seconds, for a machine that is busy with other tests

# A coordinator that is killed when its machine has the message that opens the stage, and nobody has got it: the second
# training round is its third session, because the statistics are the first.
DYING_COORDINATOR = f"""
import os, signal, sys
from dataclasses import replace
from pathlib import Path
import net.coordinator
from protocols.secagg import Server
from protocols.secagg.family import SECAGG
from veilsum.logs import LogFormat
from veilsum.running import coordinate

sessions = 0

class Dying(Server):
    def __init__(self, *args, **kwargs):
        global sessions
        sessions += 1
        super().__init__(*args, **kwargs)

    def start(self):
        return fatal(super().start())

    def receive(self, sender, message):
        return fatal(super().receive(sender, message))

    def close_round(self):
        return fatal(super().close_round())

def fatal(envelopes):
    if sessions == {FATAL_ROUND + 1} and any(one.message.round.value == sys.argv[2] for one in envelopes):
        os.kill(os.getpid(), signal.SIGKILL)
    return envelopes

net.coordinator.load_family = lambda *_: replace(SECAGG, collector=Dying)
coordinate(Path(sys.argv[1]), LogFormat.TEXT)
"""

# A party that is killed when its message of the stage is ready and has not left.
DYING_PARTY = f"""
import os, signal, sys
from pathlib import Path
from net.config import load_party
from veilsum.join import contribute

def before_send(fl_round, message):
    if fl_round == {FATAL_ROUND} and message.round.value == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

contribute(load_party(Path(sys.argv[1])), before_send=before_send)
"""


@pytest.fixture
def training(place):
    """`place` with more rounds to train."""
    text = place.consortium.read_text()
    place.consortium.write_text(text.replace("rounds = 1", f"rounds = {ROUNDS}"))
    return place


def address_of(coordinator) -> str:
    return coordinator.stdout.readline().rsplit(maxsplit=1)[1]


def wait_for(word: str, process) -> None:
    """Reads what it says until `word` comes."""
    while word not in (line := process.stdout.readline()):
        assert line, process.stderr.read()


def ended_well(place, *processes, banks=()) -> State:
    """All ended, with status 0, and everybody has the same model, which is that of the last round."""
    said = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), said
    for bank in banks:
        bank.join(PATIENCE)
        assert bank.error is None
    models = {place.path(name, "model.npz").read_bytes() for name in (*BANKS, "hub")}
    assert len(models) == 1
    state = State.load(models.pop())
    assert state.finished
    assert [entry["fl_round"] for entry in state.history] == list(range(1, ROUNDS + 1))
    assert all(np.isfinite(tensor).all() for tensor in state.tensors.values())
    return state


@pytest.mark.parametrize("stage", STAGES)
def test_a_coordinator_that_was_killed_goes_on_with_the_session_that_was_open(training, start, bank, stage):
    place = training
    dying = start(place.coordinator(), stage.value, code=DYING_COORDINATOR)
    address = address_of(dying)
    banks = [bank(place.party(name, address=address)) for name in BANKS]
    assert dying.wait(timeout=PATIENCE) == -signal.SIGKILL
    assert State.load(place.path("hub", "model.npz").read_bytes()).fl_round == FATAL_ROUND
    state = ended_well(place, start("coordinator", place.coordinator(listen=address)), banks=banks)
    assert [entry["parties"] for entry in state.history] == [len(BANKS)] * ROUNDS


@pytest.mark.parametrize("stage", [Round.MASKED_INPUT, Round.UNMASK])
def test_a_party_that_was_killed_and_is_back_within_its_grace_is_in_every_sum(training, start, bank, stage):
    place = training
    coordinator = start("coordinator", place.coordinator(grace=PATIENCE))
    address = address_of(coordinator)
    banks = [bank(place.party(name, address=address)) for name in BANKS[1:]]
    file = place.party("a", address=address)
    dying = start(file, stage.value, code=DYING_PARTY)
    assert dying.wait(timeout=PATIENCE) == -signal.SIGKILL
    again = start("party", file)
    wait_for("the session that was open goes on", again)
    state = ended_well(place, coordinator, again, banks=banks)
    assert [entry["parties"] for entry in state.history] == [len(BANKS)] * ROUNDS


@pytest.mark.parametrize("stage", STAGES)
def test_a_party_that_was_killed_joins_a_later_session(training, start, bank, stage):
    place = training
    coordinator = start("coordinator", place.coordinator(grace=0.0))
    address = address_of(coordinator)
    back = threading.Event()

    def hold_the_next_round(fl_round, message):
        """So short a training would be over before the bank is back."""
        if fl_round == FATAL_ROUND + 1:
            back.wait(PATIENCE)

    banks = [bank(place.party(name, address=address), hold_the_next_round) for name in BANKS[1:]]
    file = place.party("a", address=address)
    dying = start(file, stage.value, code=DYING_PARTY)
    assert dying.wait(timeout=PATIENCE) == -signal.SIGKILL
    again = start("party", file)
    wait_for("connected", again)
    back.set()
    state = ended_well(place, coordinator, again, banks=banks)
    input_had_left = stage in (Round.CONFIRM, Round.UNMASK)
    assert state.history[FATAL_ROUND - 1]["parties"] == len(BANKS) - (not input_had_left)
    assert state.history[-1]["parties"] == len(BANKS)


def test_sigterm_ends_both_kinds_of_process_cleanly(training, start, bank):
    place = training
    coordinator = start("coordinator", place.coordinator())
    address = address_of(coordinator)
    file = place.party("a", address=address)
    party = start("party", file)
    banks = [bank(place.party(name, address=address)) for name in BANKS[1:]]
    wait_for("round 0: the sum of", coordinator)
    for process in (party, coordinator):
        process.send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=PATIENCE) for process in (party, coordinator)]
    assert [party.returncode, coordinator.returncode] == [0, 0], said
    assert not any(err for _, err in said)
    assert all(State.load(place.path(name, "model.npz").read_bytes()) for name in ("a", "hub"))
    ended_well(place, start("coordinator", place.coordinator(listen=address)), start("party", file), banks=banks)
