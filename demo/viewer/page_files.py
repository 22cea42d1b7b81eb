"""The page's files: its script, ES modules of which `main.js` is the first, and the small pictures of the examples."""

import base64
import hashlib
import json
import re
from pathlib import Path

from demo import examples
from demo.rendering import COLOURS, SIGNED, Colours, colour_table

# The first is what the page starts with: it stands out from most images where it covers them in part.
COLOUR_NAMES: dict[Colours, str] = {
    "inferno": "even, safe for colour-blind readers (inferno)",
    "viridis": "even, safe for colour-blind readers (viridis)",
    "jet": "as in the paper (jet)",
}
FILES = {path.name: path.read_bytes() for path in sorted((Path(__file__).parent / "static").glob("*.js"))}
FILES[examples.THUMBNAILS] = examples.thumbnails()
VERSION = hashlib.sha256(repr(FILES).encode()).hexdigest()[:12]


FOLDER = f"why/{VERSION}"  # of their addresses, relative to the page
# A relative import would be one of Gradio's own files.
_MAIN = f'import(new URL("{FOLDER}/main.js", document.baseURI))'


def _needed(name: str) -> set[str]:
    """A module, and those that it imports before it runs."""
    imported = re.findall(r'from "\./(.*)";', FILES[name].decode())
    return {name}.union(*map(_needed, imported))


def head() -> str:
    """The elements of the page's head that have the browser fetch the script, and the colours that it draws with."""
    tables = {colours: colour_table(colours) for colours in COLOURS} | {"signed": colour_table(SIGNED)}
    encoded = {name: base64.b64encode(table.tobytes()).decode() for name, table in tables.items()}
    constants = f"const COLOUR_TABLES = {json.dumps(encoded)}, COLOUR_NAMES = {json.dumps(COLOUR_NAMES)};"
    # All at once, as each is known only when the one that imports it has been read.
    preloads = "".join(f'<link rel="modulepreload" href="{FOLDER}/{name}">' for name in sorted(_needed("main.js")))
    return f"<script>{constants}</script>{preloads}"


def on_load(function: str, *arguments: object) -> str:
    """A component's `js_on_load`: a function of `main.js` gets its element, what Gradio offers, and arguments."""
    given = "".join(f", {json.dumps(argument)}" for argument in arguments)
    return f"{_MAIN}.then((main) => main.{function}(element, {{ trigger, props, watch, upload }}{given}))"


def on_event(function: str) -> str:
    """An event's `js`: a function of `main.js`."""
    return f"async (...given) => (await {_MAIN}).{function}(...given)"
