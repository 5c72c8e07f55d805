"""A protocol of one exchange from two functions, to try an idea in the simulator before it has machines of its own.

The server asks, each party answers once with bytes, the server makes the sum of what came. Nothing here protects an
input, signs, or remembers: it is for figures, and for a baseline in clear.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, NoReturn

from mpc.field import FieldVector
from mpc.keys import SigningKey, VerifyKey
from mpc.randomness import Randomness
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.family import Family
from protocols.ledger import NOTHING_ANSWERED, ONE_VERSION, Ledger
from protocols.machine import Aborted, Aggregate, Envelope, Finished, Outcome
from protocols.session import SessionParams, Terms
from protocols.wire import Codec, PartySet

AnswerOf = Callable[[FieldVector, SessionParams, PartyId, Randomness], bytes]
"""A party's answer: from its input, the session, its place and its randomness."""

SumOf = Callable[[Mapping[PartyId, bytes], SessionParams], FieldVector]
"""The sum, from the answers that came. Raises ValueError where they give none."""


class Round(StrEnum):
    ANSWER = "answer"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Ask:
    round: ClassVar[Round] = Round.ANSWER
    params: SessionParams


@dataclass(frozen=True, slots=True)
class Answer:
    round: ClassVar[Round] = Round.ANSWER
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    round: ClassVar[Round] = Round.DONE
    included: PartySet
    vector: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Abort:
    round: ClassVar[Round] = Round.DONE
    reason: AbortReason


CODEC = Codec(Ask | Answer | Result | Abort)


def one_exchange(name: str, answer: AnswerOf, sum_of: SumOf) -> Family:
    """The family of such a protocol, for `simulate(scenario, family=...)`."""

    def contributor(
        me: PartyId, *, identity: SigningKey, terms: Terms, rand: Randomness, ledger: Ledger = NOTHING_ANSWERED,
        local_version: bytes = ONE_VERSION,
    ) -> _Party:  # fmt: skip
        return _Party(me, answer, rand, ledger)

    def collector(params: SessionParams, *, identity: SigningKey, members: dict[PartyId, VerifyKey]) -> _Server:
        return _Server(params, frozenset(members), sum_of)

    def restore(*_: object, **__: object) -> NoReturn:
        raise LocalProtocolError("a sketch has no snapshot")

    return Family(
        name=name,
        codec=CODEC,
        rounds=Round,
        stages=lambda _: (Round.ANSWER,),
        input_stage=Round.ANSWER,
        uploads=(Answer,),
        held_back=Ask,
        restore=restore,
        contributor=contributor,
        collector=collector,
        numbers=lambda params, _: {"k": 0, "t": params.floor},
    )


@dataclass(slots=True)
class _Party:
    me: PartyId
    answer: AnswerOf
    rand: Randomness
    ledger: Ledger
    outcome: Outcome | None = None
    warnings: tuple[Any, ...] = ()
    can_close: bool = False
    _input: FieldVector | None = None
    _params: SessionParams | None = None

    @property
    def round(self) -> Round:
        return Round.DONE if self.outcome else Round.ANSWER

    @property
    def waiting_for(self) -> PartySet:
        return frozenset() if self.outcome else frozenset({SERVER})

    def start(self) -> list[Envelope]:
        return []

    def set_input(self, vector: FieldVector) -> None:
        self._input = vector.copy()

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        match message:
            case Ask() if self._params is None and self._input is not None:
                self._params = message.params
                return [Envelope((SERVER,), Answer(self.answer(self._input, message.params, self.me, self.rand)))]
            case Result() if self._params is not None:
                spec = self._params.spec
                self.outcome = Finished(Aggregate(spec.field.unpack(message.vector, spec.length), message.included))
            case Abort():
                self.outcome = Aborted(AbortReason.TOLD)
            case _:
                raise PeerMisbehaved(SERVER, DropReason.UNEXPECTED, type(message).__name__)
        return []

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        return self.abort(AbortReason.SERVER_LOST)

    def close_round(self) -> list[Envelope]:
        raise LocalProtocolError("a party closes no round")

    def abort(self, reason: AbortReason) -> list[Envelope]:
        self.outcome = self.outcome or Aborted(reason)
        return []

    def snapshot(self) -> bytes:
        raise LocalProtocolError("a sketch has no snapshot")


@dataclass(slots=True)
class _Server:
    params: SessionParams
    members: PartySet
    sum_of: SumOf
    outcome: Outcome | None = None
    dropped: dict[PartyId, tuple[StrEnum, DropReason]] = field(default_factory=dict)
    _answers: dict[PartyId, bytes] = field(default_factory=dict)

    @property
    def round(self) -> Round:
        return Round.DONE if self.outcome else Round.ANSWER

    @property
    def waiting_for(self) -> PartySet:
        return frozenset() if self.outcome else self.members - self._answers.keys() - self.dropped.keys()

    @property
    def can_close(self) -> bool:
        return self.outcome is None and len(self._answers) >= self.params.floor

    def start(self) -> list[Envelope]:
        return [Envelope(tuple(sorted(self.members)), Ask(self.params))]

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        if self.outcome or sender in self.dropped:
            return []
        if not isinstance(message, Answer) or sender in self._answers:
            raise PeerMisbehaved(sender, DropReason.UNEXPECTED, type(message).__name__)
        self._answers[sender] = message.body
        return []

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        if self.outcome is None and party not in self._answers:
            self.dropped.setdefault(party, (Round.ANSWER, reason))
        return []

    def close_round(self) -> list[Envelope]:
        if not self.can_close:
            raise LocalProtocolError("too few answers")
        self.dropped |= dict.fromkeys(self.waiting_for, (Round.ANSWER, DropReason.TOO_SLOW))
        try:
            total = self.sum_of(self._answers, self.params)
        except ValueError:
            return self.abort(AbortReason.UNMASK_INCONSISTENT)
        included = frozenset(self._answers)
        self.outcome = Finished(Aggregate(total, included))
        return [Envelope(tuple(sorted(included)), Result(included, self.params.spec.field.pack(total)))]

    def abort(self, reason: AbortReason) -> list[Envelope]:
        if self.outcome is not None:
            return []
        self.outcome = Aborted(reason)
        return [Envelope(tuple(sorted(self.members)), Abort(reason))]

    def snapshot(self) -> bytes:
        raise LocalProtocolError("a sketch has no snapshot")
