"""Start the demo: `python app.py`, or `python app.py --help` for the options."""

import argparse

from demo.errors import InputError
from demo.models import load, use_device
from demo.page import LAUNCH, build


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=None, help="address to listen on (default: this computer only)")
    parser.add_argument("--port", type=int, default=None, help="port (default: the first free one from 7860)")
    parser.add_argument("--share", action="store_true", help="also make a public link")
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda or mps")
    parser.add_argument("--root-path", default=None, help="path under which a proxy serves the demo")
    args = parser.parse_args()

    try:
        use_device(args.device)
    except InputError as error:
        parser.error(str(error))
    page = build()
    page.launch(
        server_name=args.host,
        server_port=args.port,
        share=args.share,
        root_path=args.root_path,
        prevent_thread_lock=True,
        **LAUNCH,
    )
    load("classification")  # while the first visitor's browser still opens the page
    page.block_thread()


if __name__ == "__main__":
    main()
