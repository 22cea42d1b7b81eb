"""What a tab knows of one visitor, and how its event handlers take turns."""

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import gradio as gr
from cachetools import LRUCache

from demo import examples
from demo.engine import Engine
from demo.errors import InputError
from demo.query import Explain, ExplainResult, ImageFile, Region
from demo.server.uploads import identity
from demo.server.waiting import Making, answer, arrived
from demo.tabs.components import told
from demo.tabs.late import Late

MOST_ROWS = 4  # of panels


class Wanted(NamedTuple):
    """What is to be shown, which may not stand in the widgets yet.

    Attributes:
        text: a caption or question, or "" for the model's own or one that fits any photograph.
        targets: what is to be explained, or nothing for the most probable one.
        layer: where, "" for the first layer of the model, and none for the one that stands in its box.
    """

    text: str = ""
    targets: tuple[str, ...] = ()
    layer: str | None = None

    def at_layer(self, given: "Given", layer: Any) -> "Given":
        """The values of an event with this layer."""
        return given if self.layer is None else given | {layer: self.layer}


NOTHING_WANTED = Wanted()


@dataclass(frozen=True)
class Shown:
    """What the panels show: a row for each query, which has one target and is known; and why there is no further."""

    queries: tuple[Explain, ...] = ()
    note: str = ""


NOTHING = Shown()


@dataclass
class Visit:
    """What a tab keeps of one visitor, beside what stands in the widgets; a `gr.State` holds it.

    Handlers of different visitors run at the same time, those of one take turns.

    Attributes:
        seen: the identity of the upload and the model that the widgets are about; none while the page opens.
        newest: the number of the page's last event, by what it is: a look, a region, or the methods.
        text: the caption that the words belong to, or the question that the answers do.
        texts: what the last photographs were asked, or the captions that were typed for them, by their paths.
        offered: the suggested questions.
        shown: what the panels show.
        opened: what they showed of themselves, when nobody had chosen a target or typed a text.
        wanted: what the address of the page asks for, until it is shown; and its layer, or the first one of a model
            that is new, until another is chosen.
        marked: what was asked of the region that is marked.
        methods: what is shown beside the paper's panels.
        strip: what the strip of all layers is to be of; nothing if there is to be none.
        late: the columns that are filled late.
        turn: of the handlers that write what is above `marked`.
        drawing: of those that draw what is shown then.
    """

    seen: tuple[str, str] | None = None
    newest: dict[str, int] = field(default_factory=dict)
    text: str = ""
    texts: LRUCache[str, str] = field(default_factory=lambda: LRUCache(20))
    offered: list[str] = field(default_factory=list)
    shown: Shown = NOTHING
    opened: Shown = NOTHING
    wanted: Wanted = NOTHING_WANTED
    marked: Region | None = None
    methods: tuple[str, ...] = ()
    strip: Shown | None = None
    late: Late | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    drawing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def is_overtaken(self, what: str, event: gr.EventData) -> bool:
        """Whether a later event of this kind came first: requests may overtake each other."""
        number = told(event).get("number")
        if not isinstance(number, int):
            return False
        self.newest[what] = max(number, self.newest.get(what, number))
        return number < self.newest[what]

    def passes_over(self, look: gr.EventData, photo: Any, model: str) -> bool:
        """Whether a look of the page finds nothing new: an example that is chosen again is new."""
        return self.is_overtaken("look", look) or ((identity(photo), model) == self.seen and not is_again(look))

    def see(self, photo: Any, model: str) -> None:
        """Note what the widgets are about from now on."""
        if self.seen is not None and self.seen[1] not in ("", model) and self.wanted.layer is None:
            self.wanted = self.wanted._replace(layer="")
        self.seen = identity(photo), model


Given = dict[Any, Any]  # the values of an event's inputs, by component


def is_again(look: gr.EventData) -> bool:
    """Whether the page looks because somebody chose the example that is there already: all begins anew."""
    return told(look).get("again") is True


def in_turn(visit: gr.State, handler: Callable[..., Any]) -> Callable[..., AsyncIterator[Any]]:
    """The handler of an event, run when the visitor's handlers before it have ended and all that they show is sent.

    So the last click is answered last.

    Args:
        visit: holds the `Visit`; it is among the inputs of the event, which are given by component.
        handler: an asynchronous function or generator, of what an event gives to what it shows.
    """

    @functools.wraps(handler)
    async def taking_turns(given: Given, *event: Any) -> AsyncIterator[Any]:
        async with given[visit].turn:
            # Gradio goes on with a generator when it has sent what came before.
            if inspect.isasyncgenfunction(handler):
                drawn: Given = {}
                async for shown in handler(given, *event):
                    # Sent again with all that follows: Gradio's page may take the last alone of what comes at once.
                    drawn |= {widget: value for widget, value in shown.items() if _is_drawn(widget, value)}
                    yield shown | drawn
            else:
                yield await handler(given, *event)

    return taking_turns


def _is_drawn(widget: Any, value: Any) -> bool:
    """Whether an output has a value for a component that the script draws, in which nobody types meanwhile."""
    return isinstance(widget, gr.HTML) and value != gr.skip()


async def pass_over_unknown_layer(engine: Engine, task: str, visitor: Visit, model: str) -> None:
    """Say, once, that a model does not have the layer of the page's address, and use its first one."""
    if not visitor.wanted.layer:
        return
    with suppress(InputError):  # of a model that cannot be opened, which is said where the panels are
        known = await arrived(engine, engine.info(task, model))
        if visitor.wanted.layer not in ("", None, *known.layers):
            gr.Warning(f"{known.name} does not have the layer that the link refers to: this is {known.layers[0]}.")
            visitor.wanted = visitor.wanted._replace(layer="")


async def take_wanted(engine: Engine, task: str, visitor: Visit, model: str) -> Wanted:
    """What is to be shown, once; its layer stays for the boxes that are filled after it."""
    await pass_over_unknown_layer(engine, task, visitor, model)
    wanted, visitor.wanted = visitor.wanted, Wanted(layer=visitor.wanted.layer)
    return wanted


async def show(engine: Engine, made: Making[ExplainResult], before: Shown = NOTHING) -> Shown:
    """A query to show, completed; or what is shown before, and why the query cannot be answered."""
    try:
        return Shown(((await answer(engine, made)).query,))
    except InputError as error:
        return Shown(before.queries, str(error))


async def show_in_layer(engine: Engine, made: Making[ExplainResult], before: Shown) -> Shown:
    """A query to show, as of `show`, at the layer that its model is shown at: all rows of a model have one layer.

    The browser may still send the layer before, while what is shown at another one is on its way.
    """
    found = await show(engine, made, before)
    layers = {query.model: query.layers for query in before.queries}
    moved = [replace(query, layers=layers.get(query.model, query.layers)) for query in found.queries[:1]]
    return found if found.queries[:1] == tuple(moved) else await show(engine, lambda: moved[0], before)


async def show_beside(engine: Engine, shown: Shown, made: Making[ExplainResult]) -> Shown:
    """What is shown with one query more, unless it is among them; or why there is none."""
    if len(shown.queries) >= MOST_ROWS:
        return Shown(shown.queries, f"At most {MOST_ROWS} rows are compared: take one away first.")
    more = await show_in_layer(engine, made, shown)
    return Shown(tuple(dict.fromkeys(shown.queries + more.queries)), more.note)


async def show_all(engine: Engine, made: Sequence[Making[ExplainResult]]) -> Shown:
    """Queries to show beside each other, completed; or why one cannot be answered."""
    shown = await show(engine, made[0])
    for query in made[1:]:
        shown = await show_beside(engine, shown, query)
    return shown


async def opens_with(engine: Engine, photo: ImageFile, task: str, model: str) -> tuple[str, ...]:
    """The targets that an example opens with, if the model can be asked for them; none for its first one."""
    targets = examples.opens_with(photo, task)
    if not targets:
        return ()
    try:
        known = (await arrived(engine, engine.info(task, model))).targets
    except InputError:  # said where the panels are
        return ()
    return targets if not known or set(targets) <= set(known) else ()


async def show_again(engine: Engine, shown: Shown, layer: str) -> Shown:
    """What is shown, at another layer; or still why nothing is."""
    if not shown.queries:
        return shown
    asked = [replace(query, layers=(layer,)) for query in shown.queries]
    found = await asyncio.gather(*(show(engine, partial(lambda query: query, query)) for query in asked))
    return Shown(
        tuple(query for one in found for query in one.queries),
        " ".join(dict.fromkeys(one.note for one in found if one.note)),
    )
