"""How the scripts beside this file write a session down."""

import json
from collections.abc import Mapping
from typing import Any

from protocols.errors import SERVER, PartyId
from protocols.machine import Aborted, Finished, Outcome

Document = dict[str, Any]


def text(document: Document) -> str:
    """JSON with one operation, message or party a line."""
    parts = []
    for key, value in document.items():
        if isinstance(value, list):
            rows = ",\n".join(f"  {json.dumps(row)}" for row in value)
            parts.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            parts.append(f" {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def but_the_first(mapping: Mapping[PartyId, Any]) -> dict[PartyId, Any]:
    return dict(list(mapping.items())[1:])


def name_of(party: PartyId) -> int | str:
    return "server" if party == SERVER else int(party)


def outcome_of(outcome: Outcome | None) -> Document:
    match outcome:
        case Finished(aggregate):
            return {"included": sorted(aggregate.included), "sum": aggregate.vector.tolist()}
        case Aborted(reason):
            return {"aborted": reason.value}
    return {"running": True}
