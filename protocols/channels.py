"""Between two parties of a session: one sealing key each way, from one agreement (PROTOCOLS rule 9, decision 2)."""

from collections.abc import Mapping

from mpc.keys import AgreementKey, AgreementSecret, Channel, ChannelKey, agree_both_ways
from protocols.errors import PartyId


def channel(
    purpose: str, session: bytes, me: PartyId, mine: AgreementSecret, peer: PartyId, peer_key: bytes
) -> Channel:
    """session: D, over all that both were shown; parties that were shown different things hold different keys.

    Raises KeyRefused for a peer's key that is none.
    """
    context = session, min(me, peer), max(me, peer)
    return agree_both_ways(mine, AgreementKey(peer_key), purpose=purpose, context=context, first=me < peer)


def opening(channels: Mapping[PartyId, Channel]) -> dict[PartyId, ChannelKey]:
    """What is left of them once all that goes out is sealed: the keys of what comes in, by peer."""
    return {peer: channel.receiving for peer, channel in channels.items()}
