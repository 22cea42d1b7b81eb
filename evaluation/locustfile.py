"""A class of students before the demo, played by locust.

    locust -f evaluation/locustfile.py --host http://127.0.0.1:7860 --users 30 --spawn-rate 10

Each visitor has a page open, in a session of its own: takes the example that all take, or a photograph that the server
has not seen, asks the endpoints of a task, changes the task, now and then asks for a dear method, and sometimes leaves
before the answer is there. In the statistics an answer has the name of its endpoint, and takes from the upload until
its pictures are fetched.
"""

import itertools
import random
import re
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path

from locust import HttpUser, between, task
from locust.clients import ResponseContextManager
from requests import RequestException

from demo.errors import TOO_MUCH
from evaluation.visitors import (
    EXAMPLES,
    PATIENCE,
    SIZES,
    Query,
    functions_of,
    is_picture,
    joining,
    make_query,
    outputs_in,
    texts_of,
)

ENDPOINTS_OF = (("classify", "explain_class"), ("caption", "explain_caption"), ("answer", "explain_answer"))  # by task
EXAMPLE = EXAMPLES[-1]
API = "/gradio_api"

_folder = tempfile.TemporaryDirectory()  # of the photographs, as long as this process runs
_numbers = itertools.count()  # of visitors and of photographs


class Visitor(HttpUser):
    """A student; what is asked depends on how many visitors and photographs there were before."""

    wait_time = between(0.5, 3)  # seconds

    def on_start(self) -> None:
        self.chance = random.Random(next(_numbers))
        self.open_page()

    def open_page(self) -> None:
        """Get the page, what it loads first, and its configuration, in a new session."""
        self.page_session = uuid.uuid4().hex
        for asset in re.findall(r'(?:src|href)="\./(assets/[^"]+)"', self.client.get("/").text):
            self.client.get(f"/{asset}", name="scripts and styles")
        config = self.client.get("/config")
        self.functions = functions_of(config.json())
        self.example = re.findall(rf'"([^"]*/{EXAMPLE.name})"', config.text)[0]
        self.change_task()

    @task(2)
    def change_task(self) -> None:
        self.endpoints = self.chance.choice(ENDPOINTS_OF)

    @task(4)
    def take_example(self) -> None:
        for endpoint in self.endpoints:
            self.ask(Query(endpoint, EXAMPLE, texts_of(endpoint, 0)), self.example)

    @task(6)
    def take_photograph(self) -> None:
        number, size = next(_numbers), self.chance.choice(SIZES)
        for endpoint in self.endpoints:
            query = make_query(Path(_folder.name), endpoint, number, size)
            self.ask(query, self.upload(query))

    @task(1)
    def look_dearly(self) -> None:
        query = make_query(Path(_folder.name), "explain_method", next(_numbers), SIZES[0])
        self.ask(query, self.upload(query))

    @task(1)
    def leave(self) -> None:
        """Close the page as soon as the server tells of the query, and open it again."""
        query = make_query(Path(_folder.name), self.endpoints[1], next(_numbers), SIZES[0])
        self.join(query, self.upload(query))
        with self.events("left on purpose") as response, closing(response):
            next(response.iter_lines())
        self.open_page()

    def upload(self, query: Query) -> str:
        """Where the photograph lies on the server."""
        with query.photo.open("rb") as file:
            (path,) = self.client.post(f"{API}/upload", files={"files": file}, name="upload").json()
        return str(path)

    def join(self, query: Query, path: str) -> None:
        asked = joining(self.functions, query, path, self.page_session)
        self.client.post(f"{API}/queue/join", json=asked, name="queue/join")

    def events(self, name: str, **context: Query) -> ResponseContextManager:
        """What the server tells of the session, as it comes."""
        about = {"session_hash": self.page_session}
        return self.client.get(
            f"{API}/queue/data",
            name=name,
            params=about,
            stream=True,
            catch_response=True,
            timeout=PATIENCE,
            context=context,
        )

    def ask(self, query: Query, path: str) -> None:
        """Ask about a photograph, and fetch the answer; the event of the request has the query and the outputs."""
        started = time.perf_counter()
        self.join(query, path)
        with self.events(f"/{query.endpoint}", query=query) as response, closing(response):
            try:
                outputs = outputs_in(response.iter_lines())
                response.request_meta["context"]["outputs"] = [
                    self.client.get(output["url"], name="pictures").content if is_picture(output) else output
                    for output in outputs
                ]
            except (RuntimeError, RequestException) as error:
                if str(error) == TOO_MUCH:
                    response.request_meta["name"] = "busy"
                    response.success()
                else:
                    response.failure(str(error))
            response.request_meta["response_time"] = 1000 * (time.perf_counter() - started)
