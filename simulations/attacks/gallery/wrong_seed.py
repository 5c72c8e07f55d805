"""A party that reveals a wrong seed, so that another mask comes off than went on.

Everything up to the last message is right. Then one party gives a wrong share, or a wrong seed of a mask that it
shared with a party that dropped. The textbook rebuilds some secret, takes some mask off, and publishes what is left
for the sum.

Noticed by canaries, the last coordinates, which are zero in every input: a sum that is not zero there has a wrong
mask in it. The server then asks for the shares of the dropped party's key, checks the key against the public one,
works the seeds out itself, and names the party whose seed was another. The sum is exact.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from protocols.errors import SERVER
from protocols.messages import CODEC, DroppedReveal, Reveal, Round, UnmaskShares
from simulations.attacks.coordinator import honest_server
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_textbook
from simulations.attacks.naive import arithmetic, messages, secagg
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Bent, bending, hold
from simulations.attacks.verdicts import Ending, Goal, Run, summing


class Liar(secagg.Client):
    """Its shares of everybody are another's: its own."""

    def _unmask(self, request: messages.UnmaskRequest) -> messages.UnmaskShares:
        true = super()._unmask(request)
        own = self.share_of(self.me)[: secagg.SHARE_BYTES]
        return messages.UnmaskShares(dict.fromkeys(true.self_shares, own), true.mask_shares)


def naive(seed: bytes) -> Run:
    """The liar is the first of those whose shares are used."""
    scene = Scene(seed)
    liar = scene.parties[0]
    clients = {**scene.textbook(secagg.Client), liar: scene.textbook_client(liar, Liar)}
    total = arithmetic.decode(on_textbook(scene, secagg.Coordinator.honest, clients=clients))
    wrong = int(np.count_nonzero(total != scene.sum_of(*scene.parties)))
    if not wrong:
        return Run(Ending.LOST, "every value of the sum is right")
    return Run(Ending.WON, f"{wrong} of {scene.length} values of the sum are wrong, and nobody noticed")


def ours(seed: bytes) -> Run:
    """One party drops before its input left: only of such a one are seeds revealed."""
    scene = Scene(seed)
    room = scene.cast()
    lost, liar = scene.parties[2], scene.colluder

    def another(reveal: Reveal) -> Reveal:
        return DroppedReveal(bytes(32)) if isinstance(reveal, DroppedReveal) else reveal

    def lie(true: UnmaskShares) -> UnmaskShares:
        return replace(true, reveals={peer: another(reveal) for peer, reveal in true.reveals.items()})

    server = honest_server(room)
    clients = {party: room.client(party) for party in scene.honest}
    seats = {SERVER: server, **clients, liar: Bent(room.client(liar), bending(UnmaskShares, lie))}
    hold(seats, CODEC, vanish={lost: Round.MASKED_INPUT}, dishonest=(liar,))
    named = ", ".join(f"party {one} ({why.value})" for one, (_, why) in server.dropped.items() if one != lost)
    included = frozenset(scene.parties) - {lost}
    return summing(
        server.outcome,
        lambda vector: np.array_equal(vector, room.plain_sum(included)),
        f"a canary was not zero; shares of the key gave the right seeds; dropped for theirs: {named}",
    )


ATTACK: Final = Attack(
    "wrong-seed",
    Goal.CORRUPT,
    "reveals another seed than the one that the mask came from",
    "Bonawitz et al., CCS 2017 (which claims no correctness then)",
    __doc__,
    naive,
    ours,
)
