"""The server of the demo, from its start to its end."""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn

import gradio as gr
import uvicorn
from gradio import http_server

from demo.cluster.worker import REMOTE_ENTRIES, SHIPPED_ENTRIES, ClusterWorker
from demo.engine import Engine
from demo.errors import InputError, first_line
from demo.explain import answer
from demo.models import MAX_MODELS, Library
from demo.models.own import hub_classifier, torchvision_classifier
from demo.models.shipped import require_shipped
from demo.page import LAUNCH, build
from demo.process import is_lent_a_gpu
from demo.records import LOG
from demo.server import mcp_tools
from demo.server.routes import surroundings
from demo.server.uploads import tidied, tidy
from demo.worker import LocalWorker, Worker
from demo.zerogpu import compute_on_lent_gpu

# How long a connection lasts on which nothing is asked. A request that is sent while the server closes its connection
# is lost, which with Uvicorn's own 5 seconds happened to one of a class of 128; proxies keep theirs for up to 60.
KEEP_ALIVE_SECONDS = 75


class PatientServer(http_server.Server):
    """Gradio's server, which keeps connections so long."""

    def __init__(self, config: uvicorn.Config, **named: Any) -> None:
        config.timeout_keep_alive = KEEP_ALIVE_SECONDS
        super().__init__(config, **named)


def serve(page: gr.Blocks, engine: Engine, args: argparse.Namespace, refuse: Callable[[str], NoReturn]) -> None:
    """Serve the page until the program is stopped."""
    http_server.Server = PatientServer  # there is no other way to tell Gradio, which makes it itself
    try:
        page.launch(
            server_name=args.host,
            server_port=args.port,
            share=args.share,
            root_path=args.root_path,
            mcp_server=args.mcp,
            app_kwargs=surroundings(engine) | {"lifespan": tidied},
            prevent_thread_lock=True,
            _frontend=False,  # no look at the page by Gradio itself, which gives up if that takes three seconds
            **LAUNCH,
        )
    except (OSError, OverflowError) as error:
        refuse(f"The demo cannot listen there: {first_line(error)}.")
    if args.mcp:
        mcp_tools.keep_tools(page)
    # While the first visitor's browser still opens the page.
    engine.info("classification", engine.library.default("classification"))
    page.block_thread()


def models_and_worker(args: argparse.Namespace) -> tuple[Library, Worker]:
    """The models that are offered, and what computes with them.

    Raises:
        InputError: the device is not there, or the cluster cannot be reached.
    """
    if args.cluster is not None:
        entries = SHIPPED_ENTRIES if args.no_downloads else REMOTE_ENTRIES
        return Library(entries=entries), ClusterWorker(args.cluster, args.device)
    max_models = MAX_MODELS if args.max_models is None else args.max_models
    is_lent = is_lent_a_gpu()
    library = Library("cpu" if is_lent else args.device, max_models, downloads=not args.no_downloads)
    return library, LocalWorker(library, compute_on_lent_gpu() if is_lent else answer)


def launch(args: argparse.Namespace, refuse: Callable[[str], NoReturn]) -> None:
    """Run the demo until it is stopped, and end the process.

    Args:
        args: as of `app.arguments`.
        refuse: ends the process with an error message.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    LOG.propagate = False
    LOG.addHandler(logging.StreamHandler())
    LOG.setLevel(logging.INFO)
    try:
        require_shipped()
        library, worker = models_and_worker(args)
        own = None
        if args.arch:
            own = partial(torchvision_classifier, args.classifier, args.arch, args.labels, args.layer)
        elif args.classifier is not None:
            own = partial(hub_classifier, args.classifier, args.layer)
        if own is not None:
            with ThreadPoolExecutor() as opener:  # ends, and with it what PyTorch keeps for a thread: see LocalWorker
                opener.submit(library.offer, own).result()
        for name in args.preload:
            print(f"Fetching {name}, unless it is here already ...", flush=True)
            library.preload(name)
    except InputError as error:
        refuse(str(error))
    folder = None
    if "GRADIO_TEMP_DIR" not in os.environ:  # for this demo alone, as what others put there would be deleted, too
        os.environ["GRADIO_TEMP_DIR"] = folder = tempfile.mkdtemp(prefix="why-")
    engine = Engine(library, worker=worker, precision=args.precision)
    page = build(engine, args.mcp)
    code = 0
    try:
        serve(page, engine, args, refuse)
    except SystemExit as ended:
        code = int(ended.code or 0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is being done
    engine.close()
    time.sleep(1)  # in which the last answers are drawn and sent
    page.close(verbose=False)
    if code == 0:  # not of a demo that could not listen: its folder may be that of the one that does
        tidy(page, forget=0)  # here, because the server may still wait for an open page
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.flush()
    os._exit(code)  # because the ordinary end is an abort where a thread of PyTorch still computes
