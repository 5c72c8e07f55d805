"""How large a snapshot is in each state: bytes of one client's and of the server's, one of the parties lost.

    python -m benchmarks.snapshots

A snapshot is taken where a driver takes it: when a message is ready and has not left.
"""

from mpc.field import PrimeField
from mpc.hashing import digest
from mpc.keys import SigningKey
from mpc.randomness import SystemRandomness
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.machine import Machine
from protocols.messages import CODEC, Round
from protocols.secagg import Client, Server
from protocols.session import NO_RECORD, SessionParams, Subject, Terms, VectorSpec

SIZES = ((5, 1_000), (5, 1_000_000), (10, 1_000), (100, 1_000))  # parties, elements
BITS = 20


def main() -> None:
    sizes = [measure(parties, length) for parties, length in SIZES]
    for who, state in sorted(sizes[0], key=lambda row: row[0]):
        print(f"| {who} | {state} | " + " | ".join(f"{found[who, state]:,}" for found in sizes) + " |")  # noqa: T201


def measure(parties: int, length: int) -> dict[tuple[str, str], int]:
    """(who, the message that is ready) -> bytes, for client 0 and the server."""
    rand, spec, nothing = SystemRandomness(), VectorSpec(length, PrimeField.with_bits(BITS)), digest("snapshots")
    keys = {PartyId(place): SigningKey.generate(rand) for place in range(-1, parties)}
    members = {party: key.verify_key for party, key in keys.items() if party != SERVER}
    subject = Subject(nothing, 1, keys[SERVER].verify_key.raw, nothing, nothing, NO_RECORD)
    params = SessionParams(subject, spec, rand.bytes(32), colluding=1)
    terms = Terms(subject, members, spec, max_colluding=1)
    machines: dict[PartyId, Machine] = {SERVER: Server(params, identity=keys[SERVER], members=members)}
    for party in members:
        client = Client(party, identity=keys[party], terms=terms, rand=rand)
        client.set_input(spec.field.zeros(length))
        machines[party] = client
    found: dict[tuple[str, str], int] = {}

    def note(sender: PartyId, _recipient: PartyId, data: bytes) -> None:
        who = {SERVER: "server", 0: "client"}.get(sender)
        if who:
            found[who, type(CODEC.decode(data)).__name__] = len(machines[sender].snapshot())

    Exchange(machines, CODEC, vanish={PartyId(parties - 1): Round.MASKED_INPUT}, tap=note).run()
    found["client", "none: the sum is here"] = len(machines[PartyId(0)].snapshot())
    return found


if __name__ == "__main__":
    main()
