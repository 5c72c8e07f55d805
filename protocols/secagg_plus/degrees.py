"""How many holders and how many shares: one function of what was agreed, which both sides call. [PROTOCOLS 3B]

A server chooses none of these numbers. A client recomputes them with its own terms and refuses what is weaker.
"""

from functools import cache

from protocols.errors import SERVER, DropReason, PeerMisbehaved
from protocols.graph import Adversary, GraphParameters, failure, find_graph
from protocols.session import SessionParams, Terms, Variant

SECURITY_BITS = 40


def graph_for(params: SessionParams, clients: int) -> GraphParameters:
    """k and t when `clients` advertised. No session is possible where t exceeds k.

    Where no sparse graph meets the bounds, or none is corrupt or none lost by plan, everybody holds shares of everybody
    else: a graph that is planned on none has no room for one.
    """
    planned = _planned(clients, params.colluding, params.losses, params.variant)
    return GraphParameters(planned.degree, max(planned.threshold, params.threshold))


def require_graph(params: SessionParams, clients: int, terms: Terms) -> GraphParameters:
    """The same, for a party with these terms. Raises PeerMisbehaved where it protects less than they ask."""
    graph = graph_for(params, clients)
    if graph.threshold > graph.degree or not _protects(graph, clients, params, terms):
        raise PeerMisbehaved(
            SERVER,
            DropReason.OUTSIDE_TERMS,
            f"threshold {graph.threshold} of {graph.degree} holders among {clients} parties, our terms ask for "
            f"{terms.max_colluding} that may collude and 2^-{SECURITY_BITS}",
        )
    return graph


def _protects(graph: GraphParameters, clients: int, params: SessionParams, terms: Terms) -> bool:
    corrupt = terms.max_colluding
    if graph.degree == clients - 1:
        return graph.threshold >= _all_hold(clients, corrupt, params.variant).threshold
    risk = failure(
        clients,
        graph,
        corrupt / clients,
        params.losses / clients,
        adversary=_adversary(params.variant),
        attempts=1 + terms.retries_after_reveal,
    )
    return risk.insecure <= -SECURITY_BITS


@cache
def _planned(clients: int, colluding: int, losses: int, variant: Variant) -> GraphParameters:
    if colluding and losses and colluding + losses < clients:
        where = clients, colluding / clients, losses / clients
        sparse = find_graph(*where, adversary=_adversary(variant), security_bits=SECURITY_BITS)
        if sparse is not None:
            return sparse
    return _all_hold(clients, colluding, variant)


def _all_hold(clients: int, colluding: int, variant: Variant) -> GraphParameters:
    """Active: 2t - k > c. A holder that does not collude gives out one of the two secrets, so t of both would take
    2 (t - c) of them, and there are k - c. Nobody holds its own share, so k is n - 1. Curious: t > c.
    """
    if variant is Variant.ACTIVE:
        return GraphParameters(clients - 1, (clients - 1 + colluding) // 2 + 1)
    return GraphParameters(clients - 1, max(2, colluding + 1))


def _adversary(variant: Variant) -> Adversary:
    return Adversary.MALICIOUS if variant is Variant.ACTIVE else Adversary.CURIOUS
