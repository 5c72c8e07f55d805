"""What the evidence of a session amounts to: which aggregators certified U, the set of the sum.

What they agreed on before is named by its digest; that it was agreed on in this session and no other, the certificate
says itself.
"""

from mpc.hashing import DIGEST_BYTES
from protocols.committee import bindings
from protocols.committee.numbers import NoCommittee, numbers_of
from protocols.evidence import Evidence, EvidenceRefused, Testimony, require_confirmed, require_nested
from protocols.session import SessionParams
from protocols.wire import PartySet


def testimony(params: SessionParams, members: PartySet, evidence: Evidence) -> Testimony:
    """members: the whole consortium, from which the committee follows. Raises EvidenceRefused."""
    try:
        numbers = numbers_of(params, members)
    except NoCommittee as exc:
        raise EvidenceRefused(str(exc)) from exc
    require_nested(frozenset(numbers.aggregators), evidence.u1, evidence.u5)
    require_nested(numbers.contributors, evidence.u2, evidence.u3)
    require_confirmed(evidence, evidence.u1)
    statement = None
    if evidence.u3:
        if len(evidence.foundation) != DIGEST_BYTES:
            raise EvidenceRefused("no digest of what was agreed on")
        statement = bindings.certified(params.digest, evidence.foundation, evidence.u3)
    return Testimony(
        statement=statement,
        confirmations=evidence.confirmations,
        quorum=numbers.quorum,
        electorate=len(numbers.aggregators),
    )
