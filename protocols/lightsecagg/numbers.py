"""The numbers of a session: both sides work them out from what was proposed and from how many advertised."""

from dataclasses import dataclass

from protocols.session import SessionParams, VectorSpec

PROTOCOL = "lightsecagg"


class Unworkable(ValueError):
    """No numbers fit this session. The text says what to change."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """What N, c and d make of a session. [LightSecAgg, MLSys 2022: N, T, U; the quorum is PROTOCOLS 3E]

    parties: N = |U1|. privacy: T, so many pieces of a mask say nothing of it. decode: U, so many answers give the sum
    of the masks. quorum: q, with 2q > N + c, so many confirm a U3 before anybody answers for it.
    """

    parties: int
    privacy: int
    decode: int
    quorum: int

    @property
    def pieces(self) -> int:
        """U - T: a mask is cut into so many, and each recipient gets one that is as long as one of them."""
        return self.decode - self.privacy

    @property
    def alive(self) -> int:
        """So many must be there in every round before the last."""
        return max(self.decode, self.quorum)

    @property
    def share_points(self) -> range:
        """alpha: the point of a party is 1 + its place in the roster, chosen by nobody."""
        return range(1, self.parties + 1)

    @property
    def mask_points(self) -> range:
        """beta: where the pieces of the mask lie, and after them the noise. Outside the share points, or a recipient
        would be sent a piece in clear."""
        return range(self.parties + 1, self.parties + self.decode + 1)

    def piece_length(self, spec: VectorSpec) -> int:
        """Elements of one piece; the last piece of a mask is filled up with more of the mask."""
        return -(-spec.masked_length // self.pieces)


def numbers(params: SessionParams, parties: int) -> Numbers:
    """For so many that advertised: T = max(1, c), U = max(T + 1, N - d). Raises Unworkable, with the remedy."""
    privacy = max(1, params.colluding)
    decode = max(privacy + 1, parties - params.losses)
    if decode > parties:
        raise Unworkable(
            f"{parties} parties cannot rebuild masks of which {privacy} pieces say nothing: plan for at most "
            f"{parties - 1} colluding, or invite {decode}"
        )
    if parties + decode >= params.spec.field.modulus:
        raise Unworkable(
            f"{parties} parties and {decode} pieces need {parties + decode} points, the field has "
            f"{params.spec.field.modulus - 1}: take one of at least {(parties + decode).bit_length() + 1} bits"
        )
    return Numbers(parties, privacy, decode, params.threshold_for(parties))
