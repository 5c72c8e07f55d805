"""An identity on disk: NAME.card, which everybody may have, and NAME.key, which never leaves its machine."""

from dataclasses import dataclass
from pathlib import Path

from mpc.randomness import SystemRandomness
from net.config import dump_card, load_card
from net.store import Keys, read_keys, write_keys
from net.tls import new_root
from protocols.roster import Card, ConsortiumError
from veilsum.ceremony.files import write_new
from veilsum.errors import Fault


@dataclass(frozen=True, slots=True)
class Identity:
    """A card and the keys behind it. `key_file`: where the keys lie."""

    card: Card
    keys: Keys
    key_file: Path


def new_identity(name: str, folder: Path) -> Card:
    """Makes NAME.key (mode 0600) and NAME.card in `folder`, which may not exist yet. Raises Fault, KeyFileError.

    What is there already is not overwritten: a lost key cannot be made again.
    """
    keys = Keys.generate(SystemRandomness())
    try:
        card = Card.issue(name, keys.identity, new_root(name, keys.tls_root))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except ConsortiumError as exc:
        raise Fault(str(exc)) from exc
    except OSError as exc:
        raise Fault(f"{folder}: cannot be made: {exc.strerror}: name another folder") from exc
    if (card_file := folder / f"{name}.card").exists():
        raise Fault(f"{card_file}: there is an identity of this name already: move it away first")
    write_keys(folder / f"{name}.key", keys)
    write_new(card_file, dump_card(card))
    return card


def load_identity(folder: Path) -> Identity:
    """The one identity in `folder`. Raises Fault, KeyFileError, ConfigError."""
    key_file = _only_key(folder)
    card_file = key_file.with_suffix(".card")
    if not card_file.exists():
        raise Fault(f"{card_file} is missing beside its key: copy it back, it was handed to the others")
    card, keys = load_card(card_file), read_keys(key_file)
    if keys.identity.verify_key != card.verify_key or not keys.tls_root.belongs_to(card.tls_root):
        raise Fault(f"{key_file} is not the key of {card_file}: put back the pair that was made together")
    return Identity(card, keys, key_file)


def shown_card(path: Path) -> Card:
    """The card to show: of the identity in a folder, or one that somebody else handed over."""
    return load_identity(path).card if path.is_dir() else load_card(path)


def _only_key(folder: Path) -> Path:
    found = sorted(folder.glob("*.key"))
    if not found:
        raise Fault(f"{folder}: no identity here (no NAME.key): make one with veilsum identity new NAME --out {folder}")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise Fault(f"{folder}: more than one identity ({names}): keep each in a folder of its own")
    return found[0]
