"""Many sums after one exchange of keys: secagg with a ratchet.

[PROTOCOLS 3F; in each round Bonawitz et al., CCS 2017]
"""

from protocols.epoch.client import Client
from protocols.epoch.epochs import ClientEpoch, ServerEpoch
from protocols.epoch.server import Server
from protocols.epoch.story import Step, story

__all__ = ["Client", "ClientEpoch", "Server", "ServerEpoch", "Step", "story"]
