"""A party whose whole disk is taken back: the snapshot and the ledger that would say that it is an old one.

It is `restored-snapshot` of the gallery with the one thing more that it needs. Nothing on the disk can tell:
everything that could is as old. The party masks a second input with the masks of the first.
"""

from typing import Final

from simulations.attacks.gallery.restored_snapshot import masked_again
from simulations.attacks.scene import Scene
from simulations.attacks.unstopped.demonstration import Demonstration, Seen


def show(seed: bytes) -> Seen:
    scene = Scene(seed)
    again = masked_again(scene, lambda disk: disk.take_up(*disk.before))
    guess = scene.guess_from_field(again.difference)
    return Seen(guess.exact, f"the victim's update: {guess}", guess=guess)


DEMONSTRATION: Final = Demonstration(
    "rolled-back-disk",
    "brings back an old snapshot together with the ledger of its day",
    "Parno et al., S&P 2011 (Memoir); Ristenpart and Yilek, NDSS 2010",
    "a counter that is kept elsewhere: a TPM's, or one that other parties hold",
    __doc__,
    show,
)
