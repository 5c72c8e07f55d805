"""How large the record of a session is, and how long it takes to verify: by protocol and number of parties.

    python -m benchmarks.records

Milliseconds are processor time of one verification, the least of five.
"""

import time
from dataclasses import replace

from mpc.field import PrimeField
from mpc.keys import SigningKey
from mpc.randomness import SystemRandomness
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.families import FAMILIES
from protocols.machine import Finished, GivesEvidence
from protocols.record import START, Record, Summed, dropped, hash_sum, verify
from protocols.roster import Card, Consortium
from protocols.session import Terms, Variant, VectorSpec
from protocols.transcript import Transcript

SIZES = (5, 20, 100)
PROTOCOLS = ("secagg", "secagg+", "lightsecagg", "committee")
AGGREGATORS = 5
SPEC = VectorSpec(100, PrimeField.with_bits(20))


def main() -> None:
    for protocol in PROTOCOLS:
        rows = [session(protocol, parties) for parties in SIZES]
        shown = [f"{len(record.to_bytes()):,} | {verifying(record, agreed):.1f}" for record, agreed in rows]
        print(f"| {protocol} | " + " | ".join(shown) + " |")  # noqa: T201


def session(protocol: str, parties: int) -> tuple[Record, Consortium]:
    """The record of a session without a loss. Of a committee five more members aggregate."""
    rand = SystemRandomness()
    committee = protocol == "committee"
    everybody = [PartyId(place) for place in range(parties + AGGREGATORS * committee)]
    keys = {party: SigningKey.generate(rand) for party in (SERVER, *everybody)}
    agreed = Consortium(
        name="measured",
        version=1,
        members=tuple(Card.issue(f"bank-{party}", keys[party], b"root %d" % party) for party in everybody),
        coordinator=Card.issue("hub", keys[SERVER], b"root"),
        protocol=protocol,
        variant=Variant.ACTIVE,
        colluding=1,
        losses=1,
        max_weight=1,
        training={},
        aggregators=tuple(f"bank-{party}" for party in everybody[parties:]),
    )
    return _held(agreed, keys, everybody[:parties]), agreed


def _held(agreed: Consortium, keys: dict[PartyId, SigningKey], contributing: list[PartyId]) -> Record:
    rand, family = SystemRandomness(), FAMILIES[agreed.protocol]
    assert family.collector is not None
    assert family.contributor is not None
    members = dict(agreed.members_by_id)
    params = agreed.params(agreed.subject(bytes(32)), SPEC, rand.bytes(32))
    server = family.collector(params, identity=keys[SERVER], members=members)
    terms = Terms(params.subject, members, SPEC, 1, protocol=agreed.protocol, aggregators=params.aggregators)
    transcript = Transcript()
    transcript.begin()
    transcript.told(members, b"as many lines as members")
    machines = {party: family.contributor(party, identity=keys[party], terms=terms, rand=rand) for party in members}
    for party in contributing:
        machines[party].set_input(SPEC.field.zeros(SPEC.length))
    Exchange({SERVER: server, **machines}, family.codec).run()
    assert isinstance(server.outcome, Finished)
    assert isinstance(server, GivesEvidence)
    return Record(
        START.number + 1, START.digest, keys[SERVER].verify_key.raw, 1, params,
        {party: key.raw for party, key in members.items()},
        server.evidence, dropped(server.dropped),
        Summed(hash_sum(server.outcome.aggregate, SPEC), bytes(32)), transcript.lines,
    ).signed(keys[SERVER])  # fmt: skip


def verifying(record: Record, agreed: Consortium) -> float:
    """Milliseconds."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        verify(replace(record), agreed)
        best = min(best, time.process_time() - start)
    return 1000 * best


if __name__ == "__main__":
    main()
