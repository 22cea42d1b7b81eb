"""A Ray Serve deployment, each replica of which answers queries with an engine of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ray import serve
from ray.serve import Application

from demo.engine import MOST_WAITING, Engine
from demo.errors import InputError
from demo.models import MAX_MODELS, Library
from demo.models.resnet50 import BATCH
from demo.networks import About, Pending
from demo.query import Photo, Query

NAME = "why"  # of the application
NEWS_SECONDS = 0.5  # from one piece of news about a query that waits to the next

MOST_REPLICAS = 64


class Replica:
    """All networks, on the processor or the GPU that Ray gives it.

    Args:
        device: what they run on, named as for `demo.models.available_device`.
    """

    def __init__(self, device: str = "auto") -> None:
        self._engine = Engine(Library(device))

    def check_health(self) -> None:
        if not self._engine.is_well():
            raise RuntimeError("The thread of the networks has ended.")

    async def about(self, task: str, name: str) -> About | str:
        """What there is to choose of a model, once it is open; or a sentence that says why it is not."""
        try:
            return await asyncio.wrap_future(self._engine.about(task, name))
        except InputError as error:
            return str(error)

    async def answer(self, query: Query, data: bytes, visitor: str, keep: bool) -> AsyncIterator[tuple[str, Any]]:
        """What becomes of a query, as it happens; whoever stops reading has left.

        Args:
            query: without the photograph's file.
            data: that file.
            visitor, keep: as of `Engine.ask`.

        Yields:
            "waits" and how many others come before; "begun" and the seconds that it has waited; "done" and how many
            passes are, of how many; "said" and what the model says; and at the end "result" and the answer, or
            "refused" and a sentence.
        """
        query = replace(query, photo=Photo(query.photo.digest, data))
        asking = asyncio.create_task(asyncio.to_thread(self._engine.ask, query, keep=keep, visitor=visitor))
        try:
            pending = await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(partial(self._leave, visitor))
            raise
        except InputError as error:
            yield "refused", str(error)
            return
        said, result = asyncio.wrap_future(pending.said), asyncio.wrap_future(pending.result)
        for future in (said, result):
            future.add_done_callback(lambda future: future.cancelled() or future.exception())  # or asyncio complains
        told: dict[str, Any] = {}
        try:
            if model := serve.get_multiplexed_model_id():
                await self.keeps(model)
            while not result.done():
                await asyncio.wait([result if said.done() else said], timeout=NEWS_SECONDS)
                news: dict[str, Any] = {"waits": self._engine.place(visitor)}
                if pending.begun is not None:
                    news = {"begun": pending.begun - pending.asked, "done": pending.done}
                if said.done() and said.exception() is None:
                    news["said"] = said.result()
                for kind, value in news.items():
                    if told.get(kind) != value:
                        told[kind] = value
                        yield kind, value
            answer = await result
            yield "result", replace(answer, query=replace(answer.query, photo=Photo(query.photo.digest, b"")))
        except InputError as error:
            yield "refused", str(error)
        finally:
            self._engine.leave(pending, visitor)

    def _leave(self, visitor: str, asking: asyncio.Task[Pending]) -> None:
        if asking.exception() is None:
            self._engine.leave(asking.result(), visitor)

    @serve.multiplexed(max_num_models_per_replica=MAX_MODELS)
    async def keeps(self, model: str) -> str:
        """Tell Serve that this replica has a downloaded model, so that others who ask it come here."""
        return model


def application(arguments: Mapping[str, str]) -> Application:
    """The deployment, for `serve run` and for configurations.

    A replica on a processor has one thread, so that as many answer as there are cores. What waits, waits in the
    engines of the replicas, which serve visitors in turn.

    Args:
        arguments: `device`, as of `Replica`, and `gpus`, how many a replica takes; or nothing.
    """
    gpus = int(arguments.get("gpus", "0"))
    takes = {"num_gpus": gpus} if gpus else {"num_cpus": 1}
    made = serve.deployment(
        name="Networks",
        max_ongoing_requests=MOST_WAITING,
        autoscaling_config={"min_replicas": 1, "max_replicas": MOST_REPLICAS, "target_ongoing_requests": BATCH},
        ray_actor_options=takes,
    )(Replica)
    return made.bind(arguments.get("device", "auto"))
