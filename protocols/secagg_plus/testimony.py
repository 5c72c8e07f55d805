"""What the evidence of a session amounts to: who confirmed U3.

Of the roster its root is kept, so who signed that it takes part is not in it. Each client counted the confirmations of
its own holders; here those of all are together. [PROTOCOLS 3B]
"""

from mpc.hashing import DIGEST_BYTES
from protocols.evidence import Evidence, EvidenceRefused, Testimony, require_nested, require_sets
from protocols.secagg.bindings import shared_digest
from protocols.secagg.testimony import confirmed
from protocols.secagg_plus import bindings
from protocols.secagg_plus.degrees import graph_for
from protocols.session import SessionParams
from protocols.wire import PartySet


def testimony(params: SessionParams, members: PartySet, evidence: Evidence) -> Testimony:
    """members: who may advertise; U1 is who did. Raises EvidenceRefused."""
    require_nested(members, evidence.u1)
    require_sets(evidence, evidence.u3)
    if not evidence.u1:
        return Testimony()
    if len(evidence.foundation) != DIGEST_BYTES:
        raise EvidenceRefused("no root of a roster")
    session = bindings.session_digest(params, evidence.u1, evidence.foundation)
    quorum = graph_for(params, len(evidence.u1)).threshold
    return confirmed(params, shared_digest(session, evidence.u2), evidence, quorum)
