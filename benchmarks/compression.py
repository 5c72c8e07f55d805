"""What each codec of mpc.encoding costs in bytes and in accuracy, on scikit-learn's digits.

    python -m benchmarks.compression --out docs/

trains with every codec over three seeds, writes benchmarks/results/compression.json, the table in compression.md under
`--out` and the plot in figures/ beside it.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any, Final

from benchmarks.federated_digits import CLIENTS, Run, train
from fl_integration.layout import Layout
from mpc.encoding import Codec, build_codec
from protocols.messages import CODEC, MaskedInput
from protocols.session import VectorSpec

RESULTS: Final = Path(__file__).parent / "results" / "compression.json"
SEEDS: Final = (0, 1, 2)
ROUNDS: Final = 30
BASELINE: Final = "16 bits"

# Chosen with seed 99: no update there is longer than 1.7, no value of one larger than 0.5, and the cosine of two
# parties' updates is 0.16 on average.
_CLIP = 0.5
_NORM = 2.5
_WRAP: Final[Mapping[str, Any]] = {"wrap": 1e-3, "correlation": 0.15}
_TURNED: Final[Mapping[str, Any]] = {"rotate": True, "norm": _NORM}


@dataclass(frozen=True, slots=True)
class Row:
    """One codec. choice: as `build_codec` takes it. clip: of values that are not rotated."""

    name: str
    choice: Mapping[str, Any] = field(default_factory=dict)
    clip: float = _CLIP
    feedback: bool = False

    def codec(self, layout: Layout, seed: bytes) -> Codec:
        spans = layout.spans(self.clip, self.choice.get("bits", 16))
        return build_codec(spans=spans, clients=CLIENTS, seed=seed, damped=self.feedback, **self.choice)

    def run(self, seed: int, rounds: int) -> Run:
        return train(self.codec, seed=seed, rounds=rounds, feedback=self.feedback)


ROWS: Final = (
    Row(BASELINE),
    Row("8 bits", {"bits": 8}),
    Row("4 bits", {"bits": 4}),
    Row("2 bits", {"bits": 2}),
    Row("rotation, 4 bits", {"bits": 4, **_TURNED}),
    Row("rotation, 4 bits, wrapping", {"bits": 4, **_TURNED, **_WRAP}),
    Row("rotation, 2 bits", {"bits": 2, **_TURNED}),
    Row("rand-k 25 %, 8 bits", {"bits": 8, "keep": 0.25}),
    Row("rotation, rand-k 25 %, 4 bits", {"bits": 4, "keep": 0.25, **_TURNED}),
    Row("rotation, rand-k 10 %, 4 bits, wrapping", {"bits": 4, "keep": 0.1, **_TURNED, **_WRAP}),
    Row("rotation, rand-k 10 %, 4 bits, feedback", {"bits": 4, "keep": 0.1, "rotate": True, "norm": 8.0}, _CLIP, True),
    Row("count-sketch 25 %, 8 bits", {"bits": 8, "sketch": 0.25, "norm": _NORM}),
    Row("rotation, count-sketch 25 %, 4 bits", {"bits": 4, "sketch": 0.25, **_TURNED}),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Measured:
    """bytes: of the message MaskedInput. accuracy: by seed, then by round. error: of the first round's mean."""

    name: str
    bytes: int
    elements: int
    element_bits: int
    wrap_probability: float
    accuracy: list[list[float]]
    error: float

    @classmethod
    def of(cls, name: str, runs: list[Run]) -> "Measured":
        codec = runs[0].codec
        return cls(
            name=name,
            bytes=upload_bytes(codec),
            elements=codec.vector_length,
            element_bits=codec.field.bits,
            wrap_probability=getattr(codec, "wrap_probability", 0.0),
            accuracy=[[round(one, 4) for one in run.accuracy] for run in runs],
            error=round(mean(run.error[0] for run in runs), 4),
        )

    @property
    def last(self) -> float:
        """Points of 100, the mean over the seeds after the last round."""
        return 100 * mean(run[-1] for run in self.accuracy)


def upload_bytes(codec: Codec) -> int:
    """The whole of a party's masked input on the wire."""
    spec = VectorSpec(codec.vector_length, codec.field)
    return len(CODEC.encode(MaskedInput(bytes(spec.masked_size))))


def measure() -> list[Measured]:
    measured = []
    for row in ROWS:
        measured.append(Measured.of(row.name, [row.run(seed, ROUNDS) for seed in SEEDS]))
        print(f"{row.name}: {measured[-1].bytes} bytes, {measured[-1].last:.1f} %", flush=True)  # noqa: T201
    return measured


def load() -> list[Measured]:
    """What is in the repository."""
    return [Measured(**one) for one in json.loads(RESULTS.read_text())["rows"]]


def save(measured: list[Measured]) -> None:
    setting = {"seeds": SEEDS, "rounds": ROUNDS, "parties": CLIENTS, "data": "scikit-learn's digits"}
    rows = ",\n".join(json.dumps(asdict(one)) for one in measured)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(f'{{"setting": {json.dumps(setting)},\n"rows": [\n{rows}\n]}}\n')


# --- what is shown


def table(measured: list[Measured]) -> str:
    """Markdown, one row a codec."""
    base = next(one for one in measured if one.name == BASELINE)
    head = [
        "| codec | bytes an upload | elements x bits | fewer bytes | accuracy | difference | error of a mean | wraps |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    return "\n".join([*head, *(_line(one, base) for one in measured)])


def _line(one: Measured, base: Measured) -> str:
    wraps = f"{one.wrap_probability:.0e}" if one.wrap_probability else "never"
    size = f"{one.bytes:,} | {one.elements:,} x {one.element_bits} | {base.bytes / one.bytes:.3g}x"
    found = f"{one.last:.1f} % | {one.last - base.last:+.1f} | {one.error:.2g} | {wraps}"
    return f"| {one.name} | {size} | {found} |"


def write_table(page: Path, measured: list[Measured]) -> None:
    """Put the table in its place in the page."""
    before, _, rest = page.read_text().partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end -->\n")
    page.write_text(f"{before}<!-- table -->\n{table(measured)}\n<!-- end -->\n{after}")


def plot(path: Path, measured: list[Measured]) -> None:
    """Bytes against accuracy. A letter and a shape tell the codecs apart, not a colour."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.6), layout="constrained")
    base = next(one for one in measured if one.name == BASELINE)
    for place, one in enumerate(measured):
        letter, (shape, shade, size) = chr(ord("A") + place), _look(one.name)
        away = (-14, -12) if shape == "^" or (shape == "o" and place % 2 == 0) else (7, 6)
        spread = [100 * run[-1] for run in one.accuracy]
        axes.plot([one.bytes] * len(spread), spread, color="0.6", linewidth=0.8, zorder=1)
        label = f"{letter}  {one.name}"
        axes.plot(one.bytes, one.last, shape, color=shade, markeredgecolor="black", markersize=size, label=label)
        axes.annotate(
            letter,
            (one.bytes, one.last),
            xytext=away,
            textcoords="offset points",
            fontsize=9,
        )
    axes.axhspan(base.last - 1, base.last, color="0.92", zorder=0)
    axes.axvline(base.bytes / 4, color="black", linestyle=":", linewidth=1)
    axes.set_xscale("log", base=2)
    ticks = [500, 1000, 2000, 4000, 8000, 16000, 32000]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.set_xlim(600, 40_000)
    axes.set_xlabel("bytes of one upload (left of the dotted line: at least 4x fewer than 16 bits)")
    axes.set_ylabel(f"accuracy after {ROUNDS} rounds, %\n(grey band: within 1 point of 16 bits)")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})


def _look(name: str) -> tuple[str, str, int]:
    """(shape, shade, size): shades differ in brightness; sizes, so that equal results show one in another."""
    if "feedback" in name:
        return "D", "#000000", 8
    if "sketch" in name:
        return "^", "#f0e442", 6
    if "rand-k" in name:
        return "s", "#56b4e9", 11
    return ("o", "#0072b2", 8) if "rotation" in name else ("o", "#ffffff", 8)


def main() -> None:
    parser = argparse.ArgumentParser(description="Bytes and accuracy of each codec.")
    parser.add_argument("--out", type=Path, required=True, help="the folder of compression.md")
    parser.add_argument("--shown-only", action="store_true", help="train nothing: show the results that are there")
    given = parser.parse_args()
    if not given.shown_only:
        save(measure())
    write_table(given.out / "compression.md", load())
    plot(given.out / "figures" / "compression.png", load())


if __name__ == "__main__":
    main()
