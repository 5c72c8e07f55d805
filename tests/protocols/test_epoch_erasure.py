"""After round r nothing that is left in a client or in the server opens round r; what an attacker seizes later is new.

What a machine holds is everything that the interpreter reaches from it, and its snapshot. The secrets that are looked
for are worked out from each client's seeded randomness, not asked of the machine.
"""

import gc
from functools import cache
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
from epoch_room import EpochRoom

from mpc import shamir
from mpc.field import M31
from mpc.keys import AgreementKey, AgreementSecret, ChannelKey
from mpc.prg import SEED_BYTES, Seed, expand
from protocols.epoch import Client, ClientEpoch, Server, bindings, dealing
from protocols.epoch.epochs import BOTH_SHARES
from protocols.epoch.messages import CODEC, RoundStart
from protocols.errors import SERVER, PartyId
from protocols.machine import Envelope
from protocols.masking import PAIRWISE_MASK, SELF_MASK
from protocols.messages import DroppedReveal, MaskedInput, Round, UnmaskShares
from protocols.secagg import bindings as secagg

ROUNDS, ME = 4, PartyId(1)
CODE = (type, ModuleType, FunctionType, BuiltinFunctionType)


def held_by(machine: Any) -> list[Any]:
    """Everything that is reached from it."""
    seen: dict[int, Any] = {}
    to_visit = [machine]
    while to_visit:
        thing = to_visit.pop()
        if id(thing) not in seen and not isinstance(thing, CODE):
            seen[id(thing)] = thing
            to_visit += gc.get_referents(thing)
    return list(seen.values())


def bytes_in(machine: Any) -> bytes:
    """All bytes that it holds, and its snapshot."""
    return b"|".join([*(thing for thing in held_by(machine) if isinstance(thing, bytes)), machine.snapshot()])


class Secrets:
    """What the clients of a seeded epoch drew: by round, all that opens an input of that round."""

    def __init__(self, room: EpochRoom, epoch: bytes, threshold: int) -> None:
        self._place = {party: place for place, party in enumerate(room.parties)}
        self._roots, self._dealt = {}, {}
        for party in room.parties:
            stream = room.rand.child(f"client {party} of step 1")
            stream.bytes(SEED_BYTES)  # the channel secret
            root, deal_secret = Seed(stream.bytes(SEED_BYTES)), Seed(stream.bytes(SEED_BYTES))
            self._roots[party] = dealing.roots(root, ROUNDS)
            dealt = dealing.deal(
                party, root, deal_secret, epoch, threshold=threshold, parties=len(room.parties), rounds=ROUNDS
            )
            self._dealt[party] = dealt.shares

    def own(self, party: PartyId, number: int) -> list[bytes]:
        """a, s and b of this round."""
        root = self._roots[party][number - 1]
        return [root.raw, bindings.mask_secret(root).raw, bindings.self_secret(root)]

    def held(self, party: PartyId, number: int) -> list[bytes]:
        """Shares of the others' secrets of this round."""
        at = slice((number - 1) * BOTH_SHARES, number * BOTH_SHARES)
        return [shares[self._place[party]][at] for owner, shares in self._dealt.items() if owner != party]


@cache
def held_epoch(rounds: int) -> tuple[EpochRoom, Secrets, dict[PartyId, Any]]:
    """A room in which so many rounds of an epoch were held, a party lost in each."""
    room = EpochRoom(clients=5, rounds=ROUNDS, length=4)
    machines: dict[PartyId, Any] = {}
    epoch = b""
    for number in range(1, rounds + 1):
        machines = room.hold({4: Round.MASKED_INPUT} if number % 2 else {3: Round.UNMASK}).machines
        epoch = epoch or machines[SERVER]._epoch.digest
    return room, Secrets(room, epoch, room.t), machines


@pytest.mark.parametrize("done", range(1, ROUNDS + 1))
def test_after_a_round_a_client_holds_nothing_of_it_and_of_no_round_before_and_all_of_those_to_come(done: int) -> None:
    room, secrets, machines = held_epoch(done)
    everything = bytes_in(machines[ME])
    epoch = room.epochs[ME]
    if epoch is not None:
        everything += epoch.to_bytes() + bytes_in_epoch(epoch)
    for number in range(1, done + 1):
        assert not any(secret in everything for secret in secrets.own(ME, number) + secrets.held(ME, number))
    for number in range(done + 1, ROUNDS + 1):  # the control: it would be found
        assert all(share in everything for share in secrets.held(ME, number))
    if done < ROUNDS:
        assert secrets.own(ME, done + 1)[0] in everything


def bytes_in_epoch(epoch: ClientEpoch) -> bytes:
    return b"|".join(thing for thing in held_by(epoch) if isinstance(thing, bytes))


@pytest.mark.parametrize("done", range(1, ROUNDS + 1))
def test_after_a_round_one_seed_is_all_that_a_client_holds_of_secret_keys_and_none_after_the_last(done: int) -> None:
    _, _, machines = held_epoch(done)
    for party in (PartyId(0), ME, PartyId(2)):
        secret = [one for one in held_by(machines[party]) if isinstance(one, AgreementSecret | ChannelKey | Seed)]
        assert [type(one) for one in secret] == ([Seed] if done < ROUNDS else [])


def test_while_a_round_runs_its_client_holds_what_the_count_would_find() -> None:
    room, secrets, _ = held_epoch.__wrapped__(1)
    room.next_step()
    client = room.epoch_client(ME)
    assert secrets.own(ME, 2)[0] in bytes_in(client)
    client.receive(SERVER, start(room, 2))
    assert sum(isinstance(one, Seed) for one in held_by(client)) == 1 + 4  # the next root, and a leaf for each peer


def start(room: EpochRoom, number: int) -> RoundStart:
    epoch = room.server_epoch
    assert epoch is not None
    u2 = frozenset(room.parties)
    shared = bindings.round_digest(epoch.digest, number, room.params, u2)
    return RoundStart(epoch.digest, number, room.params, u2, bindings.sign_start(room.identities[SERVER], shared), {})


def test_a_client_seized_in_a_later_round_shows_nothing_of_those_before_and_of_its_own_input_only_that_round() -> None:
    room, secrets, _ = held_epoch.__wrapped__(1)
    room.next_step()
    client = room.epoch_client(ME)
    client.receive(SERVER, start(room, 2))
    everything = bytes_in(client)
    assert not any(secret in everything for secret in secrets.own(ME, 1) + secrets.held(ME, 1))
    assert not any(secret in everything for secret in secrets.own(ME, 2))  # b and s are gone once the input has left
    assert room.field.pack(room.inputs[ME]) not in everything
    assert all(share[:35] in everything for share in secrets.held(ME, 2))  # until U3 is known they are needed


def test_a_skipped_round_is_erased_with_the_one_that_is_held() -> None:
    room, secrets, _ = held_epoch.__wrapped__(1)
    room.next_step()
    client = room.epoch_client(ME)
    client.receive(SERVER, start(room, 3))
    everything = bytes_in(client)
    assert not any(secret in everything for secret in secrets.own(ME, 2) + secrets.held(ME, 2))
    assert client.epoch is not None
    assert client.epoch.number == 4


class Watched(Server):
    """Keeps what it held when its clients had revealed and it had not yet closed the round."""

    before: ClassVar[list[bytes]] = []  # not in any server, where the search would find it

    def close_round(self) -> list[Envelope]:
        if self.round is Round.UNMASK:
            self.before.append(bytes_in(self))
        return super().close_round()


def test_after_a_round_the_server_holds_no_share_and_no_seed_that_a_client_revealed_in_it() -> None:
    room, revealed = EpochRoom(clients=5, rounds=ROUNDS, length=4), set()

    def tap(_sender: PartyId, _recipient: PartyId, data: bytes) -> None:
        message = CODEC.decode(data)
        if isinstance(message, UnmaskShares):
            for reveal in message.reveals.values():
                revealed.add(reveal.leaf_seed if isinstance(reveal, DroppedReveal) else reveal.share)

    for number in (1, 2):
        room.next_step()
        members = room.terms.members
        server = Watched(room.params, identity=room.identities[SERVER], members=members, epoch=room.server_epoch)
        machines: dict[PartyId, Any] = {SERVER: server} | {me: room.epoch_client(me) for me in room.parties}
        room.hold_these(machines, {4: Round.MASKED_INPUT}, tap=tap).require_exact(0, 1, 2, 3)
        everything = bytes_in(server)
        assert len(revealed) == 20 * number  # four clients, each of five
        assert not any(secret in everything for secret in revealed)
        assert (
            sum(secret in Watched.before[-1] for secret in revealed) == 20
        )  # the control: while needed they are found


# A transcript that was kept, and t clients that are seized


class Transcript:
    """What a coordinator keeps of a round: who sent what, and whose masked input came too late to be in the sum."""

    def __init__(self) -> None:
        self.starts: list[RoundStart] = []

    def __call__(self, _sender: PartyId, _recipient: PartyId, data: bytes) -> None:
        message = CODEC.decode(data)
        if isinstance(message, RoundStart):
            self.starts.append(message)


def opened(
    room: EpochRoom, seized: list[ClientEpoch], victim: PartyId, late: MaskedInput, message: RoundStart, keys: Any
) -> Any:
    """The victim's input of that round, from t epochs as they were seized, or what comes out where they are too new."""
    points = [1 + place for place in range(len(seized))]
    shares = {
        name: dict(zip(points, [M31.unpack(part(epoch), shamir.LIMBS) for epoch in seized], strict=True))
        for name, part in (
            ("b", lambda epoch: epoch.peers[victim].self_share),
            ("s", lambda epoch: epoch.peers[victim].mask_share),
        )
    }
    rebuilt = {name: shamir.reconstruct(rows, threshold=room.t, field=M31) for name, rows in shares.items()}
    shared = bindings.round_digest(message.epoch, message.number, message.params, message.u2)
    spec = message.params.spec
    vector = spec.field.unpack(late.masked, spec.masked_length)
    own = secagg.self_seed(shared, victim, M31.pack(rebuilt["b"]))
    vector = spec.field.sub(vector, expand(own, SELF_MASK, spec.field, 0, spec.masked_length))
    try:
        secret = AgreementSecret.from_bytes(shamir.from_limbs(rebuilt["s"]))
    except shamir.CorruptSecret:
        return None
    for peer in sorted(message.u2 - {victim}):
        leaf = secagg.leaf_seed(shared, victim, secret, keys[victim], peer, AgreementKey(keys[peer]))
        mask = expand(leaf, PAIRWISE_MASK, spec.field, 0, spec.masked_length)
        vector = spec.field.sub(vector, mask) if victim > peer else spec.field.add(vector, mask)
    return vector[: spec.length]


def test_t_clients_that_are_seized_after_a_round_open_no_input_of_it_and_before_it_they_would() -> None:
    room, victim, holders = EpochRoom(clients=5, rounds=ROUNDS, length=4), PartyId(4), (0, 1, 2)
    room.hold().require_exact(0, 1, 2, 3, 4)
    before = [room.epochs[PartyId(holder)] for holder in holders]
    victims, ledger = room.epochs[victim], room.ledgers[victim]
    epoch = room.server_epoch
    assert epoch is not None
    keys = {party: member.mask_keys[0] for party, member in epoch.u1.items()}
    transcript = Transcript()
    room.hold({4: Round.MASKED_INPUT}, tap=transcript).require_exact(0, 1, 2, 3)
    twin = Client(  # whose message was on its way when it was lost
        victim, identity=room.identities[victim], terms=room.terms, rand=room.rand.child("twin"),
        ledger=ledger, epoch=victims,
    )  # fmt: skip
    twin.set_input(room.inputs[victim])
    late = twin.receive(SERVER, transcript.starts[0])[0].message
    after = [room.epochs[PartyId(holder)] for holder in holders]
    stolen = opened(room, [one for one in before if one], victim, late, transcript.starts[0], keys)
    assert np.array_equal(stolen, room.inputs[victim])  # the control
    left = opened(room, [one for one in after if one], victim, late, transcript.starts[0], keys)
    assert left is None or not np.array_equal(left, room.inputs[victim])
