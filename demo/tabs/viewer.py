"""The panels, their download, and the strip of all layers: the same in all tabs."""

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
from PIL import Image

from demo import examples
from demo.engine import Engine
from demo.errors import InputError
from demo.files import archive, file_name, row_files
from demo.query import FAST_METHODS, PANELS, Explain, ModelInfo, Region, RegionResult, Row
from demo.rendering import COLOURS, OPACITY, scales
from demo.server.uploads import NO_PHOTO, about, save
from demo.server.waiting import answer, arrived
from demo.tabs.components import choices, drawn_by, key_of, shown_photo, small_maps, told
from demo.tabs.frame import ASKING, QUIET, Shared
from demo.tabs.late import Late, renewed
from demo.tabs.links import link
from demo.tabs.visits import MOST_ROWS, Given, Shown, Visit
from demo.tasks import TASKS
from demo.tasks.sentence import is_dim, numbers, scale, sentence
from demo.viewer import data
from demo.viewer.page_files import on_event
from explainers import METHODS, Box, Patches

Event = Callable[..., gr.events.Dependency]
Handler = Callable[..., Awaitable[Given | None]]

SHARES = [("1/4 of the side", 1 / 4), ("1/8 of the side", 1 / 8), ("1/16 of the side", 1 / 16)]
FILL_NAMES = [("the mean colour", "mean"), ("black", "black"), ("white", "white")]
MORE = tuple(key for key in METHODS if key not in PANELS)
TARGETS = {"classification": "classes", "captioning": "words", "vqa": "answers"}
KINDS = {"classification": "class", "captioning": "word", "vqa": "answer"}
SUPPORTED = "Supported by the selected region, the most evidence first"
INVITATION = "Drop an image anywhere on this page, paste one, or click one of the examples."


@dataclass(frozen=True, eq=False)
class Viewer:
    """The panels of a tab, and what belongs to them.

    A tab's handlers write `Visit.shown` and nothing else of them. `follow` draws it in the answer to the event, and
    `refresh` after a handler that shows something else first.

    Attributes:
        rival: the second model that looks at the same, or "".
        panels: they fade while they are old.
        region: what the marked region speaks for.
        more: offers the methods beside the paper's panels.
        late: what the columns that are filled late are sent; nobody sees it.
        squares: the sides of the squares of an occlusion map, from one to the next, and their colour.
        layers: the strip of all layers.
        zipped: the download.
    """

    engine: Engine
    task: str
    shared: Shared
    visit: gr.State
    rival: gr.State
    panels: gr.HTML
    region: gr.HTML
    more: gr.HTML
    late: gr.HTML
    squares: tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown]
    all_layers: gr.Checkbox
    layers: gr.HTML
    zipped: gr.File

    def follow(
        self, event: Event, handler: Handler, inputs: Set[Any] = frozenset(), outputs: Sequence[Any] = (), **more: Any
    ) -> gr.events.Dependency:
        """At an event, run a handler in the visitor's turn, and draw what is shown then.

        Args:
            handler: returns the values of `outputs`, if any.
            more: of the event.
        """

        @functools.wraps(handler)
        async def follows(given: Given, *told: Any) -> Given:
            async with given[self.visit].turn:
                values = await handler(given, *told)
            return (values or {}) | await self._draw(given)

        return event(
            follows,
            {self.visit, *self.squares, self.rival, self.all_layers, *inputs},
            [self.panels, self.region, self.layers, *outputs],
            show_progress_on=self.panels,
            # Not the last event alone: for that Gradio sends what the first one was made with again.
            **{"trigger_mode": "multiple"} | ASKING | more,
        )

    def refresh(self, event: Event, **more: Any) -> gr.events.Dependency:
        """Draw what is shown after an event."""

        async def nothing(_given: Given) -> None:
            pass

        return self.follow(event, nothing, **more)

    async def drop(self, given: Given, key: str) -> None:
        """Take the row of a key away, unless it is the only one."""
        visitor: Visit = given[self.visit]
        left = tuple(query for query in visitor.shown.queries if TASKS[self.task].key(query) != key)
        visitor.shown = Shown(left or visitor.shown.queries)

    def connect(self) -> None:
        """Follow what happens in the panels and to their settings."""

        async def dropped(given: Given, event: gr.EventData) -> None:
            await self.drop(given, key_of(event))

        async def chose(given: Given, event: gr.EventData) -> None:
            if given[self.visit].is_overtaken("methods", event):
                return
            chosen = told(event).get("methods")
            given[self.visit].methods = tuple(key for key in MORE if isinstance(chosen, list) and key in chosen)

        self.follow(self.more.choose, chose)
        for setting in self.squares:
            self.refresh(setting.input, trigger_mode="always_last")
        self.refresh(self.rival.change)
        self.refresh(self.all_layers.input, trigger_mode="always_last")
        self.follow(self.panels.drop, dropped)
        self.panels.layers(self._all_layers, {self.visit}, self.layers, trigger_mode="always_last", **ASKING)
        self.panels.late(self._late, {self.visit}, self.late, trigger_mode="multiple", **ASKING | QUIET)
        asked = {self.visit, self.rival}
        self.panels.zip(self._zip, asked, self.zipped, **ASKING | QUIET).success(
            None, self.zipped, None, js=on_event("download")
        )
        asked = {self.visit, self.shared.photo}
        self.panels.region(self._mark, asked, self.region, trigger_mode="multiple", **ASKING)
        self.panels.part(lambda: "", None, self.rival, **QUIET)
        self.panels.open(None, None, self.shared.photo, js=on_event("openedWith"))

    async def _draw(self, given: Given) -> Given:
        visitor: Visit = given[self.visit]
        async with visitor.drawing:
            shown = visitor.shown
            queries, rows, note = await _rows(self.engine, shown, given[self.rival])
            methods = PANELS + visitor.methods
            late = [key for key in methods if key not in FAST_METHODS]
            visitor.late = renewed(visitor.late, Late(self.engine, queries, late, self._squares(given)))
            drawn = await asyncio.to_thread(_drawn, self.engine, queries, rows, note, methods)
            drawn["own"] = _on_own_scales(visitor, rows)
            drawn["late"] = {"number": visitor.late.number, "prices": visitor.late.prices(rows)}
            drawn["wanted"] = visitor.late.begun()
            drawn["attends"] = bool(queries) and (await self._info(queries[0])).attends
            visitor.strip = shown if given[self.all_layers] and shown.queries else None
            # The page asks for the strip of all layers when it has drawn this.
            drawn |= {"task": self.task, "all_layers": bool(visitor.strip), "time": round(1000 * time.monotonic())}
            changed: Given = {self.panels: drawn}
            if not visitor.strip:
                changed[self.layers] = None
            if visitor.marked is not None and not _same_sight(visitor.marked, shown):
                visitor.marked = None
                changed[self.region] = None
        return changed

    async def _info(self, query: Explain) -> ModelInfo:
        return await arrived(self.engine, self.engine.info(query.task, query.model))

    def _squares(self, given: Given) -> Patches:
        size, stride, fill = (given[setting] for setting in self.squares)
        try:
            return Patches(float(size), float(stride), str(fill))
        except (TypeError, ValueError, OverflowError):  # a stranger may send anything
            return Patches()

    async def _late(self, given: Given, event: gr.EventData) -> Any:
        """What is there of the columns that are filled late, as soon as there is something new."""
        asked = told(event)
        late: Late | None = given[self.visit].late
        # A number alone goes back: Gradio would hand out any file that a value names.
        number = asked.get("ask")
        if late is None or asked.get("time") != late.number or not isinstance(number, int):
            return gr.skip()
        known, wanted = (keys if isinstance(keys := asked.get(name), list) else [] for name in ("known", "wanted"))
        late.want(number, wanted)
        news = await late.news(known)
        return news | {"ask": number} if late.asked == number else gr.skip()

    async def _all_layers(self, given: Given) -> Any:
        """The first row's target at each layer, from shallow to deep."""
        visitor: Visit = given[self.visit]
        shown = visitor.strip
        if shown is None:
            return gr.skip()
        query = shown.queries[0]
        try:
            names = (await self._info(query)).layers
            asked = replace(query, layers=tuple(reversed(names)), methods=("gradcam",))
            result = await answer(self.engine, lambda: asked)
        except InputError:
            return None  # said where the panels are
        # Somebody's own layer may stand out of its place.
        rows = sorted(result.rows, key=lambda row: -len(row.pictures["gradcam"]))
        maps = [(row.details.layer, row.details.layer, row, row.details.peak) for row in rows]
        found = await asyncio.to_thread(small_maps, self.engine, query.image, maps)
        return found | {"current": query.layers[0]} if visitor.strip is shown else gr.skip()

    async def _mark(self, given: Given, event: gr.EventData) -> Any:
        visitor: Visit = given[self.visit]
        if visitor.is_overtaken("region", event):
            return gr.skip()
        box = _box(told(event).get("box"))
        if not visitor.shown.queries or box is None:
            visitor.marked = None
            return None
        first = visitor.shown.queries[0]
        query = Region(first.image, first.task, first.model, first.text, box=box, layer=first.layers[0])
        try:
            found = await answer(self.engine, lambda: query)
            most = max(found.evidence.values(), default=0)
            items = [_supported(query, target, found, most) for target in found.evidence]
            note = "" if items else f"No {KINDS[self.task]} has positive evidence here."
        except InputError as error:
            items, note = [], str(error)
        # Another photograph or region came meanwhile.
        if visitor.is_overtaken("region", event) or not _same_sight(query, visitor.shown):
            return gr.skip()
        visitor.marked = query
        return {"items": items, "note": note, "about": about(given[self.shared.photo], query.text)}

    async def _zip(self, given: Given, event: gr.EventData) -> str | None:
        visitor: Visit = given[self.visit]
        shown, settings = visitor.shown, told(event)
        _, rows, _ = await _rows(self.engine, shown, given[self.rival])
        if not rows:
            return None
        photo = self.engine.open(shown.queries[0].image)
        late: Late | None = visitor.late
        rows = late.filled(rows) if late is not None else rows
        methods = tuple(key for key in PANELS + visitor.methods if all(key in row.pictures for row in rows))
        return await asyncio.to_thread(_zipped, photo, rows, methods, settings)


def viewer(engine: Engine, task: str, shared: Shared, visit: gr.State, rival: gr.State) -> Viewer:
    """Build the panels of a tab and connect them; `rival` is the second model that looks at the same, or ""."""
    more = drawn_by("compare", ("choose",), {"task": task, "groups": _groups()})
    events = ("look", "open", "layers", "late", "zip", "drop", "part", "region")
    settings = {"kinds": TARGETS[task], "opens": examples.opening(task)}
    panels = drawn_by("panels", events, settings, classes=("viewer",))
    late = drawn_by("late", (), {"task": task})
    region = choices(SUPPORTED, "bars", task, add=True, reveal=True, headed=True, classes=("region",))
    with gr.Accordion("All layers, settings of occlusion", open=False):
        squares = _squares_to_choose()
        all_layers = gr.Checkbox(False, label="Show Grad-CAM at all layers of the network", container=False)
        layers = choices("From shallow to deep, each with its own scale: click one", "pictures")
    zipped = gr.File(visible="hidden")
    built = Viewer(engine, task, shared, visit, rival, panels, region, more, late, squares, all_layers, layers, zipped)
    built.connect()
    return built


def _groups() -> dict[str, list[dict[str, str]]]:
    """The methods that can be shown beside the panels, in groups."""
    groups: dict[str, list[dict[str, str]]] = {"In the paper": [], "Newer": [], "Slow": []}
    for key in MORE:
        method = METHODS[key]
        group = "Slow" if method.cost else "Newer" if method.newer else "In the paper"
        groups[group].append({"key": key, "title": method.title, "sentence": f"{method.sentence.rstrip('.')}."})
    return groups


def _squares_to_choose() -> tuple[gr.Dropdown, gr.Dropdown, gr.Dropdown]:
    """The settings of the occlusion map."""
    default = Patches()
    with gr.Row():
        size = gr.Dropdown(SHARES[:3], value=default.size, label="Occlusion: side of the squares", min_width=140)
        stride = gr.Dropdown(SHARES[1:], value=default.stride, label="from one to the next", min_width=140)
        fill = gr.Dropdown(FILL_NAMES, value=default.fill, label="filled with", min_width=140)
    return size, stride, fill


def _box(given: Any) -> Box | None:
    match given:
        case [int() | float(), int() | float(), int() | float(), int() | float()]:
            left, top, right, bottom = map(float, given)
            return left, top, right, bottom
    return None


def _same_sight(marked: Region, shown: Shown) -> bool:
    """Whether what is shown is of the image, model, layer and text that a region was marked for."""
    sights = [(query.image, query.model, query.text, query.layers[0]) for query in shown.queries]
    return (marked.image, marked.model, marked.text, marked.layer) in sights


def _supported(query: Region, target: str, found: RegionResult, most: float) -> dict[str, Any]:
    """A target of a region, to choose: how much evidence lies there, and which share of all evidence for it."""
    task = TASKS[query.task]
    explain = Explain(query.image, query.task, query.model, query.text, targets=(target,))
    return {
        "key": task.key(explain),
        "label": task.name(explain, target),
        "detail": f"{found.shares[target]:.0%} of its evidence",
        "share": found.evidence[target] / most,
    }


async def _rows(engine: Engine, shown: Shown, rival: str) -> tuple[list[Explain], list[Row], str]:
    """What is shown, computed anew if it is not kept any more, below it the same by a second model; and the note."""

    async def row_of(query: Explain) -> Row:
        return (await answer(engine, lambda: query)).rows[0]

    queries, note = list(shown.queries), shown.note
    others = [replace(query, model=rival, layers=("",)) for query in queries if rival not in ("", query.model)]
    if rival and queries and not others:
        note = note or f"The second model is {rival}, as the first is: choose another."
    if len(queries) + len(others) > MOST_ROWS:
        note = f"Two models are compared for at most {MOST_ROWS // 2} at a time: take some away."
        queries, others = queries[: MOST_ROWS // 2], others[: MOST_ROWS // 2]
    try:
        rows = list(await asyncio.gather(*map(row_of, queries)))
    except InputError as error:  # the model's files have gone
        return [], [], str(error)
    for query, found in zip(others, await asyncio.gather(*map(row_of, others), return_exceptions=True), strict=True):
        if isinstance(found, Row):
            queries.append(query)
            rows.append(found)
        elif isinstance(found, InputError):  # it does not know that class
            note = note or str(found)
        else:
            raise found
    return queries, rows, note


def _drawn(
    engine: Engine, queries: list[Explain], rows: list[Row], note: str, methods: tuple[str, ...]
) -> dict[str, Any]:
    """What the browser draws of rows that answer these queries, those of the first model first."""
    invites = note == NO_PHOTO and not rows
    value: dict[str, Any] = {"note": INVITATION if invites else note, "rows": [], "methods": data.methods(methods)}
    if not rows:
        return value | {"invites": invites}
    first = queries[0]
    own = [query for query in queries if query.model == first.model]
    all_pictures = data.pictures(rows, [key for key in methods if key in FAST_METHODS])
    named = zip(queries, rows, _titles(rows), all_pictures, strict=True)
    for query, row, title, pictures in named:
        away = "part" if query not in own else "drop" if len(own) > 1 else None
        said: dict[str, Any] = {
            "title": title,
            "sentence": sentence(row, rows),
            "numbers": numbers(row),
            "scale": scale(row, rows),
            "away": away,
            "box": row.details.box,
            # What a region on it belongs to.
            "sight": "\n".join((query.image.sha256, query.model, *query.layers, query.text)),
        }
        value["rows"].append(said | {"key": TASKS[query.task].key(query), "pictures": pictures})
    return value | {"photo": shown_photo(engine, first.image), "link": link(engine, own)}


def _on_own_scales(visitor: Visit, rows: Sequence[Row]) -> bool:
    """Whether rows that nobody put beside each other open on scales of their own: those of which one would be too dim.

    Users may change it.
    """
    one_model = len({row.details.model for row in rows}) == 1
    return visitor.shown is visitor.opened and one_model and is_dim(rows)


def _titles(rows: Sequence[Row]) -> list[str]:
    rivals = len({row.details.model for row in rows}) > 1
    return [row.details.target + (f" by {row.details.model}" if rivals else "") for row in rows]


def _zipped(photo: Image.Image, rows: list[Row], methods: tuple[str, ...], settings: dict[str, Any]) -> str:
    """The panels as files, in the colours and on the scales that the browser drew them in."""
    colours = next((known for known in COLOURS if known == settings.get("colours")), COLOURS[0])
    opacity = settings.get("opacity")
    opacity = min(max(opacity, 0), 1) if isinstance(opacity, int | float) else OPACITY
    titles = [file_name(title)[:50] for title in _titles(rows)]
    files: dict[str, bytes] = {}
    for number, (row, title) in enumerate(zip(rows, titles, strict=True), start=1):
        stem = title if titles.count(title) == 1 else f"{title}_{number}"
        model = row.details.model
        alike = [row] if settings.get("own") else [other for other in rows if other.details.model == model]
        found = row_files(photo, row, scales(alike, methods), colours, opacity, bool(settings.get("uniform", True)))
        files |= {f"{stem}_{method}.png": picture for method, picture in found.items()}
    return save(archive(rows, files), file_name(f"{'_and_'.join(titles)}.zip"))
