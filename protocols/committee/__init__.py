"""Packed Shamir sharing through a committee: clients speak once. [PROTOCOLS 3D]"""

from protocols.committee.member import Member
from protocols.committee.numbers import NoCommittee, numbers_of
from protocols.committee.server import Server
from protocols.committee.story import story

__all__ = ["Member", "NoCommittee", "Server", "numbers_of", "story"]
