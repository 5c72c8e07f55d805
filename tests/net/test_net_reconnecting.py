"""Connections break in the middle of a session: who is back within its grace is in the sum, and nobody waits longer."""

import json
from dataclasses import replace

import pytest

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
    for family in FAMILIES.values():
        for stage in family.stages(Variant.ACTIVE) if family.collector else ():
            yield pytest.param(family, stage.value, id=f"{family.name}-{stage.value}")


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
    talk.policy = replace(PATIENT, grace=2.0, rounds={Round.MASKED_INPUT: RoundPolicy(patience=0.5)})
    wire = cut_before(talk, 2, "masked-input")
    talk.banks[2].on_event = lambda event: setattr(wire, "broken", wire.cuts > 0)
    assert sums(await talk.run()) == [0b11011]
    assert talk.reports[0].dropped == {2: (Round.MASKED_INPUT, DropReason.TOO_SLOW)}
