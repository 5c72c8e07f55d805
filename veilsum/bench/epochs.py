"""What ten sums cost in an epoch, against ten single sessions: messages, bytes and CPU seconds.

All parties and the server run in this one process, so the CPU seconds are those of all of them together.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from statistics import median
from typing import Any, Final

from mpc.field import PrimeField
from mpc.hashing import digest
from mpc.keys import SigningKey
from mpc.randomness import SystemRandomness
from protocols import epoch, secagg
from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.families import family_of
from protocols.ledger import NOTHING_ANSWERED
from protocols.machine import Finished, Machine
from protocols.session import NO_RECORD, SessionParams, Subject, Terms, VectorSpec
from veilsum.bench.measuring import Scale, Work, by_turns, rounded

ROUNDS: Final = 10
BITS: Final = 26

Sessions = Iterator[Mapping[PartyId, Machine]]


@dataclass
class House:
    """Identities, and the parameters and terms of each step. rounds: of an epoch."""

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
        subject = Subject(nothing, 1, self.keys[SERVER].verify_key.raw, digest("model", number), nothing, NO_RECORD)
        params = SessionParams(subject, self.spec, SystemRandomness().bytes(32), 1, rounds_per_epoch=self.rounds)
        return params, Terms(subject, self.members, self.spec, 1, rounds_per_epoch=self.rounds)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one party but for the seconds, which are everybody's."""

    messages: int
    bytes_up: int
    bytes_down: int
    cpu_seconds: float


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


def hold(sessions: Callable[[House], Sessions], house: House) -> tuple[int, int, int]:
    """Messages of one party, and its bytes up and down, in all of them."""
    codec = family_of("secagg", house.rounds).codec
    total: Counter[str] = Counter()

    def count(sender: PartyId, recipient: PartyId, data: bytes) -> None:
        if sender == PartyId(0):
            total.update(messages=1, up=len(data))
        elif recipient == PartyId(0):
            total.update(down=len(data))

    for machines in sessions(house):
        outcome = Exchange(machines, codec, tap=count).run()
        assert isinstance(outcome, Finished)
    return total["messages"], total["up"], total["down"]


def compare(parties: int, length: int, times: int) -> tuple[Cost, Cost]:
    """Ten sessions, and one epoch of ten rounds."""
    counted: dict[int, tuple[int, int, int]] = {}

    def work(sessions: Callable[[House], Sessions], rounds: int) -> None:
        counted[rounds] = hold(sessions, House(parties, length, rounds))

    works: list[Work] = [partial(work, single_sessions, 1), partial(work, one_epoch, ROUNDS)]
    apart, together = map(median, by_turns(works, times, time.process_time))
    return Cost(*counted[1], rounded(apart)), Cost(*counted[ROUNDS], rounded(together))


def measure(scale: Scale) -> dict[str, Any]:
    """5 parties (quick: 3), 1000 elements."""
    parties, length = 3 if scale.quick else 5, 1_000
    sessions, epoch_ = compare(parties, length, scale.times)
    return {"rounds": ROUNDS, "n": parties, "m": length, "sessions": asdict(sessions), "epoch": asdict(epoch_)}
