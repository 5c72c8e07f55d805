"""What holds for every session of secagg+: an exact sum over U3 or none at all, and no client that says too much."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plus_room import PlusRoom
from restored import Restored
from sessions import bounded

from mpc.randomness import Randomness, SeededRandomness
from protocols.errors import SERVER, PartyId
from protocols.ledger import Ledger
from protocols.machine import Machine
from protocols.messages import DeliverShares, SurvivorReveal, UnmaskShares
from protocols.secagg.states import AwaitingInvitation
from protocols.secagg_plus import Client, Server
from protocols.secagg_plus.messages import CODEC, Round
from protocols.secagg_plus.snapshots import CLIENT
from protocols.session import Variant

Drawn = tuple[dict[str, Any], dict[int, Round]]
STAGES = tuple(one for one in Round if one is not Round.DONE)


@st.composite
def losses(draw: st.DrawFn, most: int) -> Drawn:
    """A room in which everybody holds of everybody, and who is lost where in it."""
    n = draw(st.integers(3, most))
    variant = draw(st.sampled_from(Variant))
    made = {"clients": n, "variant": variant, "threshold": draw(st.sampled_from([1, 1, n - 1])), "length": 3}
    lost = draw(st.sets(st.integers(0, n - 1), max_size=draw(st.sampled_from([0, 1, 2, n]))))
    return made, {party: draw(st.sampled_from(STAGES)) for party in sorted(lost)}


def require_expected(
    room: PlusRoom, vanish: dict[int, Round], machines: Mapping[PartyId, Machine] | None = None
) -> None:
    said: dict[PartyId, list[Any]] = {one: [] for one in room.parties}
    told: dict[PartyId, list[Any]] = {one: [] for one in room.parties}

    def tap(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        (told[recipient] if sender == SERVER else said[sender]).append(CODEC.decode(data))

    held = room.hold(vanish, tap=tap, machines=machines)
    expected = room.expected(vanish)
    if expected is None:
        held.require_no_result()
    else:
        held.require_exact(expected)
    for one in room.parties:
        require_one_secret_each(one, said[one], told[one])


def require_one_secret_each(me: PartyId, said: list[Any], told: list[Any]) -> None:
    """Of each owner one share, of the secret that its place in U3 says; never of ourselves, and once."""
    reveals = [one.reveals for one in said if isinstance(one, UnmaskShares)]
    assert len(reveals) <= 1
    for revealed in reveals:
        (u2,) = (one.u2 for one in told if isinstance(one, DeliverShares))
        (u3,) = (one.u3 for one in told if hasattr(one, "u3"))
        assert revealed.keys() <= u2 - {me}
        assert all((owner in u3) == isinstance(given, SurvivorReveal) for owner, given in revealed.items())


@bounded(5)
@given(losses(most=6))
def test_whoever_vanishes_wherever_the_sum_is_exact_or_there_is_none(
    drawn: tuple[dict[str, Any], dict[int, Round]],
) -> None:
    require_expected(PlusRoom(**drawn[0]), drawn[1])


@pytest.mark.slow
@bounded(40)
@given(losses(most=9))
def test_the_same_for_many_sessions_of_up_to_nine(drawn: Drawn) -> None:
    require_expected(PlusRoom(**drawn[0]), drawn[1])


def restored_machines(room: PlusRoom) -> dict[PartyId, Machine]:
    """Between two calls of any machine there is nothing but its snapshot and its ledger."""
    server = Restored(room.server(), lambda kept, _: Server.restore(kept, identity=room.identities[SERVER]))
    return {SERVER: server} | {me: _restored_client(room, me) for me in room.parties}


def _restored_client(room: PlusRoom, me: PartyId) -> Restored:
    stream = room.rand.child(f"client {me}")

    def wake(kept: bytes, ledger: Ledger) -> Client:
        fresh = isinstance(CLIENT.load(kept).state, AwaitingInvitation)
        rand: Randomness = stream if fresh else SeededRandomness(b"another process, that draws what it will")
        return Client.restore(kept, identity=room.identities[me], rand=rand, ledger=ledger)

    return Restored(room.client(me), wake)


LOSSES: list[dict[int, Round]] = [
    {}, {4: Round.MASKED_INPUT}, {1: Round.UNMASK}, {0: Round.SHARE, 1: Round.SHARE},
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize("vanish", LOSSES)
def test_a_session_whose_machines_are_restored_before_every_call_says_the_same_bytes(
    variant: Variant, vanish: dict[int, Round]
) -> None:
    room = PlusRoom(variant=variant, length=3)
    frames: list[list[Any]] = [[], []]
    for place, machines in enumerate((room.machines(), restored_machines(room))):
        room.hold(vanish, tap=lambda *one, place=place: frames[place].append(one), machines=machines)
    assert frames[0] == frames[1]
    require_expected(room, vanish, restored_machines(room))
