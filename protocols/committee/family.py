"""committee, as a driver sees it."""

from typing import Final

from protocols.committee.member import Member
from protocols.committee.messages import CODEC, Card, Contribution, Round, SumShare
from protocols.committee.numbers import PROTOCOL
from protocols.committee.server import Server
from protocols.family import Family
from protocols.session import Variant


def _stages(_: Variant) -> tuple[Round, ...]:
    return tuple(stage for stage in Round if stage is not Round.DONE)


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
)
