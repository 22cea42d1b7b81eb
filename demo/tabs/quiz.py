"""The Quiz tab: the paper's two studies with people, for one visitor or for a class in a room."""

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import gradio as gr
from cachetools import LRUCache
from gradio.context import LocalContext

from demo import studies
from demo.engine import Engine
from demo.errors import InputError
from demo.query import Row
from demo.rooms import ENOUGH, VALUES, Rooms, Study, Tally, Vote, tally
from demo.server.uploads import save
from demo.server.waiting import answer
from demo.studies import Picture, Question
from demo.tabs.components import drawn_by, shown_photo, told
from demo.tabs.frame import ASKING, QUIET
from demo.tabs.visits import Given
from demo.viewer import data
from demo.viewer.page_files import on_event
from explainers import METHODS

TASK: Final = "quiz"
MOST_PICTURES = 128  # that are kept, of about 200 KB; there are fewer
MOST_OWN = 1000  # votes of one visitor that are counted for him or her alone

FORGOTTEN = "Your last answer was not counted: the server has lost its question. Here is another one."

HEADINGS: dict[Study, dict[str, str]] = {
    "object": {"title": "1. Which object?", "question": "Which object does this panel explain?"},
    "trust": {"title": "2. Which network?", "question": "Which network is more reliable?"},
}


class Pictures:
    """What browsers are sent to draw of the quiz's pictures: each is made once, for all who are shown it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._made: LRUCache[Picture, asyncio.Task[dict[str, Any]]] = LRUCache(MOST_PICTURES)
        self._begun: set[asyncio.Task[Any]] = set()

    def begin(self, pictures: Sequence[Picture]) -> None:
        """Find pictures, without waiting for them."""
        task = asyncio.create_task(self.get(pictures))
        self._begun.add(task)  # or it may be collected before it ends
        task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[Any]) -> None:
        self._begun.discard(task)
        if not task.cancelled():
            task.exception()  # told to those who ask for the pictures; or asyncio complains

    async def get(self, pictures: Sequence[Picture]) -> list[dict[str, Any]]:
        """Pictures, as `demo.viewer.data.pictures` makes them.

        Raises:
            InputError: the network does not answer; the message says why.
        """
        return await asyncio.gather(*map(self._get, pictures))

    async def _get(self, picture: Picture) -> dict[str, Any]:
        if not self._is_made(picture):
            # Every user asks the engine, which computes it once, and gives it up when nobody waits any more.
            row = (await answer(self._engine, lambda: picture.query)).rows[0]
            if not self._is_made(picture):
                self._made[picture] = asyncio.create_task(asyncio.to_thread(_encoded, row, picture.method))
        return await asyncio.shield(self._made[picture])

    def _is_made(self, picture: Picture) -> bool:
        task = self._made.get(picture)
        return task is not None and not (task.done() and (task.cancelled() or task.exception()))


def _encoded(row: Row, method: str) -> dict[str, Any]:
    return data.pictures([row], [method])[0][method]


@dataclass
class Asked:
    """A question that a visitor sees, with a number like no other's; its answer, by its place, or none yet."""

    question: Question
    number: int
    answer: int | None = None


@dataclass
class Sitting:
    """What the quiz keeps of one visitor; a `gr.State` holds it.

    Attributes:
        asked: the question of each study that is shown.
        coming: those that come after them.
        votes: the visitor's own.
        room: the code of the room that the votes are counted in too, or ""; none until the page has said.
        opened: the codes of the rooms that the visitor opened.
        turn: of the handlers that write this.
        user: a random name, for the rooms.
    """

    asked: dict[Study, Asked] = field(default_factory=dict)
    coming: dict[Study, Question] = field(default_factory=dict)
    votes: list[Vote] = field(default_factory=list)
    room: str | None = None
    opened: set[str] = field(default_factory=set)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @cached_property
    def user(self) -> str:
        return secrets.token_hex(8)  # when it is first asked for, as Gradio copies one sitting for all pages


@dataclass(frozen=True, eq=False)
class QuizTab:
    """The tab: its widgets, and what happens at their events.

    Attributes:
        model: the shipped classifier, whatever else there is.
        chance: what questions are drawn with.
        question: draws the question and its answer.
        votes: draws the tally, and what there is of a room.
        table: the download.
    """

    engine: Engine
    model: str
    rooms: Rooms
    pictures: Pictures
    chance: random.Random
    visit: gr.State
    question: gr.HTML
    votes: gr.HTML
    table: gr.File

    async def ask(self, given: Given, event: gr.EventData) -> Given:
        """A question of a study: the one that is shown, or once that is answered the next."""
        sitting: Sitting = given[self.visit]
        study = _study(event)
        async with sitting.turn:
            note = self._go_back(sitting, event)
            asked = self._open(sitting, study)
            if asked.answer is not None and told(event).get("after") == asked.number:
                del sitting.asked[study]
                asked = self._open(sitting, study)
            return await self._both(sitting, asked, note)

    def _open(self, sitting: Sitting, study: Study) -> Asked:
        """The question of a study that a visitor sees; a new one, if there is none."""
        if study not in sitting.asked:
            question = sitting.coming.pop(study, None) or studies.draw(study, self.chance)
            sitting.asked[study] = Asked(question, _now())
        return sitting.asked[study]

    def _go_back(self, sitting: Sitting, event: gr.EventData) -> str:
        """Put a page that was forgotten back into the room that it is in; returns why it is in none any more."""
        if sitting.room is not None:  # it knows better than an event that comes late
            return ""
        code, sitting.room = str(told(event).get("room") or ""), ""
        try:
            sitting.room = self.rooms.find(code) if code else ""
        except InputError:
            return _gone(code)
        return ""

    async def take(self, given: Given, event: gr.EventData) -> Given:
        """The answer to the question that is shown; any other, and a second one, is no vote."""
        sitting: Sitting = given[self.visit]
        study, place = _study(event), told(event).get("answer")
        async with sitting.turn:
            note = self._go_back(sitting, event)
            if study not in sitting.asked:
                note = f"{FORGOTTEN} {note}".rstrip()
            asked = self._open(sitting, study)
            places = list(range(len(asked.question.answers)))
            if asked.answer is None and told(event).get("number") == asked.number and place in places:
                asked.answer = places.index(place)
                note = self._vote(sitting, asked.question.vote(asked.answer)) or note
                sitting.coming[study] = coming = studies.draw(study, self.chance, asked.question)
                self.pictures.begin(coming.shown(self.model))
            return await self._both(sitting, asked, note)

    async def _both(self, sitting: Sitting, asked: Asked, note: str) -> Given:
        """A question with what there is to say, as whoever answers looks there; and the votes."""
        question, votes = await self._drawn(asked), self._counted(sitting, note)
        notes = filter(None, (votes["note"], question.get("note")))
        return {self.question: question | {"note": " ".join(notes)}, self.votes: votes | {"note": None}}

    def _vote(self, sitting: Sitting, vote: Vote) -> str:
        """Count a vote; returns why it is not counted in the room."""
        if len(sitting.votes) < MOST_OWN:
            sitting.votes.append(vote)
        if not sitting.room:
            return ""
        try:
            self.rooms.vote(sitting.room, vote, sitting.user)
        except InputError as error:
            return str(error)
        return ""

    async def _drawn(self, asked: Asked) -> dict[str, Any]:
        """What a browser is sent of a question: nothing of the answer before that is given."""
        question, place = asked.question, asked.answer
        shown, revealed = question.shown(self.model), question.revealed(self.model)
        value: dict[str, Any] = {
            "study": question.study,
            "number": asked.number,
            "answers": list(question.answers),
            "answer": place,
        }
        try:
            pictures = await self.pictures.get(shown if place is None else [*shown, *revealed])
            size = (await asyncio.to_thread(self.engine.open, question.photo())).size
        except InputError as error:
            return value | {"note": str(error), "time": _now()}
        self.pictures.begin(revealed)  # it is wanted next
        value |= {
            "pictures": {str(place): picture for place, picture in enumerate(pictures)},
            "size": size,
            "time": _now(),
        }
        value["about"] = question.about()
        if place is None:
            return value
        photo = await asyncio.to_thread(shown_photo, self.engine, question.photo())
        return value | {"truth": question.truth, "verdict": question.verdict(place), "photo": photo} | _named(question)

    async def open_room(self, given: Given) -> Given:
        sitting: Sitting = given[self.visit]
        async with sitting.turn:
            try:
                sitting.room, note = self.rooms.open(sitting.user, _address()), ""
                sitting.opened.add(sitting.room)
            except InputError as error:
                note = str(error)
            return {self.votes: self._counted(sitting, note)}

    async def join(self, given: Given, event: gr.EventData) -> Given:
        """Go into the room of a code, typed or in the address of the page; without one, out of the room."""
        sitting: Sitting = given[self.visit]
        code, note = str(told(event).get("code", "")), ""
        async with sitting.turn:
            try:
                sitting.room = self.rooms.find(code) if code.strip() else ""
            except InputError as error:
                note = (
                    f"{_gone(code)} Or the code in the address is mistyped: check it."
                    if told(event).get("linked")
                    else str(error)
                )
            return {self.votes: self._counted(sitting, note)}

    async def look(self, given: Given, event: gr.EventData) -> Given:
        """The votes of the room as they are now, for the projector."""
        sitting: Sitting = given[self.visit]
        async with sitting.turn:
            return {self.votes: self._counted(sitting, self._go_back(sitting, event))}

    async def save_votes(self, given: Given, event: gr.EventData) -> Given:
        sitting: Sitting = given[self.visit]
        async with sitting.turn:
            note, file = self._go_back(sitting, event), None
            room = sitting.room or ""
            with suppress(InputError):  # said where the votes are
                file = await asyncio.to_thread(lambda: save(self.rooms.csv(room).encode(), f"votes_{room}.csv"))
            return {self.table: file, self.votes: self._counted(sitting, note)}

    def _counted(self, sitting: Sitting, note: str = "") -> dict[str, Any]:
        """What a browser is sent of the votes: those of the room, or the visitor's own."""
        counted = tally(sitting.votes)
        if sitting.room:
            try:
                counted = self.rooms.tally(sitting.room)
            except InputError:
                sitting.room, note = "", _gone(sitting.room)
        found = {(row.study, row.method): row for row in counted}
        return {
            "room": sitting.room or "",
            "mine": sitting.room in sitting.opened,
            "own": len(sitting.votes),
            "charts": {
                study: [_bar(study, method, found) for method in studies.SHOWN[study]] for study in studies.SHOWN
            },
            "note": note,
            "time": _now(),
        }


def _study(event: gr.EventData) -> Study:
    return "trust" if told(event).get("study") == "trust" else "object"


_EPOCH = time.time_ns() - time.monotonic_ns()  # so that it goes on, too, where the demo is started again elsewhere


def _now() -> int:
    """By which a browser knows what is newer: in microseconds."""
    return (_EPOCH + time.monotonic_ns()) // 1000


def _gone(room: str) -> str:
    """What those in a room are told that is there no more."""
    return (
        f"Room {room[:20]} and its votes are gone: the demo was restarted, or the room was too old. "
        "Open a new room, or ask your teacher for the code of the new one."
    )


def _address() -> str:
    """The network address of the user whose event is handled."""
    request = LocalContext.request.get(None)
    return request.client.host if request is not None and request.client else ""


def _bar(study: Study, method: str, found: dict[tuple[str, str], Tally]) -> dict[str, Any]:
    """A method in the chart of a study."""
    row = found.get((study, method), Tally(study, method, 0, 0.0, None))
    bar = {"title": METHODS[method].title, "votes": row.votes, "mean": row.mean, "interval": row.interval}
    # Not before: who sees what others found votes alike.
    return bar | {"reported": studies.REPORTED[study, method] if row.votes >= ENOUGH else None}


def _named(question: Question) -> dict[str, Any]:
    """What stands at the pictures once the question is answered."""
    title = METHODS[question.method].title
    if question.study == "object":
        truth, other = question.classes[question.truth], question.classes[1 - question.truth]
        return {"names": [f"{title} for {truth}", f"{title} for {other}"]}
    networks = ["the trained network", "the one with noise on its weights"]
    return {
        "names": [f"{title} of {name}" for name in (networks if question.truth == studies.LEFT else networks[::-1])]
    }


def tab(engine: Engine) -> None:
    """Build the tab's widgets, with rooms of its own, and connect them."""
    connect(layout(engine, Rooms(), random.Random()))


def layout(engine: Engine, rooms: Rooms, chance: random.Random) -> QuizTab:
    """Build the tab's widgets."""
    question = drawn_by("quiz", ("ask", "answer"), {"studies": HEADINGS})
    most = {study: max(values) for study, values in VALUES.items()}
    settings = {"chance": studies.CHANCE, "most": most, "enough": ENOUGH}
    votes = drawn_by("votes", ("open", "join", "look", "csv"), settings)
    model = engine.library.catalog("classification")[0].name
    table = gr.File(visible="hidden")
    return QuizTab(engine, model, rooms, Pictures(engine), chance, gr.State(Sitting()), question, votes, table)


def connect(tab: QuizTab) -> None:
    """Follow what happens in the tab."""
    both, drawn = [tab.question, tab.votes], {"trigger_mode": "multiple"} | ASKING | QUIET
    tab.question.ask(tab.ask, {tab.visit}, both, **drawn)
    tab.question.answer(tab.take, {tab.visit}, both, **drawn)
    # They wait for no network.
    at_once: dict[str, Any] = {"queue": False, "trigger_mode": "multiple", "preprocess": False} | QUIET
    tab.votes.open(tab.open_room, {tab.visit}, tab.votes, **at_once)
    tab.votes.join(tab.join, {tab.visit}, tab.votes, **at_once)
    tab.votes.look(tab.look, {tab.visit}, tab.votes, **at_once)
    tab.votes.csv(tab.save_votes, {tab.visit}, [tab.table, tab.votes], **at_once).success(
        None, tab.table, None, js=on_event("download")
    )
