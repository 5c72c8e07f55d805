"""Additive sharing between peers without a server. [PROTOCOLS 3C]"""

from protocols.mesh.messages import Equivocation
from protocols.mesh.peer import PROTOCOL, Peer
from protocols.mesh.story import story
from protocols.session import NO_COORDINATOR

__all__ = ["NO_COORDINATOR", "PROTOCOL", "Equivocation", "Peer", "story"]
