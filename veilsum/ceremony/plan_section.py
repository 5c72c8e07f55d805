"""plan.toml: how the updates of a framework's training become vectors. Written by hand, agreed on by all."""

from pathlib import Path
from typing import Any

from fl_integration.plan import Plan, PlanError
from protocols.tables import read_tables
from veilsum.errors import Fault


def load_plan_section(path: Path, *, max_weight: int) -> dict[str, Any]:
    """The keys of `fl_integration.plan.Plan`, checked. Raises Fault."""
    try:
        table = read_tables(path.read_bytes())
        Plan.from_mapping(table, max_weight=max_weight)
    except OSError as exc:
        raise Fault(f"{path}: cannot be read: {exc.strerror}") from exc
    except PlanError as exc:
        raise Fault(f"{path}: {exc}") from exc
    except ValueError as exc:
        raise Fault(f"{path}: not TOML: {exc}") from exc
    return table
