"""What all aggregators work out alike from what they signed: who goes on, the degree check, and U. [PROTOCOLS 3D, 3]

A client's shares must lie on polynomials of degree T + ell - 1. Each aggregator says, for each client, the combination

    v_j = <rho, share_ij> + z_ij        kappa times, with its own rho and its own mask polynomial z

of which the values of an honest client lie on one such polynomial, uniform among those; shares that do not are missed
with p^-kappa. Where one value in many is off, client and aggregator are in dispute, and which of them lied is open.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mpc import prg, shamir
from mpc.field import FieldVector
from mpc.prg import Seed
from protocols.committee.bindings import CHALLENGE
from protocols.committee.numbers import Numbers
from protocols.errors import PartyId
from protocols.evidence import Dispute
from protocols.wire import PartySet

Bits = npt.NDArray[np.bool_]

_BATCH: Final = 16  # clients whose shares are unpacked at a time


@dataclass(frozen=True, slots=True)
class Plan:
    """candidates: U*. committee: the aggregators that hold the shares of all of it, so that they can go on."""

    candidates: PartySet
    committee: PartySet


def plan(numbers: Numbers, held: Mapping[PartyId, PartySet]) -> Plan:
    """From who holds whose shares. A client goes only where otherwise too few aggregators hold all the others'.

    Not the other way round: an aggregator that says it holds nothing could put clients out.
    """
    clients = frozenset().union(*held.values())
    missing = Counter(client for holds in held.values() for client in clients - holds)
    order = sorted(clients, key=lambda client: (missing[client], client), reverse=True)
    place = {client: at for at, client in enumerate(order, start=1)}
    to_go = {party: max((place[client] for client in clients - holds), default=0) for party, holds in held.items()}
    enough = sorted(to_go.values())[: numbers.enough]
    gone = enough[-1] if len(enough) == numbers.enough else len(order)
    return Plan(frozenset(order[gone:]), frozenset(party for party, first in to_go.items() if first <= gone))


def check_values(numbers: Numbers, rho: Seed, shares: Sequence[bytes]) -> bytes:
    """Packed: for each client's share, in order, its kappa combinations."""
    field, blocks, kappa = numbers.spec.field, numbers.blocks, numbers.repetitions
    factors = prg.expand(rho, CHALLENGE, field, 0, kappa * blocks).reshape(kappa, blocks)
    found = [field.zeros(0)]
    for at in range(0, len(shares), _BATCH):
        rows = np.stack([field.unpack(share, numbers.share_length) for share in shares[at : at + _BATCH]])
        combined = field.matmul(rows[:, :blocks], np.ascontiguousarray(factors.T))
        found.append(field.add(combined, rows[:, blocks:]).reshape(-1))
    return field.pack(np.concatenate(found))


def sum_shares(numbers: Numbers, shares: Iterable[bytes]) -> bytes:
    """S_j, packed: the sum of the clients' shares without their masks for the check."""
    field = numbers.spec.field
    total = field.zeros(numbers.blocks)
    for share in shares:
        field.add(total, field.unpack(share, numbers.share_length)[: numbers.blocks], out=total)
    return field.pack(total)


@dataclass(frozen=True, slots=True)
class Verdict:
    """included: U. out: aggregators that are in dispute with more clients than can be corrupt: they count as lost."""

    included: PartySet
    out: PartySet
    disputes: frozenset[Dispute]


def judge(numbers: Numbers, candidates: Sequence[PartyId], values: Mapping[PartyId, FieldVector]) -> Verdict:
    """U, from the check values by aggregator, each the candidates' in order.

    A client stays when its values are near one polynomial and on it for every aggregator that is not out.
    """
    parties = sorted(values)
    rows = {numbers.points[party]: values[party] for party in parties}
    found = shamir.decode(rows, threshold=numbers.decode, field=numbers.spec.field)
    shape = len(candidates), numbers.repetitions
    failed = np.any(found.failed.reshape(shape), axis=1)
    off: Bits = np.any(found.differs.reshape(len(parties), *shape), axis=2)
    disputes = frozenset(Dispute(candidates[i], parties[j]) for j, i in np.argwhere(off).tolist())
    many = off.sum(axis=1) > numbers.packing.privacy
    kept = ~failed & ~np.any(off[~many], axis=0)
    included = frozenset(client for client, stays in zip(candidates, kept, strict=True) if stays)
    return Verdict(included, frozenset(party for party, bad in zip(parties, many, strict=True) if bad), disputes)
