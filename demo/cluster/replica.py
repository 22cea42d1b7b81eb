"""A Ray Serve deployment, each replica of which answers queries with an engine of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ray import serve
from ray.serve import Application

from demo.engine import MAX_WAITING, Engine
from demo.errors import InputError
from demo.job import Job
from demo.models import MAX_MODELS, Library
from demo.models.resnet50 import BATCH
from demo.process import keep_heap
from demo.query import Query, from_json, to_json

NAME = "why"  # of the application
NEWS_SECONDS = 0.5  # from one piece of news about a query that waits to the next

MAX_REPLICAS = 64


class Replica:
    """All networks, on the processor or the GPU that Ray gives it.

    Args:
        device: what they run on, named as for `demo.models.available_device`.
    """

    def __init__(self, device: str = "auto") -> None:
        keep_heap()
        self._engine = Engine(Library(device))

    def check_health(self) -> None:
        if not self._engine.is_well():
            raise RuntimeError("No network can be run any more.")

    async def info(self, task: str, name: str) -> tuple[str, str]:
        """Return "result" and a model's info as JSON, once it is open; or "refused" and the error message."""
        try:
            info = await asyncio.wrap_future(self._engine.info(task, name))
            return "result", to_json(info)
        except InputError as error:
            return "refused", str(error)

    async def answer(self, query: str, data: bytes, client: str, cache: bool) -> AsyncIterator[tuple[str, Any]]:
        """Yield how the answer to a question goes on; a caller that stops reading has left.

        Args:
            query: as JSON.
            data: the image's file.
            client, cache: as of `Engine.ask`.

        Yields:
            "waits" and how many others come before; "started" and the seconds that it has waited; "progress" and how
            many passes are done, and of how many; "predictions"; and at the end "result" and the result as JSON, or
            "refused" and the error message.
        """
        try:
            question = from_json(query)
            question = replace(question, image=replace(question.image, data=data))
            job = await self._ask(question, cache, client)
            try:
                if model := serve.get_multiplexed_model_id():
                    await self.keeps(model)
                async for piece in self._news(job, client):
                    yield piece
                yield "result", to_json(job.result.result())
            finally:
                self._engine.leave(job, client)
        except InputError as error:
            yield "refused", str(error)

    async def _ask(self, question: Query, cache: bool, client: str) -> Job:
        """`Engine.ask` beside the event loop. If the caller leaves meanwhile, so does its client."""
        asking = asyncio.create_task(asyncio.to_thread(self._engine.ask, question, cache=cache, client=client))
        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(partial(self._leave, client))
            raise

    async def _news(self, job: Job, client: str) -> AsyncIterator[tuple[str, Any]]:
        """What changes of a job, until it is done."""
        futures = [asyncio.wrap_future(future) for future in (job.predictions, job.result)]
        for future in futures:
            future.add_done_callback(lambda future: future.cancelled() or future.exception())  # or asyncio complains
        told: dict[str, Any] = {}
        while pending := [future for future in futures if not future.done()]:
            await asyncio.wait(pending[:1], timeout=NEWS_SECONDS)
            for kind, value in self._state(job, client).items():
                if told.get(kind) != value:
                    yield kind, value
                    told[kind] = value

    def _state(self, job: Job, client: str) -> dict[str, Any]:
        """What there is to tell of a job that goes on."""
        if job.started is None:
            return {"waits": self._engine.position(client)}
        state: dict[str, Any] = {"started": job.started - job.asked, "progress": job.progress}
        if job.predictions.done() and job.predictions.exception() is None:
            state["predictions"] = job.predictions.result()
        return state

    def _leave(self, client: str, asking: asyncio.Task[Job]) -> None:
        if asking.exception() is None:
            self._engine.leave(asking.result(), client)

    @serve.multiplexed(max_num_models_per_replica=MAX_MODELS)
    async def keeps(self, model: str) -> str:
        """Tell Serve that this replica has a downloaded model, so that others who ask it come here."""
        return model


def application(arguments: Mapping[str, str]) -> Application:
    """The deployment, for `serve run` and for configurations.

    A replica on a processor has one thread, so that as many answer as there are cores. What waits, waits in the
    engines of the replicas, which serve clients in turn.

    Args:
        arguments: `device`, as of `Replica`, and `gpus`, how many a replica takes; or nothing.
    """
    gpus = int(arguments.get("gpus", "0"))
    takes = {"num_gpus": gpus} if gpus else {"num_cpus": 1}
    made = serve.deployment(
        name="Networks",
        max_ongoing_requests=MAX_WAITING,
        autoscaling_config={"min_replicas": 1, "max_replicas": MAX_REPLICAS, "target_ongoing_requests": BATCH},
        ray_actor_options=takes,
    )(Replica)
    return made.bind(arguments.get("device", "auto"))
