"""Two sums of two models that are one model but for a value.

A party does not answer twice for one step over different members; a step is a model, byte for byte. A coordinator
that may say what the model is changes one weight in the ninth place, and has another step, of which every update is
as good as the same. Both sums are right, and their difference is the victim's update, nearly.

The parties are warned: a sum that differs from an earlier one by a single member is named in their logs. Under strict
terms they refuse it.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from mpc.field import M31
from protocols.session import model_digest
from simulations.attacks import learner
from simulations.attacks.cast import Cast
from simulations.attacks.gallery.running import summed
from simulations.attacks.scene import Scene, levels, reals
from simulations.attacks.unstopped.demonstration import Demonstration, Seen
from simulations.attacks.verdicts import Guess

_A_LITTLE = 1e-9


def show(seed: bytes) -> Seen:
    scene = Scene(seed, length=learner.SIZE)
    rows = {party: learner.Rows.drawn(scene.rand.child(f"rows {party}")) for party in scene.parties}
    model = learner.model(scene.rand.child("model"))
    weights = np.frombuffer(model, dtype="<f8").copy()
    weights[0] += _A_LITTLE
    nearly = weights.tobytes()

    def room_on(model: bytes, session: str, *, strict: bool = False) -> Cast:
        room = scene.cast(session=session)
        subject = replace(room.params.subject, model=model_digest(model))
        room.params = replace(room.params, subject=subject)
        room.terms = replace(room.terms, subject=subject, strict=strict)
        room.inputs = {party: levels(learner.update(model, rows[party])) for party in scene.parties}
        return room

    first = summed(scene, room_on(model, "first"))
    second = summed(scene, room_on(nearly, "second"), first.ledgers, without=scene.victim)
    strict = summed(scene, room_on(nearly, "strict", strict=True), first.ledgers, without=scene.victim)
    if first.total is None or second.total is None:
        return Seen(False, "there is no second sum")
    true = learner.update(model, rows[scene.victim])
    guess = Guess(true, reals(M31.sub(first.total, second.total)), 2.0**15)
    also = [f"each party's log: {caution}" for caution in second.warnings]
    also += [f"under strict terms: {strict.refusals[0]}"] if strict.refusals else []
    return Seen(guess.correlation > 0.99, f"the victim's update: {guess}", tuple(also), guess)


DEMONSTRATION: Final = Demonstration(
    "differencing-across-models",
    "sums a step and nearly the same step, once without the victim",
    "So et al., AAAI 2023; Denning, Denning, Schwartz, TODS 1979 (trackers)",
    "strict terms; a larger smallest_change; noise (differential privacy)",
    __doc__,
    show,
)
