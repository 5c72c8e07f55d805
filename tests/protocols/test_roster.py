import itertools
from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc.keys import SigningKey
from mpc.randomness import SeededRandomness
from protocols.roster import Card, Consortium, ConsortiumError
from protocols.session import Variant


def identity(name):
    return SigningKey.generate(SeededRandomness(name.encode()))


def card(name, *, key=None, root=None):
    return Card.issue(name, key or identity(name), root or b"root of " + name.encode())


def consortium(banks=5, **changes):
    values = {
        "name": "banks",
        "version": 1,
        "members": tuple(card(f"bank-{place}") for place in range(banks)),
        "coordinator": card("hub"),
        "protocol": "secagg",
        "variant": Variant.ACTIVE,
        "colluding": 1,
        "losses": 1,
        "max_weight": 16,
        "training": {"model": "linear", "rounds": 5, "rate": 0.1, "schema": {"columns": ["a", "b"]}},
    }
    return Consortium(**{**values, **changes})


def test_a_card_comes_back_from_its_bytes():
    assert Card.from_bytes(card("bank-1").to_bytes()) == card("bank-1")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_card_or_a_consortium_error(data):
    with pytest.raises(ConsortiumError):
        Card.from_bytes(data)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data + b" ",
        lambda data: data.replace(b"bank-1", b"bank-2"),
        lambda data: data.replace(b'"name"', b'"nome"'),
        lambda data: data.upper(),
        lambda data: b"[]",
        lambda data: b"[" * 100_000,
    ],
)
def test_a_card_that_was_changed_is_refused(spoil):
    with pytest.raises(ConsortiumError):
        Card.from_bytes(spoil(card("bank-1").to_bytes()))


@pytest.mark.parametrize("name", ["", "Bank", "bank 1", "b" * 65, "bänk", "bank\n"])
def test_a_name_is_1_to_64_plain_characters(name):
    with pytest.raises(ConsortiumError, match="is no name"):
        card(name)


def test_a_card_signed_by_another_identity_is_refused():
    honest = card("bank-1")
    with pytest.raises(ConsortiumError, match="not signed by its identity: ask bank-1"):
        replace(honest, verify_key=identity("bank-2").verify_key)
    with pytest.raises(ConsortiumError):
        replace(honest, tls_root=b"another root")


def test_a_member_has_its_place_as_its_id():
    c = consortium()
    assert c.members_by_id[3] == identity("bank-3").verify_key
    assert c.party_of(identity("bank-3").verify_key) == 3
    assert c.find("bank-3") == c.members[3]


def test_who_is_no_member_is_not_found():
    with pytest.raises(ConsortiumError, match="'bank-9' is no member of banks: bank-0, bank-1"):
        consortium().find("bank-9")
    with pytest.raises(ConsortiumError, match="no member of banks has the identity"):
        consortium().party_of(identity("bank-9").verify_key)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "others"},
        {"version": 2},
        {"variant": Variant.CURIOUS},
        {"colluding": 0},
        {"losses": 0},
        {"max_weight": 8},
        {"coordinator": card("hub-2")},
        {"members": tuple(card(f"bank-{place}") for place in (1, 0, 2, 3, 4))},
        {"training": {"model": "mlp"}},
        {"protocol": "mesh", "coordinator": None},
        {"protocol": "committee", "aggregators": ("bank-1",)},
        {"rounds_per_epoch": 2},
        {"accountable": True},
    ],
)
def test_the_digest_covers_everything(changes):
    assert replace(consortium(), **changes).digest != consortium().digest


def test_the_digest_does_not_cover_the_signatures_and_the_configs_only_the_training():
    c = consortium()
    assert c.signed(identity("bank-2")).digest == c.digest
    assert replace(c, version=2).config_digest == c.config_digest
    assert replace(c, training={}).config_digest != c.config_digest


def test_the_order_of_the_training_table_does_not_matter_and_its_values_do():
    a, b = consortium(training={"x": 1, "y": 2}), consortium(training={"y": 2, "x": 1})
    assert a.config_digest == b.config_digest
    assert consortium(training={"x": 1, "y": 2.0}).config_digest != a.config_digest


@pytest.mark.parametrize("value", [float("nan"), b"bytes", {1, 2}, object()])
def test_only_json_like_values_can_be_agreed_on(value):
    with pytest.raises(ConsortiumError, match="can be agreed on"):
        _ = consortium(training={"x": value}).config_digest


def test_signatures_that_are_there_are_checked():
    c = consortium().signed(identity("bank-0")).signed(identity("bank-4"))
    assert c.signatures.keys() == {"bank-0", "bank-4"}
    with pytest.raises(ConsortiumError, match="bank-0 signed another content"):
        replace(c, version=2)
    with pytest.raises(ConsortiumError, match="'hub' is no member"):
        replace(c, signatures={"hub": bytes(64)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": (card("a"), card("b"))}, "2 members: .* add 1"),
        ({"members": (card("a"), card("b"), card("a", key=identity("x"))), "losses": 0}, "a and a share one name"),
        ({"members": (card("a"), card("b"), card("c", key=identity("a"))), "losses": 0}, "a and c share one identity"),
        ({"members": (card("a"), card("b"), card("c", root=b"root of a")), "losses": 0}, "a and c share one TLS root"),
        ({"coordinator": card("hub", key=identity("bank-1"))}, "hub and bank-1 share one identity"),
        ({"colluding": 3}, "stand 2 colluding parties, not 3"),
        ({"losses": 3}, "cannot lose 3"),
        ({"version": 0}, "start at 1"),
        ({"max_weight": 0}, "start at 1"),
        ({"losses": -1}, "are counts"),
        ({"protocol": "telepathy"}, "is not known here"),
        ({"aggregators": ("bank-1",)}, "belong to the protocol 'committee'"),
        ({"protocol": "committee", "aggregators": ("bank-1", "bank-1")}, "named twice"),
        ({"protocol": "committee", "aggregators": ("bank-9",)}, "'bank-9' is no member"),
        ({"protocol": "committee", "aggregators": ("bank-1", "bank-2", "bank-3")}, "2 members contribute"),
        ({"rounds_per_epoch": 0}, "rounds_per_epoch"),
        ({"accountable": True, "rounds_per_epoch": 2}, "accountable sessions are of secagg or secagg"),
        ({"name": "The Banks"}, "is no name"),
    ],
)
def test_a_consortium_that_cannot_work_is_refused_with_the_remedy(changes, message):
    with pytest.raises(ConsortiumError, match=message):
        consortium(**changes)


@pytest.mark.parametrize("n", [3, 5, 6])
def test_c_plus_2d_stays_below_n_and_the_survivors_can_be_summed(n):
    cards = consortium(6).members
    for c, d in itertools.product(range(5), range(4)):
        fits = c + 2 * d < n and n - d >= max(3, c + 2)
        with nullcontext() if fits else pytest.raises(ConsortiumError):
            consortium(members=cards[:n], colluding=c, losses=d)
