"""`POST /ask`: a list of questions goes in, and what becomes known of each comes out, line by line (docs/ask.md)."""

import asyncio
import html
import logging
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Send

from demo.engine import MAX_OF_ONE, Engine
from demo.errors import FAILED, BusyError, InputError
from demo.job import Job
from demo.query import (
    VERSION,
    Explain,
    ExplainResult,
    ImageFile,
    Predict,
    PredictResult,
    Query,
    Result,
    Row,
    check_version,
    data_of,
    from_data,
)
from demo.server.lines import EndLine, ErrorLine, Line, PredictionsLine, ProgressLine, QueueLine, ResultLine
from demo.server.uploads import keep, known_image, opened_file
from demo.server.waiting import NEWS_SECONDS, ask, opening
from demo.tasks.sentence import sentence

MAX_QUESTIONS = MAX_OF_ONE  # of a request
MAX_OF_ADDRESS = 400  # questions; a school may be one address
MAX_JSON = 2**20  # bytes
MAX_FILES = 4
MAX_LINES = 4  # that wait to be sent; each may have two megabytes
JSON_FIELD = "json"  # of a form, whose other fields are image files
SEND_SECONDS = 60  # in which a client has to take what is sent, or what it asked would be held for ever
REPEAT_SECONDS = 15  # after which the last news are told again, so that no proxy takes the connection for dead
CLIENT = re.compile(r"[\w-]{1,64}")
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second for nginx
QUESTION_KINDS = ("Predict", "Explain", "Region", "Adversarial")


class LinesResponse(StreamingResponse):
    """A stream that ends, incomplete, when somebody does not take what is sent."""

    async def stream_response(self, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        with suppress(TimeoutError):
            await super().stream_response(send_in_time)


class AskRoute:
    """Answers requests with an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._open: Counter[str] = Counter()  # questions that are being answered, by address

    async def answer(self, request: Request) -> Response:
        """Answer a request."""
        try:
            questions, client, files = await _read(request)
        except InputError as error:
            return JSONResponse({"detail": str(error)}, 400)
        address = request.client.host if request.client else ""
        client = f"tab {address} {client}" if client else f"address {address}"
        lines = self._lines(questions, client, address, files)
        return LinesResponse((f"{line}\n" async for line in lines), media_type="application/x-ndjson", headers=HEADERS)

    async def _lines(
        self, questions: list[Any], client: str, address: str, files: dict[str, bytes]
    ) -> AsyncIterator[str]:
        """The lines of all questions as JSON, each as soon as it is known."""
        named = {question.get("image") for question in questions if isinstance(question, dict)}
        images: dict[str, ImageFile | InputError] = {}
        for name in files.keys() & named:
            images[name] = BusyError() if self._open[address] >= MAX_OF_ADDRESS else await _opened(files[name], client)
        files.clear()
        lines: asyncio.Queue[str | None] = asyncio.Queue(MAX_LINES)

        async def follow(index: int, question: Any) -> None:
            async with aclosing(self._lines_of(index, question, client, address, images)) as own_lines:
                async for line in own_lines:
                    await lines.put(line)
            await lines.put(None)

        tasks = [asyncio.create_task(follow(index, question)) for index, question in enumerate(questions)]
        try:
            unanswered = len(tasks)
            while unanswered:
                if (line := await lines.get()) is None:
                    unanswered -= 1
                else:
                    yield line
        finally:  # also where the client has closed the connection
            for task in tasks:
                task.cancel()

    async def _lines_of(
        self, index: int, question: Any, client: str, address: str, images: Mapping[str, ImageFile | InputError]
    ) -> AsyncGenerator[str, None]:
        self._open[address] += 1
        try:
            if self._open[address] > MAX_OF_ADDRESS:
                raise BusyError
            job = await ask(self._engine, lambda: _query(question, images), client=client)
            try:
                async for line in self._news(index, job, client):
                    yield line.to_json()
            finally:
                self._engine.leave(job, client)
            for line in _result_lines(index, job.result.result()):
                yield await asyncio.to_thread(line.to_json)  # two megabytes with gradients
            yield EndLine(index).to_json()
        except InputError as error:
            yield ErrorLine(index, error.code, str(error)).to_json()
        except Exception:
            logging.getLogger(__name__).exception("A question could not be answered.")
            yield ErrorLine(index, "failed", FAILED).to_json()
        finally:
            self._open[address] -= 1
            self._open += Counter()  # forgets addresses without questions

    async def _news(self, index: int, job: Job, client: str) -> AsyncIterator[Line]:
        """What changes of a question, until it has a result; at last the predictions, if they were not told."""
        predictions, result = asyncio.wrap_future(job.predictions), asyncio.wrap_future(job.result)
        for future in (predictions, result):
            future.add_done_callback(lambda future: future.cancelled() or future.exception())  # or asyncio complains
        clock = asyncio.get_running_loop().time
        told: Line | None = None
        when, predicted = clock(), False
        while not (result.done() and predictions.done()):
            pending = [future for future in (predictions, result) if not future.done()]
            await asyncio.wait(pending, timeout=NEWS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not predicted and predictions.done() and predictions.exception() is None:
                predicted = True
                if predictions.result() and isinstance(job.query, Predict | Explain):
                    yield PredictionsLine(index, predictions.result())
            line = self._state(index, job, client)
            is_new = line != told and line != ProgressLine(index, 0, 0)
            if not result.done() and (is_new or clock() - when > REPEAT_SECONDS):
                told, when = line, clock()
                yield line

    def _state(self, index: int, job: Job, client: str) -> Line:
        """Where a question is that has no result."""
        if job.started is None:
            return QueueLine(index, self._engine.position(client))
        return ProgressLine(index, *job.progress)


def _result_lines(index: int, result: Result) -> list[ResultLine]:
    if isinstance(result, PredictResult):
        return []
    if isinstance(result, ExplainResult):
        return [
            ResultLine(index, place, len(result.rows), summary(row), replace(result, rows=(row,)))
            for place, row in enumerate(result.rows)
        ]
    return [ResultLine(index, 0, 1, "", result)]


def summary(row: Row) -> str:
    """The plain part of the summary line of a row, as text."""
    return html.unescape(re.sub("</?b>", "", sentence(row, [row])))


async def _opened(data: bytes, client: str) -> ImageFile | InputError:
    """An image file of a request, which is kept; or why it cannot be used."""

    def opened() -> ImageFile:
        image = opened_file(data)
        with suppress(OSError):  # then it is not known later
            keep(image)
        return image

    task = asyncio.create_task(opening(opened, client))
    task.add_done_callback(lambda task: task.cancelled() or task.exception())  # or asyncio complains
    try:
        return await asyncio.shield(task)  # its thread goes on, and counts as long
    except InputError as error:
        return error


def _query(question: Any, images: Mapping[str, ImageFile | InputError]) -> Query:
    """The question in the list, with its image.

    Raises:
        InputError: it is none, or its image is not here.
    """
    if not isinstance(question, dict) or question.get("kind") not in QUESTION_KINDS:
        raise InputError(f"A question is an object with a “kind”: {', '.join(QUESTION_KINDS)}.")
    name = question.get("image")
    if not isinstance(name, str):
        raise InputError("The “image” of a question is the name of a file in the request, or the SHA-256 of one.")
    image = images[name] if name in images else known_image(name)
    if isinstance(image, InputError):
        raise image
    return replace(from_data({"version": VERSION} | question | {"image": image.sha256}), image=image)


async def _read(request: Request) -> tuple[list[Any], str, dict[str, bytes]]:
    """The questions of a request, the id of who asks or "", and the image files by their names.

    Raises:
        InputError: it is not as docs/ask.md says.
    """
    files = {}
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=MAX_FILES, max_fields=1, max_part_size=MAX_JSON) as form:
            text = form.get(JSON_FIELD)
            sent = [(name, file) for name, file in form.multi_items() if isinstance(file, UploadFile)]
            files = {name: await file.read() for name, file in sent}
        if len(files) < len(sent):
            raise InputError("Two files have one name: give each its own.")
        if not isinstance(text, str):
            raise InputError(f"The form needs a field “{JSON_FIELD}” with the questions.")
    else:
        text = (await request.body()).decode(errors="replace")
    if len(text) > MAX_JSON:
        raise InputError("The JSON is too long: send images as files of a form.")
    match data_of(text):
        case {"version": version, "questions": [_, *_] as questions, **rest}:
            check_version(version)
            client = rest.pop("client", "")
            if len(questions) > MAX_QUESTIONS:
                raise InputError(f"At most {MAX_QUESTIONS} questions are answered together: send fewer.")
            if not (isinstance(client, str) and CLIENT.fullmatch(client)) and client != "":
                raise InputError("The “client” is an id of up to 64 letters, digits, “-” and “_”.")
            if rest:
                raise InputError(f"“{next(iter(rest))!s:.80}” is not read here: send version, client and questions.")
            return questions, client, files
    raise InputError(f"The JSON needs “version”: {VERSION}, and “questions”: a list of at least one.")
