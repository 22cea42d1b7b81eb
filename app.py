"""Start the demo: `python app.py`, or `python app.py --help` for the options."""

import argparse
from collections.abc import Callable
from typing import NoReturn

from demo import process


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
        "--precision",
        choices=("float32", "bfloat16"),
        default=None,
        help="of all explanations (default: bfloat16 for slow methods where the processor has instructions for it, "
        "else float32)",
    )
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
        default=None,
        metavar="N",
        help="downloaded models to keep in memory, beside the included ones (default: 3)",
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
    if args.cluster is not None and (args.classifier is not None or args.preload or args.max_models is not None):
        parser.error(
            "--classifier, --preload and --max-models are for networks of this process, and not of a --cluster."
        )
    return args, parser.error


def main() -> None:
    args, refuse = arguments()
    process.prepare(args.host)
    from demo.launch import launch  # imports PyTorch

    launch(args, refuse)


if __name__ == "__main__":
    main()
