"""The byte formula of docs/protocols/mesh.md against counted bytes; `pytest tests/protocols/test_mesh_bytes.py -s`."""

from collections import Counter

import pytest
from mesh_room import MeshRoom

from mpc.field import PrimeField
from protocols.errors import PartyId

LENGTH = 10_000
SIZES = [3, 5, pytest.param(8, marks=pytest.mark.slow), pytest.param(16, marks=pytest.mark.slow)]


def bytes_up(n: int, t: int, vector: int) -> int:
    """What a peer that does not propose sends in a session without losses, fields alone."""
    return (n - 1) * (2 * vector + 67 * n + 66 * t + 752) + 230 * n + 288


@pytest.mark.parametrize("n", SIZES)
def test_a_peer_sends_what_the_formula_says_within_one_percent(n: int) -> None:
    room = MeshRoom(clients=n, length=LENGTH, field=PrimeField.with_bits(26))
    sent: Counter[PartyId] = Counter()

    def count(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        sent[sender] += len(data)

    room.hold(tap=count).require_exact(*range(n))
    expected, vector = bytes_up(n, room.t, room.params.spec.masked_size), room.params.spec.masked_size
    of_it = f"formula {expected}, of it vectors {2 * vector * (n - 1)}"
    print(f"n = {n}: {sent[PartyId(1)]} B a peer, {sent[PartyId(0)]} B the proposer, {of_it}")  # noqa: T201
    assert expected <= sent[PartyId(1)] <= 1.01 * expected
