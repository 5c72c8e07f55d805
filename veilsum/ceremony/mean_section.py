"""training.toml: what programs sum together, drafted from one update, so that nobody writes shapes by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fl_integration.forms import Update, tensors_of
from fl_integration.layout import Layout
from fl_integration.means import KIND, Means
from fl_integration.plan import PlanError
from protocols.tables import read_tables
from veilsum.ceremony.toml import literal, toml_key
from veilsum.errors import Fault

_HEAD: Final = """\
# What programs sum, round by round: the mean of these tensors. All agree on it before any of them has one.

[training]
"""


def mean_table(
    update: Update,
    *,
    rounds: int,
    clip: float = 1.0,
    bits: int = 16,
    metrics: Mapping[str, tuple[float, float]] | None = None,
) -> str:
    """The text of training.toml for updates like this one, for `veilsum consortium create --schema training.toml`.

    Of the update only names, shapes and types are in it. clip, bits, metrics: as in `local`. Raises LayoutError and
    PlanError.
    """
    lines = [
        f"kind = {literal(KIND)}",
        f"rounds = {literal(rounds)}",
        "run = 1  # another number to train once more: what was summed is not summed again under the same one",
        f"clip = {literal(float(clip))}  # every value is clipped to -clip..clip",
        f"bits = {literal(bits)}  # of precision for each value",
        "\n[training.metrics]  # name = [lowest, highest]",
        *(f"{toml_key(name)} = {literal([float(low), float(high)])}" for name, (low, high) in (metrics or {}).items()),
        "\n[training.tensors]",
        *(
            f"{toml_key(entry.name)} = {{ shape = {literal(list(entry.shape))}, dtype = {literal(entry.dtype)} }}"
            for entry in Layout.of(tensors_of(update)).entries
        ),
    ]
    text = _HEAD + "\n".join(lines) + "\n"
    Means.from_mapping(read_tables(text.encode())["training"], max_weight=1)
    return text


def load_mean_section(path: Path) -> dict[str, Any] | None:
    """The table `[training]` of such a file; None where it has none. Raises Fault when it cannot be used."""
    try:
        given = read_tables(path.read_bytes())
    except (OSError, ValueError):
        return None  # the reader of the other kind of file says what is wrong with it
    table = given.get("training")
    if not isinstance(table, dict):
        return None
    try:
        Means.from_mapping(table, max_weight=1)
    except PlanError as exc:
        raise Fault(f"{path}: [training] {exc}") from exc
    return table
