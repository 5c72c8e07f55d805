"""What one party sends in a session of each protocol: counted, in sessions that are held in this process."""

from typing import Any, Final

from protocols.errors import PartyId
from protocols.exchange import Exchange
from protocols.families import FAMILIES
from protocols.machine import Finished
from protocols.session import EVERYBODY
from veilsum.bench.measuring import Scale
from veilsum.bench.sessions import Setting

AGGREGATORS: Final = 5
ELEMENTS: Final = 1_000
ME: Final = PartyId(0)


def size(scale: Scale) -> int:
    return 10 if scale.quick else 20


def measure(scale: Scale) -> dict[str, Any]:
    """20 parties (quick: 10) with an input of 1000 elements, one colludes, none is lost; a committee has 5 aggregators
    besides.
    """
    parties = size(scale)
    said = {name: sent(name, parties) for name in FAMILIES}
    messages, in_all = said["committee"]
    return {
        "committee": {"n": parties, "aggregators": AGGREGATORS, "client_messages": messages, "client_bytes": in_all},
        "messages": [
            {"protocol": name, "n": parties, "m": ELEMENTS, "client_messages": messages, "client_bytes": in_all}
            for name, (messages, in_all) in said.items()
        ],
    }


def sent(protocol: str, parties: int) -> tuple[int, int]:
    """Messages and bytes of a party that stays to the end. Without a server each recipient counts."""
    others = AGGREGATORS if protocol == "committee" else 0
    apart = frozenset(map(PartyId, range(parties, parties + others))) or EVERYBODY
    setting = Setting.of(parties + others, ELEMENTS, protocol=protocol, losses=1, aggregators=apart)
    sizes: list[int] = []

    def count(sender: PartyId, _recipient: PartyId, data: bytes) -> None:
        if sender == ME:
            sizes.append(len(data))

    machines = setting.machines()
    Exchange(machines, setting.family.codec, tap=count).run()
    assert all(isinstance(machine.outcome, Finished) for machine in machines.values())
    return len(sizes), sum(sizes)
