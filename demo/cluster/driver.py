"""The process that is connected to a Ray cluster: `python -m demo.cluster.driver PIPE DEVICE ADDRESS`.

From PIPE, the number of an open file, it reads what the page's process asks, and to it it writes what becomes of that.
It ends when the page's process ends, and Ray ends it when the cluster is gone.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, cast

# Of a cluster that is gone people hear after so many seconds.
os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", "10")

import ray
from cachetools import LRUCache
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from demo.cluster.messages import received, send
from demo.cluster.replica import NAME, application
from demo.errors import first_line
from demo.query import Photo, Query

TRIES = 3  # of a query whose replica dies; it may be the reason
MOST_PHOTOS = 256  # references to photographs that are kept
FAILED = "The computer that was to answer has failed: ask again."

Tell = Callable[[str, Any], None]


def connected(device: str, address: str) -> DeploymentHandle:
    """The deployment of a cluster, made if there is none; without an address in a new cluster on this computer."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    # A cluster of this computer is for nobody outside it: whoever reaches Ray's ports may run anything.
    own: dict[str, Any] = {} if address else {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    ray.init(address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    try:
        return serve.get_app_handle(NAME)
    except RayServeException:  # there is none yet
        on_gpu = device != "cpu" and ray.cluster_resources().get("GPU", 0) > 0
        serve.start(proxy_location="Disabled")
        return serve.run(application({"device": device, "gpus": str(int(on_gpu))}), name=NAME, route_prefix=None)


class Photos:
    """References to photographs in the cluster, each of which travels to a machine once."""

    def __init__(self) -> None:
        self._references: LRUCache[str, ray.ObjectRef] = LRUCache(MOST_PHOTOS)

    def reference(self, photo: Photo) -> ray.ObjectRef:
        if photo.digest not in self._references:
            self._references[photo.digest] = ray.put(photo.data)
        return self._references[photo.digest]


async def answer(handle: DeploymentHandle, photos: Photos, tell: Tell, query: Query, model: str, visitor: str) -> None:
    """Tell what becomes of a query: see `Replica.answer`. If the replica dies, another one is asked."""
    sent = replace(query, photo=Photo(query.photo.digest, b""))
    asked = handle.options(stream=True, multiplexed_model_id=model)
    for _ in range(TRIES):
        response = asked.answer.remote(sent, photos.reference(query.photo), visitor)
        news = cast("DeploymentResponseGenerator[tuple[str, Any]]", response)
        try:
            async for kind, value in news:
                tell(kind, value)
            return
        except asyncio.CancelledError:
            news.cancel()
            raise
        except RayTaskError as error:  # an error of ours, and not of a machine
            tell("failed", repr(error.cause))
            return
        except RayError as error:
            print(f"A replica has died: {error!r}"[:300], file=sys.stderr, flush=True)
    tell("refused", FAILED)


async def about(handle: DeploymentHandle, tell: Tell, task: str, name: str, model: str) -> None:
    """Tell what there is to choose of a model, or why there is nothing."""
    found = await handle.options(multiplexed_model_id=model).about.remote(task, name)
    tell("refused" if isinstance(found, str) else "result", found)


async def serve_page(pipe: Connection, handle: DeploymentHandle) -> None:
    """Do what the page's process asks, until that ends."""
    loop, photos = asyncio.get_running_loop(), Photos()
    running: dict[int, asyncio.Task[None]] = {}
    send(pipe, 0, "ready", None)
    while True:
        try:
            number, what, *given = await loop.run_in_executor(None, received, pipe)
        except (EOFError, OSError):
            return
        tell = partial(send, pipe, number)
        if what == "leave":
            if (task := running.get(number)) is not None:
                task.cancel()
            continue
        work = answer(handle, photos, tell, *given) if what == "answer" else about(handle, tell, *given)
        running[number] = loop.create_task(work)
        running[number].add_done_callback(partial(_ended, running, number, tell))


def _ended(running: dict[int, asyncio.Task[None]], number: int, tell: Tell, task: asyncio.Task[None]) -> None:
    del running[number]
    if task.cancelled():
        return
    if (error := task.exception()) is not None:
        tell("failed", repr(error))


def main() -> None:
    file, device, address = sys.argv[1:]
    pipe = Connection(int(file))
    try:
        handle = connected(device, address)
    except Exception as error:
        send(pipe, 0, "refused", first_line(error))
        return
    asyncio.run(serve_page(pipe, handle))
    ray.shutdown()


if __name__ == "__main__":
    main()
