"""DELIBERATELY INSECURE. Pairwise masks of many rounds from keys that are agreed on once. [Kursawe et al., PETS 2011]

    y_u = x_u + sum over the others of (+ if u > v, else -) PRG(s_uv, round)

The round's number is what the server says it is. Nobody may be lost: there is nothing that takes a mask off.
"""

from typing import Any

from mpc.hashing import kdf
from protocols.errors import SERVER, PartyId
from protocols.machine import Envelope
from simulations.attacks.naive import arithmetic, secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.naive.messages import MaskedInput, Roster, RoundStart
from simulations.attacks.naive.secagg import add_pairwise, pair_seed
from simulations.attacks.scripted import Script, said


class Client(secagg.Client):
    """It shares no secrets: keys are all that it needs."""

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        match message:
            case Roster():
                self._roster = message.entries
                return []
            case RoundStart():
                return [Envelope((SERVER,), self._mask_round(message))]
            case _:
                return super().receive(sender, message)

    def _mask_round(self, start: RoundStart) -> MaskedInput:
        vector = arithmetic.encode(self.train(start.model))
        for peer in self._roster.keys() - {self.me}:
            seed = pair_seed(self.mask_secret, self._roster[peer].mask_key)
            add_pairwise(vector, self.me, peer, kdf(seed, "naive round", start.number))
        return MaskedInput(arithmetic.pack(vector))


class Coordinator(secagg.Coordinator):
    def set_up(self) -> Script[None]:
        yield from self.invite()
        yield from self.show_roster(self.parties, self.keys)

    def hold_round(self, number: int, model: bytes = b"") -> Script[dict[PartyId, Ring]]:
        """The masked inputs of a round."""
        heard = yield [Envelope(self.parties, RoundStart(number, model))]
        return {party: arithmetic.words(one.masked) for party, one in said(heard, MaskedInput).items()}

    def honest_rounds(self, rounds: int) -> Script[list[Ring]]:
        """The sums of so many rounds."""
        yield from self.set_up()
        sums = []
        for number in range(1, rounds + 1):
            masked = yield from self.hold_round(number)
            sums.append(arithmetic.add_up(masked.values()))
        return sums
