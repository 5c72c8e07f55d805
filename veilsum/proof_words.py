"""What a proof of who cheated says, in plain words and as one JSON line (docs/records.md, docs/json.md)."""

import json

from protocols.accounts import Offence
from veilsum.record_words import weighed
from veilsum.verifying import Convicted


def told(convicted: Convicted) -> list[str]:
    """Lines for people."""
    verdict = f"{_cheater(convicted)} broke the protocol: {convicted.verdict.reason}"
    return [verdict, "", *weighed(_proves(convicted), _leaves_open(convicted))]


def to_json(convicted: Convicted) -> str:
    """One line."""
    consortium, params, verdict = convicted.consortium, convicted.params, convicted.verdict
    return json.dumps(
        {
            "consortium": consortium.name,
            "version": consortium.version,
            "cheater": _cheater(convicted),
            "offence": Offence(verdict.reason).label,
            "reason": verdict.reason,
            "session": params.digest.hex(),
            "model": params.subject.model.hex(),
            "proves": _proves(convicted),
            "does_not_prove": _leaves_open(convicted),
        }
    )


def _cheater(convicted: Convicted) -> str:
    return convicted.consortium.members[convicted.verdict.cheater].name


def _proves(convicted: Convicted) -> list[str]:
    consortium, cheater = convicted.consortium, _cheater(convicted)
    return [
        f"with the identity of {cheater} was signed what shows it, and nobody signs that who keeps to the protocol",
        f"it was in session {convicted.params.digest.hex()} under {consortium.name}, version {consortium.version}",
        "neither the coordinator nor all other members together can have made this up",
    ]


def _leaves_open(convicted: Convicted) -> list[str]:
    return [
        "why: broken software, a damaged disk or a stolen key look the same",
        "when: the record of this session has the same `session` in its JSON",
    ]
