"""Start the demo: `python app.py`, or `python app.py --help` for the options."""

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
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

import gradio as gr
import uvicorn
from gradio import http_server

from demo import IS_LENT_A_GPU
from demo.cluster.networks import REMOTE_ENTRIES, SHIPPED_ENTRIES, Cluster
from demo.engine import Engine
from demo.errors import InputError, first_line
from demo.models import MAX_MODELS, Library
from demo.models.own import hub_classifier, torchvision_classifier
from demo.models.shipped import require_shipped
from demo.page import LAUNCH, build
from demo.records import LOG
from demo.service import surroundings
from demo.tabs import mcp_tools
from demo.tabs.uploads import tidied, tidy

# How long a connection lasts on which nothing is asked. A request that is sent while the server closes its connection
# is lost, which with Uvicorn's own 5 seconds happened to one of a class of 128; proxies keep theirs for up to 60.
KEEP_ALIVE_SECONDS = 75


def arguments() -> tuple[argparse.Namespace, Callable[[str], NoReturn]]:
    """What the command was given, and what ends it with a message."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=None, help="address to listen on (default: this computer only)")
    parser.add_argument("--port", type=int, default=None, help="port (default: the first free one from 7860)")
    parser.add_argument("--share", action="store_true", help="also make a public link")
    parser.add_argument("--mcp", action="store_true", help="also offer the endpoints of the API to assistants")
    parser.add_argument("--root-path", default=None, help="path under which a proxy serves the demo")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    parser.add_argument(
        "--preload", nargs="+", default=[], metavar="MODEL", help="download these models before the page opens"
    )
    parser.add_argument(
        "--no-downloads",
        action="store_true",
        help="offer only models that are installed: those of the demo, of --preload, and downloaded before",
    )
    parser.add_argument(
        "--max-models",
        type=int,
        default=MAX_MODELS,
        metavar="N",
        help=f"downloaded models to keep in memory, beside the shipped ones (default: {MAX_MODELS})",
    )
    parser.add_argument(
        "--cluster",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="run the networks on the Ray cluster at this address, or without one in a new cluster on this computer",
    )
    group = parser.add_argument_group(
        "your own classifier", "offered beside the others, and the one that the page opens with"
    )
    group.add_argument(
        "--classifier",
        metavar="FILE",
        help="safetensors weights of a torchvision network; or without --arch a folder or name on the hub of an image "
        "classifier of transformers",
    )
    group.add_argument("--arch", help="the network, as torchvision names it: resnet50")
    group.add_argument("--labels", metavar="FILE", help="text file with the names of its classes, one a line")
    group.add_argument("--layer", help="the module that Grad-CAM looks at by default (default: the last feature maps)")
    args = parser.parse_args()
    if (args.arch or args.labels or args.layer) and args.classifier is None:
        parser.error("--arch, --labels and --layer describe a --classifier, and there is none.")
    if bool(args.arch) != bool(args.labels):
        parser.error("--arch and --labels go together: give both, or neither for a classifier of transformers.")
    if args.cluster is not None and (args.classifier is not None or args.preload or args.max_models != MAX_MODELS):
        parser.error(
            "--classifier, --preload and --max-models are for networks of this process, and not of a --cluster."
        )
    return args, parser.error


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
    engine.about("classification", engine.library.default("classification"))
    page.block_thread()


def reach_itself(host: str | None) -> None:
    """Bypass a proxy of the environment for the demo's own server, which Gradio requests when it starts."""
    own = ("localhost", "127.0.0.1", "::1", host or os.environ.get("GRADIO_SERVER_NAME", ""))
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, (named, *own)))


def open_many_files() -> None:
    """Allow this program as many open files, which connections are too, as the system lets it have."""
    with suppress(ImportError, ValueError, OSError):  # not on Windows; not allowed
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY:
            most = 2**16 if hard == resource.RLIM_INFINITY else min(hard, 2**16)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def main() -> None:
    args, refuse = arguments()
    open_many_files()
    reach_itself(args.host)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    LOG.propagate = False
    LOG.addHandler(logging.StreamHandler())
    LOG.setLevel(logging.INFO)
    try:
        require_shipped()
        networks = None if args.cluster is None else Cluster(args.cluster, args.device)
        if networks is None:
            device = "cpu" if IS_LENT_A_GPU else args.device
            library = Library(device, args.max_models, downloads=not args.no_downloads)
        else:
            library = Library(entries=SHIPPED_ENTRIES if args.no_downloads else REMOTE_ENTRIES)
        own = None
        if args.arch:
            own = partial(torchvision_classifier, args.classifier, args.arch, args.labels, args.layer)
        elif args.classifier is not None:
            own = partial(hub_classifier, args.classifier, args.layer)
        if own is not None:
            with ThreadPoolExecutor() as opener:  # ends, and with it what PyTorch keeps for a thread: see Engine
                opener.submit(library.offer, own).result()
        for name in args.preload:
            print(f"Fetching {name}, unless it is here already ...", flush=True)
            library.preload(name)
    except InputError as error:
        refuse(str(error))
    folder = None
    if "GRADIO_TEMP_DIR" not in os.environ:  # for this demo alone, as what others put there would be deleted, too
        os.environ["GRADIO_TEMP_DIR"] = folder = tempfile.mkdtemp(prefix="why-")
    engine = Engine(library, networks=networks)
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


if __name__ == "__main__":
    main()
