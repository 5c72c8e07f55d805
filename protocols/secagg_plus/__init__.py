"""secagg over a sparse graph: each client draws its holders, and what it does no longer grows with the cohort.

[Bell et al., CCS 2020; PROTOCOLS 3B, K]
"""

from protocols.secagg_plus.client import Client
from protocols.secagg_plus.server import Server
from protocols.secagg_plus.story import story

__all__ = ["Client", "Server", "story"]
