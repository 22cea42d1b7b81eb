"""What the documents point at is there, and the header of the Space fits what is installed."""

import importlib
import re
from pathlib import Path

import pytest
import yaml
from helpers import ROOT
from huggingface_hub import SpaceCard

from explainers import METHODS

DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "assets/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
SCRIPTS = [path for folder in ("evaluation", "training") for path in sorted((ROOT / folder).rglob("*.py"))]

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
COMMAND = re.compile(r"python -m ([\w.]+\w)")
PATH = re.compile(r"`((?:assets|demo|docs|evaluation|explainers|tests|training)/[\w./]*)`")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(document: Path) -> set[str]:
    """What GitHub makes of the headings: lower case, hyphens for spaces, no punctuation."""
    headings = HEADING.findall(FENCED.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_and_pictures_lead_somewhere(document):
    broken = set()
    for link in LINK.findall(FENCED.sub("", document.read_text())):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = document.parent / file if file else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.add(link)
    assert not broken


@pytest.mark.parametrize("document", [*DOCUMENTS, *SCRIPTS], ids=name)
def test_commands_and_paths_that_are_named_are_there(document):
    text = document.read_text()
    modules = {f"{module.replace('.', '/')}.py" for module in COMMAND.findall(text)}
    missing = {path for path in modules | set(PATH.findall(text)) if not (ROOT / path).exists()}
    assert not missing


def test_every_page_can_be_reached_from_the_readme():
    reached, pending = set(), [ROOT / "README.md"]
    while pending:
        document = pending.pop()
        reached.add(document)
        links = {link.partition("#")[0] for link in LINK.findall(document.read_text())}
        targets = {(document.parent / link).resolve() for link in links if link.endswith(".md")}
        pending += [target for target in targets - reached if target.is_file()]
    assert set(DOCUMENTS) <= reached


def test_the_readme_names_every_method():
    text = " ".join((ROOT / "README.md").read_text().split())
    assert not [key for key, method in METHODS.items() if f"**{method.title}** (`{key}`" not in text]


def test_the_header_of_the_space_fits_what_is_installed():
    header = SpaceCard.load(ROOT / "README.md", ignore_metadata_errors=False).data
    assert header.sdk == "gradio"
    assert f"gradio[mcp]=={header.sdk_version}" in (ROOT / "requirements.txt").read_text().split()
    assert (ROOT / header.app_file).is_file()
    assert len(header.short_description) <= 60  # the hub takes no more
    assert {header.colorFrom, header.colorTo} <= {
        "red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"
    }  # fmt: skip


def test_the_configurations_of_a_cluster_are_what_serve_reads():
    schema = pytest.importorskip("ray.serve.schema", reason="there is no Ray").ServeDeploySchema
    service, *_ = yaml.safe_load_all((ROOT / "docs" / "cluster" / "kuberay.yaml").read_text())
    for text in (service["spec"]["serveConfigV2"], (ROOT / "docs" / "cluster" / "serve.yaml").read_text()):
        (application,) = schema.model_validate(yaml.safe_load(text)).applications
        module, function = application.import_path.split(":")
        made = getattr(importlib.import_module(module), function)(application.args)
        assert [deployment.name for deployment in application.deployments] == [made._bound_deployment.name]
