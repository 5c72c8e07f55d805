"""What computing costs: rates, as data. `python -m veilsum.bench.rates` measured them; no run measures anything."""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Self

from mpc.work import Work
from protocols.tables import read_tables

_DEFAULT = Path(__file__).with_name("rates.toml")


@dataclass(frozen=True, slots=True)
class Rates:
    """Seconds on one core of the device of speed 1: of each piece of work in `mpc.work`, of a message and of its bytes.

    message, message_byte: decoding, checking and encoding, beside the cryptography.
    """

    agreement: float
    signature: float
    check: float
    stream: float
    stream_byte: float
    seal: float
    sealed_byte: float
    product: float
    message: float
    message_byte: float

    @classmethod
    def load(cls, file: Path) -> Self:
        """Raises ValueError unless the file has every rate, and nothing else but numbers of 0 or more."""
        table = read_tables(file.read_bytes())
        names = {one.name for one in fields(cls)}
        if odd := sorted(names ^ table.keys()):
            raise ValueError(f"{file.name}: {odd[0]!r} is missing or unknown: measure the rates anew")
        if wrong := [name for name, rate in table.items() if type(rate) is not float or not rate >= 0]:
            raise ValueError(f"{file.name}: {wrong[0]!r} is no number of seconds")
        return cls(**table)

    def seconds(self, work: Work, messages: int, size: int) -> float:
        """Of this work and so many messages of together `size` bytes, in and out."""
        return (
            work.agreements * self.agreement
            + work.signatures * self.signature
            + work.checks * self.check
            + work.streams * self.stream
            + work.stream_bytes * self.stream_byte
            + work.seals * self.seal
            + work.sealed_bytes * self.sealed_byte
            + work.products * self.product
            + messages * self.message
            + size * self.message_byte
        )


@cache
def default_rates() -> Rates:
    """Those that come with the package."""
    return Rates.load(_DEFAULT)
