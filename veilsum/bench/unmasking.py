"""What the server does when the last answer is in: rebuild the seeds, check them, take the masks off."""

import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import numpy as np

from mpc import shamir
from mpc.field import M31
from mpc.prg import SEED_BYTES, Seed
from mpc.randomness import SeededRandomness
from protocols.errors import PartyId
from protocols.secagg import bindings
from protocols.secagg.shares import pack_share, pack_shares
from protocols.secagg.unmasking import LeafSeeds, Transcript
from veilsum.bench import floors
from veilsum.bench.measuring import Scale, compare, rounded
from veilsum.bench.sessions import Setting

DROPOUT: Final = (0.1, 0.3)
_DIGEST: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Answers:
    """All that the survivors of a complete graph revealed. shares: owner -> holder -> share."""

    transcript: Transcript
    shares: Mapping[PartyId, Mapping[PartyId, bytes]] = field(repr=False)
    leaves: LeafSeeds

    @classmethod
    def of(cls, parties: int, elements: int, dropout: float) -> "Answers":
        params = Setting.of(parties, elements).params
        everybody = [PartyId(place) for place in range(parties)]
        stayed = everybody[round(dropout * parties) :]
        rand, t = SeededRandomness(b"answers"), params.threshold_for(parties)
        secrets = M31.uniform(shamir.LIMBS * len(stayed), rand)
        dealt = shamir.split(secrets, threshold=t, points=range(1, parties + 1), field=M31, rand=rand)
        owned = dict(zip(stayed, secrets.reshape(-1, shamir.LIMBS), strict=True))
        held = {holder: pack_shares(dealt[holder].reshape(-1, shamir.LIMBS)) for holder in stayed}
        shares = {owner: {holder: held[holder][at] for holder in stayed} for at, owner in enumerate(stayed)}
        commitments = {own: bindings.self_commitment(_DIGEST, own, pack_share(secret)) for own, secret in owned.items()}
        transcript = Transcript(
            params, t, _DIGEST, _DIGEST, dict.fromkeys(everybody), commitments,  # type: ignore[arg-type]  # no key is read
            frozenset(everybody), frozenset(stayed),
        )  # fmt: skip
        lost = everybody[: parties - len(stayed)]
        leaves = {dropped: {peer: Seed(rand.bytes(SEED_BYTES)) for peer in stayed} for dropped in lost}
        return cls(transcript, shares, leaves)

    @property
    def masks(self) -> int:
        return len(self.transcript.u3) * (1 + len(self.leaves))

    def unmask(self) -> None:
        spec = self.transcript.params.spec
        masked = np.zeros(spec.masked_length, dtype=spec.field.dtype)
        self.transcript.unmask(masked, self.transcript.self_seeds(self.shares), self.leaves)


def measure(scale: Scale) -> list[dict[str, Any]]:
    """500 parties, 100,000 elements (quick: 100 and 20,000)."""
    return [_row(*((100, 20_000) if scale.quick else (500, 100_000)), dropout, scale) for dropout in DROPOUT]


def _row(parties: int, elements: int, dropout: float, scale: Scale) -> dict[str, Any]:
    answers = Answers.of(parties, elements, dropout)
    spec = answers.transcript.params.spec
    size = answers.masks * spec.masked_length * spec.field.itemsize
    found = compare(answers.unmask, partial(floors.aes, size), scale.times)
    return {
        "n": parties,
        "m": elements,
        "dropout": dropout,
        "masks": answers.masks,
        "seconds": rounded(found.seconds),
        "floor_seconds": rounded(found.floor_seconds),
        "ratio": rounded(found.ratio),
        "peak_bytes": _peak(answers),
    }


def _peak(answers: Answers) -> int:
    """The most memory that it takes beside what it was given."""
    tracemalloc.start()
    try:
        answers.unmask()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
