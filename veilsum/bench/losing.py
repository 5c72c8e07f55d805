"""What a server computes in a whole session as more parties are lost: lightsecagg, and beside it secagg."""

import time
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median
from typing import Any, Final

from protocols.errors import SERVER, PartyId
from protocols.exchange import Exchange
from protocols.machine import Collector, Envelope, Finished
from veilsum.bench.measuring import Scale, by_turns, rounded
from veilsum.bench.sessions import Setting

DROPOUT: Final = (0.0, 0.1, 0.3)
PROTOCOLS: Final = ("lightsecagg", "secagg")


@dataclass(frozen=True, slots=True)
class Heard:
    """A session that was held, and what its server heard in it: sender and bytes."""

    setting: Setting
    frames: list[tuple[PartyId, bytes]] = field(repr=False)

    @classmethod
    def of(cls, protocol: str, parties: int, elements: int, dropout: float) -> "Heard":
        """One colludes. The losses of the worst case are planned; as many as `dropout` are lost, before their input."""
        setting = Setting.of(parties, elements, protocol=protocol, losses=round(DROPOUT[-1] * parties))
        heard = cls(setting, [])

        def listen(sender: PartyId, recipient: PartyId, data: bytes) -> None:
            if recipient == SERVER:
                heard.frames.append((sender, data))

        gone = dict.fromkeys(map(PartyId, range(round(dropout * parties))), setting.family.input_stage)
        outcome = Exchange(setting.machines(), setting.family.codec, vanish=gone, tap=listen).run()
        assert isinstance(outcome, Finished)
        return heard

    def serve(self) -> Finished:
        """All of the server's work again, from bytes to bytes: who is not heard in a round is lost with its end."""
        server = self.setting.collector()
        self._say(server.start())
        for sender, data in self.frames:
            message = self.setting.family.codec.decode(data)
            self._catch_up(server, message.round)
            self._say(server.receive(sender, message))
        while server.outcome is None:
            self._say(server.close_round())
        assert isinstance(server.outcome, Finished)
        return server.outcome

    def _catch_up(self, server: Collector, stage: StrEnum) -> None:
        while server.round != stage:
            self._say(server.close_round())

    def _say(self, envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            self.setting.family.codec.encode(envelope.message)


def sizes(scale: Scale) -> tuple[int, int]:
    return (10, 20_000) if scale.quick else (40, 100_000)


def measure(scale: Scale) -> dict[str, list[dict[str, Any]]]:
    """40 parties, 100,000 elements (quick: 10 and 20,000). Processor time, all by turns."""
    parties, elements = sizes(scale)
    sessions = [(name, dropout) for name in PROTOCOLS for dropout in DROPOUT]
    works = [Heard.of(name, parties, elements, dropout).serve for name, dropout in sessions]
    taken = by_turns(list(works), scale.times, time.process_time)
    rows = [
        {"n": parties, "m": elements, "dropout": dropout, "server_seconds": rounded(median(found))}
        for (_, dropout), found in zip(sessions, taken, strict=True)
    ]
    return {"lightsecagg": rows[: len(DROPOUT)], "secagg_server": rows[len(DROPOUT) :]}
