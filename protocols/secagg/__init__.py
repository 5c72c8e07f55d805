"""Secure aggregation with dropouts, actively secure. [Bonawitz et al., CCS 2017; PROTOCOLS 3A]"""

from protocols.evidence import Dispute
from protocols.secagg.client import Client
from protocols.secagg.server import Server
from protocols.secagg.story import story

__all__ = ["Client", "Dispute", "Server", "story"]
