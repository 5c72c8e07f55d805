"""The byte formula of lightsecagg against counted bytes, and the published loads in elements.

`pytest tests/protocols/test_light_bytes.py -s` prints the table of docs/protocols/lightsecagg.md.
"""

from collections import Counter
from dataclasses import replace

import pytest
from light_room import LightRoom

from mpc.field import PrimeField
from mpc.sealing import SEAL_OVERHEAD
from protocols import costs
from protocols.errors import SERVER, PartyId
from protocols.lightsecagg import numbers
from protocols.lightsecagg.messages import CODEC, AggregatedPiece, MaskedInput, Piece, Relayed, Round
from protocols.session import TEST_WIRE, WIRE, Variant

TEST_NAME = len(TEST_WIRE) - len(WIRE)  # a seeded session's invitation is longer by the name of its wire
SESSIONS = [(5, 2, 1, 10_000), (8, 1, 2, 10_000), pytest.param(16, 4, 3, 10_000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize(("n", "c", "lost", "length"), SESSIONS)
def test_a_session_sends_what_the_formula_says(n: int, c: int, lost: int, length: int, variant: Variant) -> None:
    room = LightRoom(
        clients=n, colluding=c, losses=lost, length=length, field=PrimeField.with_bits(26), variant=variant
    )
    sent, heard = Counter[PartyId](), Counter[PartyId]()

    def count(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        sent[sender] += len(data)
        heard[recipient] += len(data)

    room.hold(dict.fromkeys(range(lost), Round.MASKED_INPUT), tap=count).require_exact(*range(lost, n))
    agreed = numbers(room.params, n)
    formula = costs.lightsecagg(costs.Session(n, lost, room.params.spec, variant), agreed.pieces)
    stayed = room.parties[-1]
    print(  # noqa: T201
        f"n = {n}, T = {agreed.privacy}, U = {agreed.decode}, {lost} lost: up {sent[stayed]} B, formula {formula.up}; "
        f"down {heard[stayed]} B, formula {formula.down}; server {sent[SERVER] + heard[SERVER]} B"
    )
    assert sent[stayed] == formula.up
    assert heard[stayed] == formula.down + TEST_NAME
    assert sent[SERVER] + heard[SERVER] == formula.server + n * TEST_NAME


@pytest.mark.parametrize(("decode", "load"), [(9, 2.5), (7, 5.0)])  # T = 0.5 N; U = 0.9 N, 0.7 N
def test_a_client_sends_and_hears_the_published_number_of_elements(decode: int, load: float) -> None:
    """N / (U - T) m each way before the masked input, m for it and m / (U - T) at the end. [MLSys 2022, table 1]

    Of the N pieces one is the client's own and stays: N - 1 are counted, and it.
    """
    n, m = 10, 400
    room = LightRoom(clients=n, colluding=5, losses=n - decode, length=m - 3, field=PrimeField.with_bits(26))
    assert room.params.spec.masked_length == m
    agreed = numbers(room.params, n)
    assert (agreed.privacy, agreed.decode) == (5, decode)
    sent, heard, me = Counter[type](), Counter[type](), PartyId(1)
    assert m % agreed.pieces == 0
    each = m // agreed.pieces

    def count(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        message = CODEC.decode(data)
        for party, counted in ((sender, sent), (recipient, heard)):
            if party == me and isinstance(message, Piece | Relayed):
                assert len(message.sealed) - SEAL_OVERHEAD == room.field.packed_size(each)
            if party == me:
                counted[type(message)] += 1

    room.hold(tap=count).require_exact(*range(n))
    own = 1
    assert (sent[Piece] + own) * each == (heard[Relayed] + own) * each == load * m
    assert sent[MaskedInput] == sent[AggregatedPiece] == 1


def test_the_published_load_is_that_of_a_thousand_too() -> None:
    room = LightRoom(clients=5)
    for losses, load in ((100, 2.5), (300, 5.0)):
        agreed = numbers(replace(room.params, colluding=500, losses=losses), 1000)
        assert 1000 / agreed.pieces == load
