"""Who is in the table of the last honest party.

All parties but one pool their inputs, so that they have the one update that is left. It is the mean of the gradients
of the victim's rows. For rows that somebody holds already, customers of several banks for instance, it is a matter of
solving a linear system whether each of them is in the victim's table.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from simulations.attacks import learner
from simulations.attacks.gallery.running import left_of, summed
from simulations.attacks.scene import Scene, levels, reals
from simulations.attacks.unstopped.demonstration import Demonstration, Seen
from simulations.attacks.verdicts import Reals


def show(seed: bytes) -> Seen:
    scene = Scene(seed, length=learner.SIZE)
    room, rand = scene.cast(), scene.rand.child("membership")
    model, rows = learner.model(rand.child("model")), learner.Rows.drawn(rand.child("rows"))
    room.inputs[scene.victim] = levels(learner.update(model, rows))
    total = summed(scene, room).total
    if total is None:
        return Seen(False, "there is no sum")
    suspects = [*rows.each(), *learner.Rows.drawn(rand.child("others")).each()]
    found = _members(model, suspects, reals(left_of(scene, room, total)))
    right = int(np.count_nonzero(found == (np.arange(len(suspects)) < learner.ROWS)))
    return Seen(
        right == len(suspects),
        f"of {len(suspects)} customers it is said rightly of {right} whether they are in the victim's table",
    )


def _members(model: bytes, suspects: list[learner.Rows], update: Reals) -> npt.NDArray[np.bool_]:
    """Of each suspect, whether the mean of gradients has its gradient in it."""
    gradients = np.stack([learner.gradient(model, one) for one in suspects], axis=1)
    whole = np.abs(update) < 1  # values that the clip left as they were
    weights = np.linalg.lstsq(gradients[whole], update[whole], rcond=None)[0]
    return np.asarray(weights > 0.5 / learner.ROWS)


DEMONSTRATION: Final = Demonstration(
    "membership",
    "all parties but one ask of customers whether the last one has them",
    "Shokri et al., S&P 2017; Nasr, Shokri, Houmansadr, S&P 2019",
    "noise (differential privacy), which bounds what any output says of one row",
    __doc__,
    show,
)
