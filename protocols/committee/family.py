"""committee, as a driver sees it."""

from typing import Final

from protocols.committee.member import Member
from protocols.committee.messages import CODEC, Card, Contribution, Round, SumShare
from protocols.committee.numbers import PROTOCOL, Numbers, numbers_of
from protocols.committee.server import Server
from protocols.committee.testimony import testimony
from protocols.errors import PartyId
from protocols.family import Family, Limits
from protocols.session import SessionParams, Variant


def _stages(_: Variant) -> tuple[Round, ...]:
    return tuple(stage for stage in Round if stage is not Round.DONE)


def _numbers(params: SessionParams, parties: int) -> dict[str, int]:
    numbers = _numbers_of(params, parties)
    packing = numbers.packing
    size = len(numbers.aggregators)
    return {"t": numbers.enough, "k": size, "A": size, "T": packing.privacy, "ell": packing.packed, "q": numbers.quorum}


def _limits(params: SessionParams, parties: int) -> Limits:
    """Up: check values of everybody. An upload: a piece for each aggregator. Down: all check values, or one vector."""
    numbers = _numbers_of(params, parties)
    size, checks = len(numbers.aggregators), params.spec.field.packed_size(parties * numbers.repetitions)
    small = 16 * 1024 + parties + checks
    down = small + 256 * size + size * (parties + checks) + 64 * parties + params.spec.masked_size
    return Limits(small, small + size * numbers.piece_size, down)


def _numbers_of(params: SessionParams, parties: int) -> Numbers:
    return numbers_of(params, frozenset(map(PartyId, range(parties))))


COMMITTEE: Final = Family(
    name=PROTOCOL,
    codec=CODEC,
    rounds=Round,
    stages=_stages,
    input_stage=Round.CONTRIBUTE,
    uploads=(Contribution, SumShare),
    held_back=Card,
    contributor=Member,
    restore=Member.restore,
    collector=Server,
    restore_collector=Server.restore,
    variants=(Variant.ACTIVE,),
    limits=_limits,
    numbers=_numbers,
    testimony=testimony,
)
