"""Connections break in the middle of a session: who is back within its grace is in the sum, and nobody waits longer."""

import json
from dataclasses import replace

import pytest
import trio

from net.collecting import Collecting
from net.events import Happened
from net.policy import Policy, RoundPolicy
from protocols.errors import DropReason
from protocols.families import FAMILIES
from protocols.messages import Round
from protocols.session import Variant

pytestmark = pytest.mark.slow

PATIENT = Policy(RoundPolicy(patience=20.0), attempts=1, grace=20.0)


def sums(payload):
    return json.loads(payload)["sums"]


def cut_before(talk, place, stage, step=1):
    """Just before what this bank says in this stage leaves, its connection is lost."""
    wire, bank = talk.wire(place), talk.banks[place]

    def before_send(fl_round, message):
        if (fl_round, message.round.value) == (step, stage) and not wire.cuts:
            wire.cut()

    bank.before_send = before_send
    return wire


def cut_after(talk, place, stage, monkeypatch):
    """When the coordinator has it, and before it answers."""
    wire, deliver = talk.wire(place), Collecting._deliver

    async def cut(self, party, sent):
        due = party == place and self._machine.round.value == stage and not wire.cuts
        await deliver(self, party, sent)
        if due:
            wire.cut()

    monkeypatch.setattr(Collecting, "_deliver", cut)
    return wire


def stages():
    """All of secagg's; of the other protocols the one in which the input leaves, and all where time does not matter."""
    for family in FAMILIES.values():
        for stage in family.stages(Variant.ACTIVE) if family.collector else ():
            always = family.name == "secagg" or stage is family.input_stage
            marks = () if always else pytest.mark.exhaustive
            yield pytest.param(family, stage.value, id=f"{family.name}-{stage.value}", marks=marks)


def went_through(talk, payload, place):
    """The one session was held by all, and the one that was cut off goes on in it."""
    everybody = frozenset(range(len(talk.banks)))
    (report,) = talk.reports
    assert (report.included, report.dropped) == (everybody, {})
    assert sums(payload) == [sum(2**one for one in everybody)]
    bank = talk.banks[place]
    assert bank.happened(Happened.RESUMED)
    assert not bank.happened(Happened.ABORTED)
    assert [one.config.payload.read_bytes() == payload for one in talk.banks] == [True] * len(everybody)


@pytest.mark.parametrize(("family", "stage"), list(stages()))
async def test_a_connection_that_is_lost_before_an_answer_leaves_costs_nothing(loopback, family, stage):
    talk = loopback(4, protocol=family.name, colluding=0)
    talk.policy = PATIENT
    for bank in talk.banks:
        bank.config = replace(bank.config, terms=replace(bank.config.terms, max_colluding=0))
    wire = cut_before(talk, 2, stage)
    went_through(talk, await talk.run(), 2)
    assert wire.cuts == 1


@pytest.mark.parametrize("stage", [stage.value for stage in FAMILIES["secagg"].stages(Variant.ACTIVE)])
async def test_a_connection_that_is_lost_when_an_answer_has_come_costs_nothing(loopback, monkeypatch, stage):
    talk = loopback()
    talk.policy = PATIENT
    cut_after(talk, 2, stage, monkeypatch)
    went_through(talk, await talk.run(), 2)


async def test_whoever_is_not_back_when_its_grace_is_over_is_dropped_and_the_others_go_on(loopback):
    talk = loopback()
    talk.policy = replace(PATIENT, grace=0.3)
    wire = cut_before(talk, 2, "masked-input")
    talk.banks[2].on_event = lambda event: setattr(wire, "broken", wire.cuts > 0)
    payload = await talk.run()
    assert talk.reports[0].dropped == {2: (Round.MASKED_INPUT, DropReason.VANISHED)}
    assert sums(payload) == [0b11011]


async def test_a_round_waits_no_longer_than_its_patience_for_anybody(loopback):
    talk = loopback()
    talk.policy = replace(PATIENT, grace=6.0, rounds={Round.MASKED_INPUT: RoundPolicy(patience=3.0)})
    wire = cut_before(talk, 2, "masked-input")
    talk.banks[2].on_event = lambda event: setattr(wire, "broken", wire.cuts > 0)
    assert sums(await talk.run()) == [0b11011]
    assert talk.reports[0].dropped == {2: (Round.MASKED_INPUT, DropReason.TOO_SLOW)}


@pytest.mark.parametrize("stage", ["masked-input", "confirm"])
async def test_a_party_whose_old_connection_is_not_seen_to_be_gone_takes_its_own_place(loopback, stage):
    talk = loopback()
    talk.policy = PATIENT
    cut_before(talk, 2, stage).silent = True
    went_through(talk, await talk.run(), 2)


async def test_a_connection_that_is_lost_between_the_task_and_the_session_costs_nothing(loopback):
    talk = loopback()
    talk.policy = PATIENT
    wire, bank = talk.wire(2), talk.banks[2]

    def cut_once(event):
        if event.what is Happened.TASK and not wire.cuts:
            wire.cut()

    bank.on_event = cut_once
    went_through(talk, await talk.run(), 2)
    assert len(bank.happened(Happened.TASK)) == 1


async def test_a_bank_that_leaves_is_not_waited_for(loopback):
    talk = loopback()
    talk.policy = PATIENT
    leaver = talk.banks[4]
    leaver.on_event = lambda event: leaver.stop.set() if event.what is Happened.SUMMED else None
    started = trio.current_time()
    assert sums(await talk.run(steps=2)) == [31, 15]
    assert trio.current_time() - started < PATIENT.grace / 2
    assert leaver.error is None


async def test_a_connection_that_breaks_again_and_again_is_taken_up_each_time(loopback):
    talk = loopback()
    talk.policy = PATIENT
    wire, bank = talk.wire(2), talk.banks[2]
    bank.before_send = lambda fl_round, message: wire.cut()
    went_through(talk, await talk.run(), 2)
    assert wire.cuts == len(bank.happened(Happened.RESUMED)) == len(FAMILIES["secagg"].stages(Variant.ACTIVE))


async def test_members_that_only_aggregate_come_back_too(loopback):
    talk = loopback(7, protocol="committee", aggregators=("bank-3", "bank-4", "bank-5", "bank-6"))
    talk.policy = PATIENT
    for bank in talk.banks[3:]:
        bank.workload.place = None
    wire = cut_before(talk, 4, "receipt")
    payload = await talk.run()
    assert (sums(payload), wire.cuts) == ([7], 1)
    assert talk.banks[4].happened(Happened.RESUMED)
    assert talk.reports[0].dropped == {}
