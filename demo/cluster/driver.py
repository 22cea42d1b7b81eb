"""The process that is connected to a Ray cluster: `python -m demo.cluster.driver PIPE DEVICE ADDRESS`.

From PIPE, the number of an open file, it reads what the page's process asks, and to it it writes what becomes of that.
It ends when the page's process ends, and Ray ends it when the cluster is gone.
"""

import asyncio
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, cast

import ray
from cachetools import LRUCache
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from demo.cluster.messages import Message, send, unpack
from demo.cluster.replica import NAME, application
from demo.cluster.worker import ALIVE_SECONDS
from demo.errors import first_line

TRIES = 3  # of a query whose replica dies; it may be the reason
FREE_SECONDS = 120  # in which a replica is started where there is none
END_SECONDS = 10  # at most, in which a cluster of this computer is stopped
MAX_IMAGES = 256  # references that are kept
FAILED = "The computer that was to answer has failed: ask again."
NONE_FREE = "No computer that runs the networks is free: try again in a minute."

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


class Images:
    """References to image files in the cluster, each of which travels to a machine once."""

    def __init__(self) -> None:
        self._references: LRUCache[str, ray.ObjectRef] = LRUCache(MAX_IMAGES)

    def reference(self, sha256: str, data: bytes, cache: bool) -> ray.ObjectRef:
        if not cache:
            return ray.put(data)
        if sha256 not in self._references:
            self._references[sha256] = ray.put(data)
        return self._references[sha256]


async def answer(
    handle: DeploymentHandle,
    images: Images,
    tell: Tell,
    data: bytes,
    *,
    query: str,
    sha256: str,
    model: str,
    client: str,
    cache: bool,
) -> None:
    """Tell how the answer to a question goes on: see `Replica.answer`. If the replica dies, another one is asked."""
    deployment = handle.options(stream=True, multiplexed_model_id=model)
    for _ in range(TRIES):
        response = deployment.answer.remote(query, images.reference(sha256, data, cache), client, cache)
        news = cast("DeploymentResponseGenerator[tuple[str, Any]]", response)
        try:
            # A replica tells at once whether a question waits: if nothing is told, none is free.
            tell(*await asyncio.wait_for(anext(news), FREE_SECONDS))
            async for kind, value in news:
                tell(kind, value)
            return
        except asyncio.CancelledError:
            news.cancel()
            raise
        except TimeoutError:
            news.cancel()
            tell("refused", NONE_FREE)
            return
        except RayTaskError as error:  # an error of ours, and not of a machine
            tell("failed", repr(error.cause))
            return
        except (RayError, RayServeException) as error:
            _note(error)
    tell("refused", FAILED)


async def info(handle: DeploymentHandle, tell: Tell, *, task: str, name: str, model: str) -> None:
    """Tell the info of a model, or why there is none."""
    for _ in range(TRIES):
        try:
            tell(*await handle.options(multiplexed_model_id=model).info.remote(task, name))
            return
        except RayTaskError:
            raise
        except (RayError, RayServeException) as error:
            _note(error)
    tell("refused", FAILED)


class Requests:
    """The requests of the page's process that are running."""

    def __init__(self, pipe: Connection) -> None:
        self.handle: DeploymentHandle  # set when the cluster is connected, before which the page asks nothing
        self._pipe = pipe
        self._images = Images()
        self._running: dict[int, asyncio.Task[None]] = {}

    def take(self, message: Message) -> None:
        """Begin with a request, or cancel one."""
        if message.kind == "leave":
            if (task := self._running.get(message.number)) is not None:
                task.cancel()
            return
        tell = partial(_tell, self._pipe, message.number)
        if message.kind == "answer":
            work = answer(self.handle, self._images, tell, message.data, **message.values)
        else:
            work = info(self.handle, tell, **message.values)
        task = asyncio.get_running_loop().create_task(work)
        self._running[message.number] = task
        task.add_done_callback(partial(self._end, message.number, tell))

    def _end(self, number: int, tell: Tell, task: asyncio.Task[None]) -> None:
        del self._running[number]
        if not task.cancelled() and (error := task.exception()) is not None:
            tell("failed", repr(error))


def read(pipe: Connection, take: Callable[[Message], None]) -> None:
    """Read the messages of the page's process until it ends; then end this one."""
    code = 0
    try:
        while True:
            take(unpack(pipe.recv_bytes()))
    except (EOFError, OSError):  # the page's process has ended
        pass
    except Exception:  # nobody reads any more: the page's process notices, and starts another one of this
        traceback.print_exc()
        code = 1
    threading.Timer(END_SECONDS, os._exit, (code,)).start()
    ray.shutdown()
    os._exit(code)


async def serve_page(pipe: Connection, device: str, address: str) -> None:
    """Connect to a cluster, and do what the page's process asks, until that ends."""
    requests, loop = Requests(pipe), asyncio.get_running_loop()

    def take(message: Message) -> None:
        loop.call_soon_threadsafe(requests.take, message)

    threading.Thread(target=read, args=(pipe, take), daemon=True).start()
    try:
        requests.handle = await asyncio.to_thread(connected, device, address)
    except Exception as error:
        send(pipe, 0, "refused", value=first_line(error))
        return
    send(pipe, 0, "ready")
    while True:
        await asyncio.sleep(ALIVE_SECONDS)
        send(pipe, 0, "alive")


def _tell(pipe: Connection, number: int, kind: str, value: Any) -> None:
    """Send a piece of news, as of `Replica.answer`."""
    if kind == "result":
        send(pipe, number, kind, data=value.encode())
    else:
        send(pipe, number, kind, value=value)


def _note(died: Exception) -> None:
    """Write down that a replica has died; whoever waits is told nothing of it."""
    print(f"A replica has died: {died!r}"[:300], file=sys.stderr, flush=True)


def main() -> None:
    file, device, address = sys.argv[1:]
    asyncio.run(serve_page(Connection(int(file)), device, address))


if __name__ == "__main__":
    main()
