"""Who this party is in its consortium: its files, read once and held against each other."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from net.config import PartyConfig, PartyTerms, load_consortium, load_family
from net.errors import ConfigError, TlsError
from net.store import Keys, read_keys
from net.tls import Endpoint, Pins
from protocols.errors import PartyId
from protocols.family import Family, Limits
from protocols.roster import Card, Consortium, ConsortiumError
from protocols.session import Subject, Terms, VectorSpec


@dataclass(frozen=True, slots=True)
class Membership:
    """file: the consortium's."""

    file: Path
    consortium: Consortium
    family: Family
    me: PartyId
    keys: Keys = field(repr=False)
    own_terms: PartyTerms

    @classmethod
    def of(cls, config: PartyConfig) -> "Membership":
        """Raises ConfigError and KeyFileError where the files do not belong together."""
        file = config.consortium
        consortium, keys = load_consortium(file), read_keys(config.identity)
        try:
            me = consortium.party_of(keys.identity.verify_key)
        except ConsortiumError as exc:
            raise ConfigError(f"{file}: {exc}") from exc
        if consortium.variant is not config.terms.variant:
            raise ConfigError(
                f"{file}: the variant is {consortium.variant.value}, our terms accept {config.terms.variant.value}: "
                f"change [terms] variant only if that is what you want"
            )
        return cls(file, consortium, load_family(consortium, file), me, keys, config.terms)

    @property
    def trains(self) -> bool:
        """Whether this party has an input, and does not only aggregate."""
        return self.me not in self.consortium.committee

    def endpoint(self, others: Sequence[Card], *, server: bool) -> Endpoint:
        """One side of connections with these. Raises ConfigError."""
        try:
            return Endpoint(self.consortium.members[self.me], self.keys.tls_root, Pins.of(others), server=server)
        except TlsError as exc:
            raise ConfigError(f"{self.file}: {exc}") from exc

    def terms(self, subject: Subject, spec: VectorSpec) -> Terms:
        """Of one session, from our own files."""
        return self.own_terms.accepting(subject, spec, self.consortium)

    def limits(self, subject: Subject, spec: VectorSpec) -> Limits:
        """Of the messages of one session."""
        params = self.consortium.params(subject, spec, bytes(32))
        return self.family.limits(params, len(self.consortium.members))
