"""Can it be trusted? Two experiments about an explanation: with random layers, and with noise that nobody sees."""

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from demo.engine import Engine
from demo.errors import InputError
from demo.images import png
from demo.likeness import ALIKE, Likeness, likenesses, rank_correlation, verdict
from demo.models.network import squash
from demo.query import PANELS, Adversarial, Explain, ExplainResult, ImageFile, ModelInfo, Randomised, Row
from demo.server.uploads import save
from demo.server.waiting import answer
from demo.tabs.components import bars, drawn_by, file_of, told
from demo.tabs.frame import ASKING, QUIET
from demo.tabs.visits import Given
from demo.tasks.sentence import percent
from demo.viewer import data
from explainers import METHODS

AMISS = ("vizsla", "pizza")  # what the noise makes the model predict, if nobody chooses: the first that it can
OPPOSITES = {"yes": "no", "no": "yes"}
MOST_CHARACTERS = 200  # of it; no name is longer
MAGNIFIED = 15  # times, the noise where it is shown: 8 levels are then nearly black or white
COPY = 3  # times as long as an explanation: that and the making of a network with random layers (measured)


@dataclass
class Experiments:
    """What is known of the experiments about one explanation.

    Attributes:
        number: tells them from those about another one.
        query: whose explanation it is.
        blocks: what can be made random, from the top down.
        found: of so many random blocks the likenesses to the trained network's pictures.
    """

    number: int = 0
    query: Explain | None = None
    blocks: tuple[str, ...] = ()
    found: dict[int, dict[str, Likeness]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trust:
    """The widgets of the experiments, and what happens at their events."""

    engine: Engine
    randomising: gr.HTML
    noising: gr.HTML

    @property
    def widgets(self) -> list[gr.HTML]:
        return [self.randomising, self.noising]

    def begin(self, experiments: Experiments, result: ExplainResult, known: ModelInfo, photo: dict[str, Any]) -> Given:
        """Offer the experiments about an explanation; `photo` is what the browser draws its pictures over."""
        experiments.number += 1
        experiments.query, experiments.blocks, experiments.found = result.query, known.blocks, {}
        (row,) = result.rows
        common = {"number": experiments.number, "target": row.details.target}
        explanations = len(known.blocks) + 1
        seconds = explanations * row.details.seconds * COPY
        return {
            self.randomising: common
            | {
                "photo": photo,
                "blocks": [_short(name) for name in known.blocks],
                "price": f"{explanations} explanations, about {max(seconds, 1):.0f} s",
                "titles": {key: METHODS[key].title for key in PANELS},
                "note": "" if known.blocks else f"The layers of {known.name} are never made random.",
            },
            self.noising: common | _to_be_said(row, known.targets),
        }

    def nothing(self) -> Given:
        return {self.randomising: None, self.noising: None}

    def connect(self, state: gr.State) -> None:
        """Follow the events of the widgets; the value of the state has the `experiments`."""

        async def randomise(given: Given, event: gr.EventData) -> Any:
            return await self._randomised(given[state].experiments, told(event))

        async def add_noise(given: Given, event: gr.EventData) -> Any:
            return await self._noised(given[state].experiments, told(event))

        more: dict[str, Any] = ASKING | QUIET | {"trigger_mode": "multiple"}
        self.randomising.randomise(randomise, {state}, self.randomising, **more)
        self.noising.noise(add_noise, {state}, self.noising, **more)

    async def _randomised(self, experiments: Experiments, asked: dict[str, Any]) -> Any:
        """The pictures with so many blocks random, and how alike they are to the trained network's."""
        number, count, query = experiments.number, asked.get("count"), experiments.query
        if query is None or asked.get("number") != number or not isinstance(count, int):
            return gr.skip()
        if count not in range(len(experiments.blocks) + 1):
            return gr.skip()
        random = replace(query, methods=PANELS, steps=False, weights=Randomised(count))
        about = {"number": number, "count": count}
        try:
            trained = (await answer(self.engine, lambda: query)).rows[0]
            # Not kept: nobody else asks for it, and it would push out what others do.
            row = (await answer(self.engine, lambda: random, cache=False)).rows[0] if count else trained
        except InputError as error:
            return about | {"note": str(error)}
        found, pictures = await asyncio.to_thread(_compared, row, trained)
        if experiments.number != number:  # something else is taught with by now
            return gr.skip()
        experiments.found[count] = found
        steps = [experiments.found.get(place) for place in range(len(experiments.blocks) + 1)]
        known = [step for step in steps if step is not None]
        return about | {
            "probability": percent(row.details.probability),
            "pictures": pictures,
            "likenesses": {key: list(likeness) for key, likeness in found.items()},
            "verdict": verdict(known) if len(known) == len(steps) else "",
        }

    async def _noised(self, experiments: Experiments, asked: dict[str, Any]) -> Any:
        """The photograph with noise beside the one without: what is said of them, and the maps of the target."""
        number, query = experiments.number, experiments.query
        wanted = str(asked.get("wanted", "")).strip()[:MOST_CHARACTERS]
        if query is None or asked.get("number") != number:
            return gr.skip()
        about = {"number": number, "said": True}
        if not wanted:
            return about | {"note": "Say first what the network should be made to say."}
        noise = Adversarial(query.image, query.task, query.model, query.text, target=wanted)
        seen = replace(query, methods=("gradcam",), steps=False)
        try:
            made = await answer(self.engine, lambda: noise)
            photo = made.image
            results = await asyncio.gather(
                answer(self.engine, lambda: seen),
                answer(self.engine, lambda: replace(seen, image=photo), cache=False),
            )
        except InputError as error:
            return about | {"note": str(error)}
        shown = await asyncio.to_thread(_beside, self.engine, query.image, photo, list(results), made.query.target)
        return about | shown if experiments.number == number else gr.skip()


def layout(engine: Engine) -> Trust:
    """Build the widgets."""
    gr.HTML(INTRODUCTION, elem_classes="drawn")
    randomising = drawn_by("randomising", ("randomise",), elem_id="randomising", classes=("viewer",))
    noising = drawn_by("noising", ("noise",), elem_id="noising", classes=("viewer",))
    return Trust(engine, randomising, noising)


INTRODUCTION = """<h2 id="trust" tabindex="-1">Can it be trusted?</h2>
<p>Two experiments, with the photograph and what is explained above.</p>"""


def _short(block: str) -> str:
    """The name of a block for people, as its layer is called."""
    return block.removeprefix("_network.").lstrip("_")


def _to_be_said(row: Row, names: tuple[str, ...]) -> dict[str, Any]:
    """What the network can be made to say instead; or why it cannot."""
    if row.details.score_is != "logit":
        return {"note": "Noise is made for a class or an answer: choose one above, not the caption."}
    target = row.details.target
    proposals = (OPPOSITES.get(target), *AMISS, *names[::-1])
    amiss = next((name for name in proposals if name in names and name != target), "")
    return {"names": "\n".join(sorted(names, key=str.casefold)), "amiss": amiss, "note": ""}


def _compared(row: Row, trained: Row) -> tuple[dict[str, Likeness], dict[str, Any]]:
    panels = [replace(one, pictures={key: one.pictures[key] for key in PANELS}) for one in (row, trained)]
    return likenesses(*panels), data.pictures(panels[:1], PANELS)[0]


def _beside(
    engine: Engine, photo: ImageFile, noised: ImageFile, results: list[ExplainResult], wanted: str
) -> dict[str, Any]:
    """The two photographs as the network takes them, what it says of each, and the noise between them."""
    image, after = engine.open(photo), engine.open(noised)
    before = squash(image, after.width)
    noise = np.asarray(after).astype(int) - np.asarray(before)
    files = [png(before), noised.data, png(Image.fromarray((128 + MAGNIFIED * noise).clip(0, 255).astype(np.uint8)))]
    urls = [file_of(save(file, "photograph.png")) for file in files]
    rows = [result.rows[0] for result in results]
    maps = [row.pictures["gradcam"] for row in rows]
    return {
        "photos": urls[:2],
        "shape": image.width / image.height,
        "noise": urls[2],
        "heats": [data.heat(cells) for cells in maps],
        "bars": [bars(result.predictions)["items"] for result in results],
        "magnified": MAGNIFIED,
        "sentence": _said_of_noise(results, int(np.abs(noise).max()), rank_correlation(*maps), wanted),
        "note": "",
    }


def _said_of_noise(results: list[ExplainResult], levels: int, ranks: float | None, wanted: str) -> str:
    """What the noise changed, and what it did not."""
    rows = [result.rows[0] for result in results]
    now, sure = next(iter(results[1].predictions.items()))
    target = rows[0].details.target
    before, after = (percent(row.details.probability) for row in rows)
    text = f"No value of the photograph changed by more than {levels} of 255 levels. "
    text += f"The network now says {now} ({sure:.1%})"
    text += ". " if now == wanted else f", and not {wanted}: so little noise was not enough. "
    text += f"The probability of {target} was {before} and is {after}. "
    if ranks is None:
        return text + f"One of the maps for {target} is empty, so they cannot be compared."
    alike = "still order the places much alike" if ranks >= ALIKE else "do not order the places alike any more"
    return (
        text
        + f"The two Grad-CAM maps for {target} {alike}: their rank correlation is {ranks:.2f} (1: the same order)."
    )
