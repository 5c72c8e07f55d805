"""The network without manners, for lightsecagg."""

from disorder import Disorder, Frame

from protocols.lightsecagg.messages import CODEC


class LightDisorder(Disorder):
    codec = CODEC

    @property
    def sent(self) -> list[Frame]:
        return self.watch.frames
