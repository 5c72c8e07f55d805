"""Secure aggregation whose server decodes one sum of masks, however many were lost. [LightSecAgg, MLSys 2022]"""

from protocols.lightsecagg.client import Client
from protocols.lightsecagg.numbers import PROTOCOL, Numbers, Unworkable, numbers
from protocols.lightsecagg.server import Server
from protocols.lightsecagg.story import story

__all__ = ["PROTOCOL", "Client", "Numbers", "Server", "Unworkable", "numbers", "story"]
