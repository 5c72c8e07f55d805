"""The sum names its contributors; a sum over others, or with one twice, is found."""

import numpy as np
import pytest

from mpc.field import PrimeField
from protocols.errors import PartyId
from simulations.oracle import Oracle

FIELD = PrimeField.with_bits(20)


def parties(*numbers: int) -> frozenset[PartyId]:
    return frozenset(map(PartyId, numbers))


def total(oracle: Oracle, *members: int) -> np.ndarray:
    found = FIELD.zeros(oracle.length)
    for member in members:
        found = FIELD.add(found, oracle.input(PartyId(member)))
    return found


@pytest.mark.parametrize(("length", "named"), [(50, True), (4, True), (2, False)])
def test_the_sum_of_inputs_is_exact_and_names_them(length: int, named: bool) -> None:
    oracle = Oracle(FIELD, length, 60)
    members = parties(0, 18, 19, 20, 59)
    found = total(oracle, *members)
    assert np.array_equal(found, oracle.sum(members))
    assert oracle.contributors(found) == (members if named else None)
    assert oracle.exact(found, members)


@pytest.mark.parametrize("length", [50, 4, 2])
def test_a_sum_over_others_than_it_says_is_not_exact(length: int) -> None:
    oracle = Oracle(FIELD, length, 60)
    found = total(oracle, 1, 2, 3)
    for claimed in (parties(1, 2), parties(1, 2, 3, 4), parties(1, 2, 4)):
        assert not oracle.exact(found, claimed)
    assert not oracle.exact(total(oracle, 1, 2, 3, 3), parties(1, 2, 3))
    changed = found.copy()
    changed[-1] = (changed[-1] + 1) % FIELD.modulus
    assert not oracle.exact(changed, parties(1, 2, 3))


def test_inputs_are_the_seeds() -> None:
    one, two = Oracle(FIELD, 9, 5, seed=1), Oracle(FIELD, 9, 5, seed=2)
    assert np.array_equal(one.input(PartyId(3)), Oracle(FIELD, 9, 5, seed=1).input(PartyId(3)))
    assert not np.array_equal(one.input(PartyId(3)), two.input(PartyId(3)))
