"""The advisor: its bytes against encoded sessions, its figures against the papers' formulas, its rules one by one."""

import math
from collections import Counter

import pytest
from conversation import Room
from hypothesis import given
from hypothesis import strategies as st
from sessions import bounded

from mpc.field import PrimeField
from protocols import costs
from protocols.advisor import CHEAP_SECONDS, advise, reconsider, resolve
from protocols.errors import SERVER
from protocols.machine import Finished
from protocols.messages import Round
from protocols.plans import AGGREGATORS, LARGEST_MESH
from protocols.session import PROTOCOLS, TEST_WIRE, WIRE, Variant, VectorSpec

NAMES = ["secagg", "secagg+", "mesh", "committee", "lightsecagg"]
TEST_NAME = len(TEST_WIRE) - len(WIRE)  # a seeded session's invitation is longer by the name of its wire
FIGURES = [
    "degree", "threshold", "bits", "bytes_up", "bytes_down", "server_bytes", "rounds", "client_keystream_seconds",
    "server_keystream_seconds", "seconds", "p_insecure", "p_fail", "work_seconds",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 20, 50])
@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize("share_lost", [0, 5])
def test_the_bytes_of_secagg_are_those_of_a_session_that_was_held(n, variant, share_lost):
    lost = n // share_lost if share_lost else 0
    room = Room(clients=n, variant=variant, length=500, field=PrimeField.with_bits(22))
    sent, heard = Counter(), Counter()

    def count(sender, recipient, message):
        sent[sender] += len(message)
        heard[recipient] += len(message)

    talk = room.talk(dict.fromkeys(range(lost), Round.MASKED_INPUT), count)
    assert isinstance(talk.outcome, Finished)
    formula = costs.secagg(costs.Session(n, lost, room.params.spec, variant))
    stayed = room.parties[-1]
    assert formula.up == pytest.approx(sent[stayed], abs=1)
    assert formula.down + TEST_NAME == pytest.approx(heard[stayed], abs=1)
    assert formula.server + n * TEST_NAME == pytest.approx(sent[SERVER] + heard[SERVER], abs=n)


@pytest.mark.parametrize(
    ("n", "lost", "masks"),
    [(500, 0, 500), (500, 50, 22_950), (500, 150, 52_850), (1000, 0, 1000), (1000, 100, 90_900), (1000, 300, 210_700)],
)
def test_the_keystream_is_that_of_the_published_mask_counts(n, lost, masks):
    """Bonawitz et al., CCS 2017: the server expands a mask for each survivor, and for each pair that was cut."""
    row = advise(n, lost / n, 0.0, adversary="curious", dimension=10**5, keystream_gbps=1.0).rows["secagg"]
    seconds = 4 * VectorSpec(10**5, PrimeField.with_bits(row.bits)).masked_length / 1e9  # of one mask
    assert row.server_keystream_seconds == pytest.approx(masks * seconds)
    assert row.client_keystream_seconds == pytest.approx(n * seconds)


def test_lightsecagg_carries_the_published_load():
    spec = VectorSpec(10**6, PrimeField.with_bits(26))
    session = costs.Session(1000, 100, spec, Variant.CURIOUS)
    masked = spec.masked_size
    for pieces, load in ((400, 2.5), (200, 5.0)):  # T = 0.5 N; U = 0.9 N, 0.7 N
        traffic = costs.lightsecagg(session, pieces)
        assert traffic.up == pytest.approx((load + 1) * masked, rel=0.02)
        assert traffic.down == pytest.approx((load + 1) * masked, rel=0.03)


@pytest.mark.parametrize(("parties", "bits"), [(100, 23), (500, 25), (1000, 26), (10_000, 30), (70_000, 61)])
def test_the_field_holds_the_sum_and_no_more(parties, bits):
    assert advise(parties, 0.05, 0.05).rows["secagg"].bits == bits


def test_every_protocol_has_a_row():
    advice = advise(50, 0.1, 0.05)
    assert list(advice.rows) == NAMES == list(PROTOCOLS)
    assert all(row.feasible and row.protects for row in advice.rows.values())
    assert (advice.setting.colluding, advice.setting.lost) == (2, 5)


def test_the_rows_carry_the_rules_of_the_specification():
    rows = advise(50, 0.1, 0.05).rows
    assert (rows["secagg"].degree, rows["secagg"].threshold) == (49, 27)  # 2t > 50 + 2
    assert (rows["mesh"].degree, rows["mesh"].threshold) == (49, 27)
    assert rows["lightsecagg"].threshold == 45  # U: all that are left
    assert (rows["committee"].degree, rows["committee"].threshold) == (
        AGGREGATORS,
        7,
    )  # s = e = T = 1: T + ell = 10 - 3
    assert rows["secagg"].p_insecure == rows["secagg"].p_fail == 0
    assert rows["secagg"].log2_p_insecure is None
    assert rows["mesh"].p_insecure is None
    assert 0 < rows["secagg+"].p_insecure <= 2**-40
    assert rows["secagg+"].log2_p_insecure == pytest.approx(math.log2(rows["secagg+"].p_insecure))
    assert rows["mesh"].server_bytes is None
    masked = VectorSpec(100_000, PrimeField.with_bits(22)).masked_size
    assert rows["mesh"].bytes_up == 2 * 49 * masked + 36 * 50**2


def test_a_curious_coordinator_is_met_by_the_curious_variants():
    rows = advise(50, 0.1, 0.1, adversary="curious").rows
    assert {row.variant for row in rows.values()} == {"curious"}
    assert rows["secagg"].threshold == 6
    assert rows["secagg"].rounds == 4
    assert "lies" not in rows["secagg"].protects


def test_claims_stay_within_the_specification():
    protects = advise(50, 0.1, 0.1).rows["secagg"].protects
    assert "23 honest inputs or more, or nothing" in protects  # t - c = 28 - 5
    sparse = advise(50, 0.1, 0.1).rows["secagg+"].protects
    assert "23 honest inputs or more" in sparse  # half of 45


def test_what_cannot_be_met_has_null_figures_the_reason_and_the_nearest_setting():
    advice = advise(100, 0.5, 0.2)
    row = advice.rows["secagg"]
    assert advice.recommended is None
    assert not row.feasible
    assert {getattr(row, figure) for figure in FIGURES} == {None}
    assert "61 must answer" in row.why_not
    near = row.nearest
    assert (near.parties, near.dropout, near.corrupt) == (100, 0.39, 0.2)
    assert "0.39" in advice.reason


@bounded(25)
@given(st.integers(3, 120), st.integers(0, 95), st.integers(0, 95), st.sampled_from(["curious", "malicious"]))
@pytest.mark.slow
def test_the_nearest_setting_can_be_met_and_the_next_cannot(n, dropout, corrupt, adversary):
    for name, row in advise(n, dropout / 100, corrupt / 100, adversary=adversary).rows.items():
        near = row.nearest
        if near is not None:
            assert advise(near.parties, near.dropout, near.corrupt, adversary=adversary).rows[name].feasible
            if 0 < near.dropout < dropout / 100 - 0.01 and name != "secagg+":
                worse = advise(near.parties, near.dropout + 0.01, near.corrupt, adversary=adversary)
                assert not worse.rows[name].feasible


def test_a_mesh_of_many_is_refused_with_the_largest_that_can():
    row = advise(65, 0.1, 0.1).rows["mesh"]
    assert not row.feasible
    assert row.nearest.parties == LARGEST_MESH


def test_a_large_cohort_takes_the_sparse_graph():
    advice = advise(10_000, 0.05, 0.05)
    assert advice.recommended == "secagg+"
    assert "62 share holders" in advice.reason


@pytest.mark.parametrize(
    ("dropout", "corrupt", "none"), [(0.1, 0.1, "corrupt"), (0.33, 0.1, "corrupt"), (0.1, 0.3, "lost")]
)
def test_no_sparse_graph_where_the_fractions_round_to_none(dropout, corrupt, none):
    advice = advise(5, dropout, corrupt, adversary="curious", dimension=10**8)  # the published rule gives degree 2
    name, reason = advice.recommended, advice.reason
    assert name == "secagg"
    assert f"no {none} party of 5" in reason
    assert advice.rows["secagg"].work_seconds > CHEAP_SECONDS


def test_no_sparse_graph_where_none_is_corrupt_however_many_there_are():
    assert advise(10_000, 0.05, 0.0).recommended == "secagg"


def test_no_sparse_graph_where_the_complete_one_costs_under_a_tenth_of_a_second():
    small, large = advise(50, 0.1, 0.05, keystream_gbps=6.0), advise(500, 0.1, 0.05, keystream_gbps=6.0)
    assert small.rows["secagg"].work_seconds < CHEAP_SECONDS < large.rows["secagg"].work_seconds
    assert (small.recommended, "costs" in small.reason) == ("secagg", True)
    assert large.recommended == "secagg+"


@pytest.mark.slow
@bounded(60)
@given(
    st.integers(3, 3000),
    st.integers(0, 50),
    st.integers(0, 50),
    st.sampled_from(["curious", "semi-malicious", "malicious"]),
)
def test_the_two_rules_hold_for_every_setting(n, dropout, corrupt, adversary):
    advice = advise(n, dropout / 100, corrupt / 100, adversary=adversary, keystream_gbps=5.0)
    name = advice.recommended
    assert advice.reason
    if name is not None:
        assert advice.rows[name].feasible
    if name == "secagg+":
        whole = advice.rows["secagg"]
        assert advice.setting.colluding > 0
        assert advice.setting.lost > 0
        assert not whole.feasible or whole.work_seconds >= CHEAP_SECONDS


def test_seconds_need_bandwidth_latency_and_rate():
    known = {"bandwidth_mbps": 100.0, "latency_ms": 40.0, "keystream_gbps": 6.0}
    row = advise(50, 0.1, 0.05, **known).rows["secagg"]
    sending = 8 * (row.bytes_up + row.bytes_down) / 100e6
    assert row.seconds == pytest.approx(5 * 0.04 + sending + row.work_seconds)
    for missing in known:
        row = advise(50, 0.1, 0.05, **(known | {missing: None})).rows["secagg"]
        assert row.seconds is None
        assert (row.client_keystream_seconds is None) == (missing == "keystream_gbps")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"parties": 2}, "two would learn"),
        ({"parties": 1_000_001}, "1,000,000"),
        ({"dropout": 1.0}, "fractions"),
        ({"corrupt": -0.1}, "fractions"),
        ({"bits": 33}, "2 to 32 bits"),
        ({"dimension": 0}, "elements"),
        ({"adversary": "kind"}, "kind"),
        ({"bandwidth_mbps": 0.0}, "bandwidth_mbps"),
        ({"keystream_gbps": math.nan}, "keystream_gbps"),
    ],
)
def test_what_no_protocol_could_be_asked_is_refused(changes, why):
    with pytest.raises(ValueError, match=why):
        advise(**({"parties": 50, "dropout": 0.1, "corrupt": 0.1} | changes))


@pytest.mark.slow
def test_a_million_parties_are_advised():
    advice = advise(10**6, 0.05, 0.05)
    assert (advice.rows["secagg+"].degree, advice.rows["secagg+"].threshold) == (74, 52)
    assert advice.rows["secagg+"].bytes_up < advice.rows["secagg"].bytes_up / 100


# "auto", and after a round


@pytest.mark.parametrize(
    ("parties", "colluding", "losses", "variant", "name"),
    [
        (5, 2, 1, Variant.ACTIVE, "secagg"),
        (5, 2, 1, Variant.CURIOUS, "secagg"),
        (1000, 50, 50, Variant.ACTIVE, "secagg+"),
        (1000, 0, 50, Variant.ACTIVE, "secagg"),
    ],
)
def test_auto_stands_for_what_the_advisor_recommends_for_the_counts(parties, colluding, losses, variant, name):
    chosen, reason = resolve(parties, colluding, losses, variant)
    assert chosen == name
    assert reason


@bounded(20)
@given(st.integers(3, 200), st.data(), st.sampled_from(Variant))
@pytest.mark.slow
def test_auto_never_goes_below_what_the_consortium_states(n, data, variant):
    losses = data.draw(st.integers(0, n - 1))
    colluding = data.draw(st.integers(0, n - 1))
    try:
        chosen, _ = resolve(n, colluding, losses, variant)
    except ValueError:
        return
    adversary = "curious" if variant is Variant.CURIOUS else "malicious"
    row = advise(n, losses / n, colluding / n, adversary=adversary).rows[chosen]
    assert row.feasible
    assert row.variant == variant
    assert chosen not in ("mesh", "committee")


def test_auto_is_refused_where_nothing_meets_the_numbers():
    with pytest.raises(ValueError, match="no protocol withstands 3 corrupt and 2 lost of 5"):
        resolve(5, 3, 2, Variant.ACTIVE)


def test_after_a_round_the_advisor_says_what_the_observed_losses_would_change():
    said = reconsider("secagg+", 1000, 50, planned=50, lost=100, variant=Variant.ACTIVE)
    assert said == (
        "100 of 1000 parties were lost and 50 planned for: with so many it would be degree 78 in place of 52 and "
        "threshold 52 in place of 37"
    )
    assert reconsider("secagg+", 1000, 50, planned=50, lost=50, variant=Variant.ACTIVE) is None
    assert reconsider("secagg", 5, 2, planned=1, lost=1, variant=Variant.ACTIVE) is None
    assert reconsider("secagg", 5, 2, planned=1, lost=0, variant=Variant.ACTIVE) is None


def test_after_a_round_that_lost_more_than_the_protocol_stands_it_says_so():
    said = reconsider("secagg", 5, 2, planned=1, lost=2, variant=Variant.ACTIVE)
    assert said.startswith("2 of 5 parties were lost and 1 planned for: secagg does not stand that beside 2 colluding")


def test_after_a_round_another_protocol_is_named_where_it_would_be_taken():
    said = reconsider("secagg", 1000, 50, planned=0, lost=50, variant=Variant.ACTIVE)
    assert "with so many secagg+ would be taken" in said
    assert reconsider("mesh", 50, 5, planned=5, lost=6, variant=Variant.ACTIVE) is None  # people chose it
