"""What ten sums cost in an epoch, against ten single sessions: messages, bytes and CPU seconds, counted.

    python -m benchmarks.epochs

All parties and the server run in this one process, so the CPU seconds are those of all of them together.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from mpc.field import PrimeField
from mpc.hashing import digest
from mpc.keys import SigningKey
from mpc.randomness import SystemRandomness
from protocols import epoch, secagg
from protocols.epoch.family import EPOCHS
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.ledger import NOTHING_ANSWERED
from protocols.machine import Finished, Machine
from protocols.secagg.family import SECAGG
from protocols.session import NO_RECORD, SessionParams, Subject, Terms, VectorSpec

ROUNDS = 10
SIZES = ((5, 1_000), (5, 100_000), (20, 1_000))  # parties, elements
BITS = 26

Sessions = Iterator[Mapping[PartyId, Machine]]


@dataclass
class House:
    """Identities, and the parameters and terms of each step."""

    parties: int
    length: int
    rounds: int
    keys: dict[PartyId, SigningKey] = field(init=False)

    def __post_init__(self) -> None:
        rand = SystemRandomness()
        self.keys = {PartyId(place): SigningKey.generate(rand) for place in range(-1, self.parties)}
        self.members = {party: key.verify_key for party, key in self.keys.items() if party != SERVER}
        self.spec = VectorSpec(self.length, PrimeField.with_bits(BITS))

    def step(self, number: int) -> tuple[SessionParams, Terms]:
        nothing = digest("epochs")
        subject = Subject(
            nothing, 1, self.keys[SERVER].verify_key.raw, digest("model", number), nothing, NO_RECORD
        )  # fmt: skip
        params = SessionParams(subject, self.spec, SystemRandomness().bytes(32), 1, rounds_per_epoch=self.rounds)
        return params, Terms(subject, self.members, self.spec, 1, rounds_per_epoch=self.rounds)


@dataclass
class Cost:
    messages: int
    up: int
    down: int
    seconds: float


def single_sessions(house: House) -> Sessions:
    for number in range(ROUNDS):
        params, terms = house.step(number)
        machines: dict[PartyId, Machine] = {
            SERVER: secagg.Server(params, identity=house.keys[SERVER], members=house.members)
        }
        for me in house.members:
            client = secagg.Client(me, identity=house.keys[me], terms=terms, rand=SystemRandomness())
            client.set_input(house.spec.field.zeros(house.length))
            machines[me] = client
        yield machines


def one_epoch(house: House) -> Sessions:
    server: epoch.Server | None = None
    clients: dict[PartyId, epoch.Client] = {}
    for number in range(ROUNDS):
        params, terms = house.step(number)
        kept = None if server is None else server.epoch
        server = epoch.Server(params, identity=house.keys[SERVER], members=house.members, epoch=kept)
        for me in house.members:
            before = clients.get(me)
            client = epoch.Client(
                me, identity=house.keys[me], terms=terms, rand=SystemRandomness(),
                ledger=before.ledger if before else NOTHING_ANSWERED, epoch=before.epoch if before else None,
            )  # fmt: skip
            client.set_input(house.spec.field.zeros(house.length))
            clients[me] = client
        yield {SERVER: server, **clients}


def measure(house: House, sessions: Callable[[House], Sessions]) -> Cost:
    """Of one party but for the seconds, which are everybody's."""
    codec = (SECAGG if sessions is single_sessions else EPOCHS).codec
    sent: Counter[PartyId] = Counter()
    size: Counter[tuple[str, PartyId]] = Counter()

    def count(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        sent[sender] += 1
        size["from", sender] += len(data)
        size["to", recipient] += len(data)

    began = time.process_time()
    for machines in sessions(house):
        outcome = Exchange(machines, codec, tap=count).run()
        assert isinstance(outcome, Finished)
    seconds = time.process_time() - began
    one = PartyId(0)
    return Cost(sent[one], size["from", one], size["to", one], seconds)


def main() -> None:
    print("| parties | elements | | messages up | bytes up | bytes down | CPU seconds, everybody |")  # noqa: T201
    print("| --- | --- | --- | --- | --- | --- | --- |")  # noqa: T201
    for parties, length in SIZES:
        house = House(parties, length, ROUNDS)
        for name, sessions, of in (
            (f"{ROUNDS} sessions", single_sessions, replace(house, rounds=1)),
            ("one epoch", one_epoch, house),
        ):
            cost = measure(of, sessions)
            figures = f"{cost.messages} | {cost.up:,} | {cost.down:,} | {cost.seconds:.2f}"
            print(f"| {parties} | {length:,} | {name} | {figures} |")  # noqa: T201


if __name__ == "__main__":
    main()
