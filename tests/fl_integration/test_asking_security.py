"""Sessions of requests and answers, with nodes that send what they must not: the server's half goes on without them."""

import numpy as np
import pytest

from fl_integration import asking
from fl_integration.asking import answer
from fl_integration.step import Contribution, Step
from protocols.errors import AbortReason, LocalProtocolError, PartyId
from protocols.machine import Finished
from protocols.messages import CODEC, Abort, AdvertiseKeys, Confirm, Round
from veilsum.frameworks import open_desk, open_seat
from veilsum.trial import write_trial

NODES = 5
LIAR = 4
HONEST = frozenset(range(NODES)) - {LIAR}
NO_KEYS = (bytes(32), bytes(32), b"")


class Nodes:
    """Five nodes and their desk. Each snapshot is where the framework keeps it."""

    def __init__(self, folder):
        write_trial(folder, nodes=NODES, losses=1, patience=60.0, training={})
        self.desk = open_desk(folder / "server.toml")
        self.seats = [open_seat(folder / f"node-{place}.toml")[0] for place in range(NODES)]
        self.step = Step({"w": np.zeros(4, np.float32)}, {}, self.desk.plan, NODES)
        self.kept = [b""] * NODES

    def answer(self, node, packet):
        def prepare():
            tensors = None if self.step.evaluation else {"w": np.ones(4, np.float32)}
            return self.step, self.step.encode(Contribution(tensors, 1), self.seats[node].rand)

        given = answer(self.seats[node], packet, self.kept[node], prepare)
        self.kept[node] = given.snapshot
        return given.packet

    def hold(self, lie):
        """lie: of an honest packet makes what the liar sends, by round. The liar is the first."""

        def ask(round_, packets):
            for node in sorted(packets, key=lambda node: node != LIAR):
                answered = self.answer(node, packets[node])
                yield node, lie(round_, answered) if node == LIAR else answered

        return self.desk.questioner.hold_session(self.step, range(NODES), ask)


@pytest.fixture
def nodes(tmp_path):
    return Nodes(tmp_path / "veil")


@pytest.mark.parametrize(
    "name", [PartyId(NODES), PartyId(2**20 - 1), PartyId(0)], ids=["no member", "largest", "another's"]
)
def test_a_node_that_says_it_is_somebody_else_is_out_and_nobody_else_is(nodes, name):
    claim = [CODEC.encode(AdvertiseKeys(name, *NO_KEYS))]
    held = nodes.hold(lambda round_, packet: claim if round_ is Round.ADVERTISE else packet)
    assert isinstance(held.outcome, Finished)
    assert held.included == HONEST
    assert held.lost == {LIAR: Round.ADVERTISE}


def test_what_follows_a_message_that_was_refused_is_not_even_decoded(nodes, monkeypatch):
    seen = []
    odd = CODEC.encode(Confirm(bytes(64)))

    class Watching:
        encode = CODEC.encode

        def decode(self, data):
            seen.append(data)
            return CODEC.decode(data)

    monkeypatch.setattr(asking, "CODEC", Watching())
    held = nodes.hold(lambda round_, packet: packet + [odd] * 100 if round_ is Round.SHARE else packet)
    assert held.included == HONEST
    assert seen.count(odd) == 1


def test_an_abort_and_whatever_else_in_one_packet_loses_its_own_node_alone(nodes):
    stop = CODEC.encode(Abort(AbortReason.STOPPED, PartyId(0)))
    held = nodes.hold(lambda round_, packet: [stop, *packet] if round_ is Round.SHARE else packet)
    assert held.included == HONEST


@pytest.mark.parametrize("stage", [Round.SHARE, Round.MASKED_INPUT, Round.CONFIRM, Round.UNMASK])
def test_a_node_that_is_set_back_by_one_answer_says_nothing(nodes, stage):
    refused = []

    def ask(round_, packets):
        for node, packet in packets.items():
            before, answered = nodes.kept[node], nodes.answer(node, packet)
            newest = nodes.kept[node]
            if round_ is stage:
                nodes.kept[node] = before
                with pytest.raises(LocalProtocolError, match="it is not the last one"):
                    nodes.answer(node, packet)
                refused.append(node)
            nodes.kept[node] = newest
            yield node, answered

    held = nodes.desk.questioner.hold_session(nodes.step, range(NODES), ask)
    assert held.included == frozenset(range(NODES))
    assert refused == list(range(NODES))


def test_two_invitations_in_one_packet_leave_one_session_open(nodes):
    packets = []

    def ask(round_, asked):
        packets.append(dict(asked))
        return iter(())

    for _ in range(2):
        nodes.desk.questioner.hold_session(nodes.step, range(NODES), ask)
    first, second = (each[0][-1:] for each in packets)
    assert len(nodes.answer(0, first + second)) == 2
    assert len(nodes.seats[0].keeper.read().sessions) == 1


@pytest.mark.parametrize(("evaluation", "sums"), [(False, 2), (True, 1)])
def test_a_step_is_answered_for_again_only_where_it_can_be_trained_again(nodes, evaluation, sums):
    nodes.step = Step(nodes.step.tensors, {}, nodes.desk.plan, NODES, evaluation=evaluation)

    def ask(round_, packets):
        for node, packet in packets.items():
            yield node, nodes.answer(node, packet)

    outcomes = [nodes.desk.questioner.hold_session(nodes.step, range(NODES), ask).outcome for _ in range(3)]
    assert [isinstance(outcome, Finished) for outcome in outcomes] == [True] * sums + [False] * (3 - sums)


def test_the_state_that_the_framework_keeps_shows_nothing_and_cannot_be_changed(nodes):
    given = np.ones(4, np.float32)

    def ask(round_, packets):
        for node, packet in packets.items():
            yield node, nodes.answer(node, packet)
            if round_ is Round.SHARE:
                nodes.kept[node] = bytes([nodes.kept[node][0] ^ 1]) + nodes.kept[node][1:]

    clear = nodes.seats[0].me, nodes.step.encode(Contribution({"w": given}, 1), nodes.seats[0].rand)
    with pytest.raises(LocalProtocolError, match="was changed: join the next session"):
        nodes.desk.questioner.hold_session(nodes.step, range(NODES), ask)
    packed = nodes.step.spec.field.pack(clear[1])
    assert all(kept and packed[:8] not in kept for kept in nodes.kept)


def test_a_sessions_key_lasts_as_long_as_its_session(nodes):
    keys = []

    def ask(round_, packets):
        for node, packet in packets.items():
            yield node, nodes.answer(node, packet)
        keys.append(nodes.seats[0].vault.read())

    for _ in range(2):
        assert isinstance(nodes.desk.questioner.hold_session(nodes.step, range(NODES), ask).outcome, Finished)
    for node, packet in nodes.desk.questioner.undelivered.items():
        nodes.answer(node, packet)
    first, second = keys[0], keys[len(keys) // 2]
    assert keys == [first] * (len(keys) // 2) + [second] * (len(keys) // 2)
    assert first != second
    assert nodes.seats[0].vault.read() is None
    assert nodes.kept[0] == b""
