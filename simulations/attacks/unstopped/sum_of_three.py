"""What a sum of three says to two of them.

Three banks, an honest coordinator, an exact sum: the smallest that there can be. Two of the banks put their own
inputs beside it, and the third's is what is left. With one bank against a coordinator that helps it is the same for
two honest ones: each learns the other's. Masks hide an input among others, and here there are no others.
"""

from typing import Final

from mpc.field import M31
from simulations.attacks.gallery.running import summed
from simulations.attacks.scene import Scene
from simulations.attacks.unstopped.demonstration import Demonstration, Seen


def show(seed: bytes) -> Seen:
    scene = Scene(seed, clients=3)
    room = scene.cast()
    total = summed(scene, room).total
    if total is None:
        return Seen(False, "there is no sum")
    left = total
    for party in scene.parties:
        if party != scene.victim:
            left = M31.sub(left, room.inputs[party])
    guess = scene.guess_from_field(left)
    return Seen(guess.exact, f"the third bank's update: {guess}", guess=guess)


DEMONSTRATION: Final = Demonstration(
    "sum-of-three",
    "two of three parties take their own inputs off the sum",
    "folklore; Bonawitz et al., CCS 2017 (what the output says)",
    "more parties; a larger Terms.cohort; noise (differential privacy)",
    __doc__,
    show,
)
