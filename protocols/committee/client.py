"""A client: it looks at the committee's card, and speaks once. [PROTOCOLS 3D, 0 and 1]"""

import numpy as np

from mpc import prg
from mpc.field import FieldVector
from mpc.keys import AgreementSecret
from mpc.prg import SEED_BYTES, Seed
from mpc.randomness import Randomness
from mpc.sealing import seal
from protocols.committee import bindings
from protocols.committee.messages import Card, Contribution
from protocols.committee.numbers import Numbers
from protocols.committee.states import AwaitingCard, Contributed
from protocols.committee.view import View


def invited(rand: Randomness) -> AwaitingCard:
    """The only step that draws."""
    return AwaitingCard(AgreementSecret.generate(rand), Seed(rand.bytes(SEED_BYTES)))


def contribute(view: View, state: AwaitingCard, card: Card, vector: FieldVector) -> tuple[Contributed, Contribution]:
    """One sealed piece for each aggregator on the card. Raises PeerMisbehaved where the card is not one to trust."""
    session = view.check_card(card)
    numbers, points = view.numbers, view.numbers.points
    rows = deal(numbers, bindings.deal_seed(state.deal_secret, session), vector)
    ephemeral = state.ephemeral_secret.public.raw
    pieces = []
    for entry in card.entries:
        there = entry.aggregator
        key = bindings.sealing_key(session, view.me, there, state.ephemeral_secret, entry.channel_key, ephemeral)
        share = numbers.spec.field.pack(rows[points[there] - 1])
        pieces.append(seal(key, share, session, view.me, there))
    hashes = b"".join(map(bindings.hash_bytes, pieces))
    envelope = bindings.envelope_digest(session, view.me, ephemeral, hashes)
    signature = bindings.sign_contribution(view.identity, envelope)
    return Contributed(), Contribution(ephemeral, signature, b"".join(pieces))


def deal(numbers: Numbers, seed: Seed, vector: FieldVector) -> FieldVector:
    """(A, share length): the shares of a vector, canaries behind it, with kappa mask polynomials of their own.

    All noise is keystream under the seed: the shares are uniform as far as the generator is a pseudorandom one.
    """
    field, packing, kappa = numbers.spec.field, numbers.packing, numbers.repetitions
    whole = packing.pack(np.concatenate([vector, field.zeros(numbers.spec.canaries)]))
    masks = prg.expand(seed, bindings.MASKS, field, 0, packing.packed * kappa).reshape(packing.packed, kappa)
    noise = prg.expand(seed, bindings.NOISE, field, 0, packing.privacy * numbers.share_length)
    return packing.split(np.concatenate([whole, masks], axis=1), noise.reshape(packing.privacy, -1))
