"""What `veilsum bench` says of the protocols: that each figure is of the session that it names."""

from dataclasses import replace

import numpy as np
import pytest

from protocols import costs
from protocols.errors import SERVER, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.families import FAMILIES
from protocols.machine import Finished
from protocols.secagg_plus.degrees import graph_for
from protocols.session import Variant
from veilsum.bench import epochs, growth, losing, speaking
from veilsum.bench.lone import Hearing
from veilsum.bench.sessions import Setting


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(speaking, "ELEMENTS", 40)


def alone(protocol: str, n: int, variant: Variant = Variant.ACTIVE) -> Hearing:
    few = n // 20
    return Hearing.of(Setting.of(n, 40, variant, protocol=protocol, colluding=few, losses=few))


# --- a client alone


@pytest.mark.parametrize("protocol", ["secagg", "secagg+"])
@pytest.mark.parametrize("variant", list(Variant))
def test_a_client_alone_goes_through_all_rounds_and_says_the_same_each_time(protocol, variant):
    hearing = alone(protocol, 20, variant)
    assert list(hearing.steps()) == list(hearing.steps())
    assert len(list(hearing.steps())) == len(hearing.heard)
    assert hearing.checks > hearing.peers if variant is Variant.ACTIVE else hearing.checks == 0


@pytest.mark.parametrize("protocol", ["secagg", "secagg+"])
@pytest.mark.parametrize("variant", list(Variant))
def test_a_client_alone_ends_with_a_sum_over_those_who_stayed(protocol, variant):
    hearing = alone(protocol, 40, variant)
    client = hearing.client()
    for data in hearing.heard:
        client.receive(SERVER, hearing.setting.family.codec.decode(data))
    assert isinstance(client.outcome, Finished)
    assert client.outcome.aggregate.included == frozenset(map(PartyId, range(38)))


def test_a_client_alone_sends_and_hears_as_many_bytes_as_in_a_whole_session():
    spec = Setting.of(3, 40).params.spec
    whole = costs.secagg(costs.Session(100, 5, spec, Variant.ACTIVE))
    hearing = alone("secagg", 100)
    assert hearing.bytes_up == pytest.approx(whole.up, rel=0.01)
    assert hearing.bytes_down == pytest.approx(whole.down, rel=0.01)


def test_a_sparse_client_alone_costs_what_its_own_draws_make_of_the_formula():
    hearing = alone("secagg+", 100)
    spec = hearing.setting.params.spec
    whole = costs.secagg_plus(costs.Session(100, 5, spec, Variant.ACTIVE), hearing.degree, hearing.peers)
    assert hearing.bytes_up == pytest.approx(whole.up, rel=0.02)
    assert hearing.bytes_down == pytest.approx(whole.down, rel=0.02)


def test_the_degree_is_the_protocols_own():
    hearing = alone("secagg+", 300)
    graph = graph_for(hearing.setting.params, 300)
    assert (hearing.degree, hearing.threshold) == (graph.degree, graph.threshold) == (38, 27)


def test_what_is_heard_is_checked_so_a_changed_byte_ends_the_session():
    hearing = alone("secagg+", 20)
    client, codec = hearing.client(), hearing.setting.family.codec
    for data in hearing.heard[:2]:
        client.receive(SERVER, codec.decode(data))
    neighbours = codec.decode(hearing.heard[2])
    *before, last = neighbours.entries
    other = replace(last, entry=replace(last.entry, mask_key=bytes(31) + b"9"))
    with pytest.raises(PeerMisbehaved, match="not in this roster"):
        client.receive(SERVER, replace(neighbours, entries=(*before, other)))


def test_a_fit_tells_a_logarithm_from_a_line():
    sizes = [100, 300, 1000, 3000, 10_000]
    for values, good in ((np.log(sizes), "log2_n"), (sizes, "linear_n")):
        rows = [
            {"n": n, "seconds": value, "bytes_up": 1000 * value, "bytes_down": 0}
            for n, value in zip(sizes, values, strict=True)
        ]
        found = growth.growth(rows)
        assert found["log_ratio"] == 2.0
        for fit in (found["r2_seconds"], found["r2_bytes"]):
            assert fit.pop(good) == 1.0
            assert fit.popitem()[1] < 0.8


# --- a server that loses some


@pytest.mark.slow
@pytest.mark.parametrize("protocol", losing.PROTOCOLS)
def test_the_servers_figure_is_a_whole_session_again(protocol):
    heard = losing.Heard.of(protocol, 10, 40, 0.3)
    for _ in range(2):
        assert heard.serve().aggregate.included == frozenset(map(PartyId, range(3, 10)))


def test_a_server_that_hears_too_little_has_no_sum():
    heard = losing.Heard.of("lightsecagg", 10, 40, 0.3)
    del heard.frames[-4:]
    with pytest.raises(LocalProtocolError):
        heard.serve()


# --- who speaks how often


@pytest.mark.slow
def test_a_client_of_a_committee_sends_one_message_and_no_other_protocol_does_with_one():
    said = {name: speaking.sent(name, 5)[0] for name in FAMILIES}
    assert said.pop("committee") == 1
    assert min(said.values()) == said["secagg"] == 5


@pytest.mark.slow
def test_ten_sums_in_an_epoch_save_the_rounds_of_keys():
    sessions, together = epochs.compare(3, 40, times=1)
    assert (sessions.messages, together.messages) == (10 * 5, 2 + 10 * 3)
    assert together.bytes_down < sessions.bytes_down
