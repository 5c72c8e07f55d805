"""consortium.toml: who takes part, under which terms, training what. Made once, read and signed by every member."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mpc.field import M31
from net.config import dump_consortium, load_card, load_consortium
from net.store import write_whole
from protocols.advisor import resolve
from protocols.families import FAMILIES, family_of
from protocols.roster import Card, Consortium, ConsortiumError
from protocols.session import Variant, VectorSpec, smallest_cohort
from veilsum.ceremony.files import write_new
from veilsum.ceremony.identity import load_identity
from veilsum.ceremony.mean_section import load_mean_section
from veilsum.ceremony.model_section import load_model_section
from veilsum.ceremony.plan_section import load_plan_section
from veilsum.ceremony.words import spoken
from veilsum.errors import Fault, WrongUsage

MAX_WEIGHT: Final = 16
_READABLE: Final = 0o644  # a public file, whatever the umask


def create(
    out: Path,
    *,
    members: Sequence[Path],
    coordinator: Path | None,
    schema: Path | None,
    plan: Path | None = None,
    colluding: int,
    losses: int,
    name: str,
    rounds: int,
    model: str,
    protocol: str = "secagg",
    aggregators: Sequence[str] = (),
    rounds_per_epoch: int = 1,
    accountable: bool = False,
) -> Consortium:
    """Writes the file, unsigned. The coordinator's own card among those of the members is left out of them; a mesh has
    none.

    schema: model.toml, or what `mean_table` wrote, which says model and rounds itself. plan: in its place, plan.toml,
    for a training that another framework runs. aggregators: names of members, of a committee.
    Raises Fault, WrongUsage, ConfigError: among them where colluding + 2 losses is not below the number of members.
    """
    head, cards = _load_cards(members, coordinator)
    try:
        consortium = Consortium(
            name=name,
            version=1,
            members=tuple(sorted(cards, key=lambda card: card.name)),
            coordinator=head,
            protocol=protocol,
            variant=Variant.ACTIVE,
            colluding=colluding,
            losses=losses,
            max_weight=MAX_WEIGHT,
            training=_training(schema, plan, model, rounds),
            aggregators=tuple(aggregators),
            rounds_per_epoch=rounds_per_epoch,
            accountable=accountable,
        )
        numbers_of(consortium)
    except ConsortiumError as exc:
        raise Fault(str(exc)) from exc
    write_new(out, dump_consortium(consortium))
    return consortium


def choose(members: Sequence[Path], coordinator: Path | None, colluding: int, losses: int) -> tuple[str, str]:
    """The protocol that the advisor takes for so many members, and why. Raises Fault where none meets the numbers."""
    _, cards = _load_cards(members, coordinator)
    try:
        return resolve(len(cards), colluding, losses, Variant.ACTIVE)
    except ValueError as exc:
        raise Fault(str(exc)) from exc


def _load_cards(members: Sequence[Path], coordinator: Path | None) -> tuple[Card | None, list[Card]]:
    """The coordinator's, and the others among those of the members."""
    head = None if coordinator is None else load_card(coordinator)
    return head, [card for card in map(load_card, members) if card != head]


def _training(schema: Path | None, plan: Path | None, model: str, rounds: int) -> dict[str, Any]:
    if schema is not None and plan is None:
        return load_mean_section(schema) or load_model_section(schema).training(model=model, rounds=rounds)
    if plan is not None and schema is None:
        return load_plan_section(plan, max_weight=MAX_WEIGHT)
    raise WrongUsage(
        "what was agreed on is one file: --schema for banks of this program, --plan for a framework's nodes"
    )


def sign(file: Path, folder: Path) -> tuple[Consortium, str]:
    """Adds the signature of the member whose identity is in `folder`, and returns its name too.

    Raises Fault, ConfigError.
    """
    consortium, identity = load_consortium(file), load_identity(folder)
    try:
        signed = consortium.signed(identity.keys.identity)
    except ConsortiumError as exc:
        raise Fault(f"{file}: {exc}") from exc
    write_whole(file, dump_consortium(signed).encode(), mode=_READABLE)
    return signed, identity.card.name


def numbers_of(consortium: Consortium) -> Mapping[str, int]:
    """What follows from the terms, while all members are there. Raises Fault, with the remedy, where nothing does."""
    if consortium.protocol not in FAMILIES:
        raise Fault(f"this version does not run {consortium.protocol}: use one of {', '.join(FAMILIES)}")
    params = consortium.params(consortium.subject(bytes(32)), VectorSpec(1, M31), bytes(32))
    try:
        return family_of(consortium.protocol, consortium.rounds_per_epoch).numbers(params, len(consortium.members))
    except KeyError as exc:
        raise Fault(f"{consortium.protocol} has no epochs: leave --rounds-per-epoch out") from exc
    except ValueError as exc:
        raise Fault(f"{consortium.protocol} among {len(consortium.members)} members: {exc}") from exc


def described(consortium: Consortium) -> Iterator[str]:
    """What a person checks before signing, line by line. Raises Fault."""
    numbers = ", ".join(f"{name} = {value}" for name, value in numbers_of(consortium).items())
    floor = smallest_cohort(consortium.colluding)
    beside = "" if consortium.coordinator is None else " with the coordinator"
    yield (
        f"{consortium.name}, version {consortium.version}: {len(consortium.members)} members, {numbers} "
        f"({consortium.protocol}: stands {consortium.colluding} colluding{beside} and {consortium.losses} lost; "
        f"a sum covers {floor} members or more)"
    )
    if consortium.aggregators:
        yield f"{', '.join(consortium.aggregators)}: aggregate, and contribute nothing"
    if consortium.rounds_per_epoch > 1:
        yield f"{consortium.rounds_per_epoch} rounds follow one exchange of keys"
    if consortium.accountable:
        yield "accountable: banks sign for the shares that they deal and reveal, and who sent a wrong one is proven"
    yield f"digest {consortium.digest.hex()[:32]}: the same at everybody, whoever has signed"
    for card in consortium.cards:
        yield f"{card.name}: {spoken(card.verify_key)}{_mark(consortium, card)}"


def _mark(consortium: Consortium, card: Card) -> str:
    if card is consortium.coordinator:
        return " (coordinator)"
    return " (signed)" if card.name in consortium.signatures else ""
