"""What an adapter needs of the server's own files: who asks, how updates become vectors, how long to wait."""

from collections.abc import Hashable, Mapping
from typing import Protocol, TypeVar

from fl_integration.asking import Questioner
from fl_integration.plan import Plan

A = TypeVar("A", bound=Hashable)


class RoundPatience(Protocol):
    """When a protocol round is over. patience: seconds."""

    @property
    def patience(self) -> float: ...

    def enough(self, answered: int) -> bool: ...


class Patience(Protocol):
    """How long to wait for which protocol round, and how often a sum is tried. rounds: those named by themselves."""

    @property
    def rounds(self) -> Mapping[str, RoundPatience]: ...

    @property
    def attempts(self) -> int: ...

    def of(self, name: str) -> RoundPatience: ...


class Desk(Protocol[A]):
    """Where the server's half sits. clients: most in one sum."""

    @property
    def questioner(self) -> Questioner[A]: ...

    @property
    def policy(self) -> Patience: ...

    @property
    def plan(self) -> Plan: ...

    @property
    def clients(self) -> int: ...
