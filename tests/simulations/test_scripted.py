"""Who lies sits beside honest machines, and what these refuse is written down."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId
from protocols.machine import Aborted, Envelope, Finished
from protocols.messages import CODEC, AdvertiseKeys, Invitation, MaskedInput, Roster, Round, ShareKeys
from simulations.attacks.cast import Cast
from simulations.attacks.coordinator import Coordinator, honest_server
from simulations.attacks.scripted import Bent, Heard, Script, Scripted, bending, hold, said

ROOM = Cast(clients=3, length=4)


def clients() -> dict[PartyId, Any]:
    return {party: ROOM.client(party) for party in ROOM.parties}


def test_a_script_says_and_is_told_what_was_answered_when_all_others_rest() -> None:
    def script() -> Script[Heard]:
        heard = yield [Envelope(ROOM.parties, Invitation(ROOM.params))]
        assert [type(one) for messages in heard.values() for one in messages] == [AdvertiseKeys] * 3
        return (yield [])

    held = hold({SERVER: Scripted(script()), **clients()}, CODEC)
    assert held.got == {}
    assert held.refusals == ()


def test_what_honest_machines_refuse_is_written_down_and_what_others_refuse_is_not() -> None:
    def script() -> Script[dict[PartyId, AdvertiseKeys]]:
        heard = yield [Envelope(ROOM.parties, Invitation(replace(ROOM.params, cohort=2, colluding=0, nonce=bytes(32))))]
        yield [Envelope(ROOM.parties, Roster((), bytes(64)))]
        return said(heard, AdvertiseKeys)

    held = hold({SERVER: Scripted(script()), **clients()}, CODEC, dishonest=(SERVER, PartyId(0)))
    assert held.got.keys() == {0, 1, 2}
    assert [str(one) for one in held.refusals] == [
        f"party {party}: wrong-set: a roster that is not in order, or without our own entry" for party in (1, 2)
    ]
    assert held.machines[PartyId(1)].outcome == Aborted(AbortReason.REFUSED, DropReason.WRONG_SET)


def test_a_dealer_that_is_accused_is_a_refusal_too() -> None:
    room = Cast(clients=3, length=4)
    liar = Bent(
        room.client(PartyId(2)),
        bending(ShareKeys, lambda one: replace(one, bundles=dict.fromkeys(one.bundles, bytes(86)))),
    )
    server = Coordinator(room, {})
    seats = {SERVER: Scripted(server.until_masked()), **clients(), PartyId(2): liar}
    held = hold(seats, CODEC, dishonest=(SERVER, PartyId(2)))
    assert [str(one) for one in held.refusals] == [
        f"party {party}: bad-bundle: what party 2 dealt does not open" for party in (0, 1)
    ]


def test_bytes_that_are_no_message_cost_their_sender_its_place() -> None:
    beyond = bending(AdvertiseKeys, lambda one: replace(one, client=PartyId(2**21)))
    seats = {SERVER: honest_server(ROOM), **clients(), PartyId(2): Bent(ROOM.client(PartyId(2)), beyond)}
    held = hold(seats, CODEC)
    assert str(held.refusals[0]) == "the server: malformed: not a message of this version: not a party"
    assert seats[SERVER].dropped[PartyId(2)] == (Round.ADVERTISE, DropReason.MALFORMED)


def test_a_bent_machine_that_changes_nothing_is_itself() -> None:
    seats = {
        SERVER: honest_server(ROOM),
        **{party: Bent(one, lambda envelope: [envelope]) for party, one in clients().items()},
    }
    assert hold(seats, CODEC).refusals == ()
    assert isinstance(seats[SERVER].outcome, Finished)
    assert np.array_equal(seats[SERVER].outcome.aggregate.vector, ROOM.plain_sum(ROOM.parties))
    assert seats[PartyId(0)].round is Round.DONE
    assert seats[PartyId(0)].snapshot()


def test_only_the_messages_of_one_class_are_bent() -> None:
    bend = bending(MaskedInput, lambda one: MaskedInput(bytes(len(one.masked))))
    envelope = Envelope((SERVER,), MaskedInput(b"\x01\x02"))
    assert bend(envelope) == [Envelope((SERVER,), MaskedInput(b"\0\0"))]
    other = Envelope((SERVER,), Invitation(ROOM.params))
    assert bend(other) == [other]


def test_a_script_is_not_taken_up_again() -> None:
    with pytest.raises(LocalProtocolError):
        Scripted(iter(()).__iter__).snapshot()  # type: ignore[arg-type]


def test_a_coordinator_that_does_not_lie_gets_what_an_honest_one_gets() -> None:
    """Its colluder's memory and the answers of the others take every mask off but those between honest parties."""
    room = Cast(clients=5, colluding=1, length=4)
    seats = {party: room.client(party) for party in room.parties}
    server = Coordinator(room, {PartyId(4): seats[PartyId(4)]})

    def script() -> Script[None]:
        yield from server.until_masked()
        yield from server.unmask(server.u2)

    held = hold({SERVER: Scripted(script()), **seats}, CODEC, dishonest=(SERVER, PartyId(4)))
    assert held.refusals == ()
    total = room.field.zeros(room.length + room.params.spec.canaries)
    for party in room.parties:
        peers = room.parties if party == 4 else [PartyId(4)]
        vector, stay = server.held.unmasked(
            party, server.masked[party], room.field, peers=peers, shared=server.shared(server.u2)
        )
        assert stay == []
        total = room.field.add(total, vector)
    assert np.array_equal(total[: room.length], room.plain_sum(room.parties))
    assert not total[room.length :].any()
    assert not np.array_equal(server.stripped(PartyId(0))[: room.length], room.inputs[PartyId(0)])  # type: ignore[index]
