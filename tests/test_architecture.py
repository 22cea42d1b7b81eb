"""Arrows point one way: app -> demo.tabs -> demo.engine -> demo.tasks -> demo.models -> explainers."""

import ast
from pathlib import Path

import pytest
from helpers import ROOT

# What a part may import of the project; the first matching prefix holds.
ALLOWED = {
    "explainers": ("explainers",),
    "demo/__init__.py": (),
    "demo/errors.py": (),
    "demo/threads.py": (),
    "demo/line.py": (),
    "demo/records.py": (),
    "demo/service.py": ("demo.engine", "demo.images", "demo.errors"),
    "demo/images.py": ("demo.errors", "demo.image_colours", "demo.image_files"),
    "demo/image_colours.py": (),
    "demo/image_files.py": ("demo.errors",),
    "demo/rooms.py": ("demo.errors",),
    "demo/query.py": ("explainers",),
    "demo/studies.py": ("demo.query", "demo.rooms", "explainers"),
    "demo/models": ("demo.models", "demo.threads", "demo.errors", "explainers"),
    "demo/tasks": ("demo.tasks", "demo.models", "demo.query", "demo.errors", "explainers"),
    "demo/looks.py": ("demo.models", "demo.query", "demo.errors", "explainers"),
    "demo/answers.py": (
        "demo.looks",
        "demo.tasks",
        "demo.models",
        "demo.query",
        "demo.images",
        "demo.errors",
        "explainers",
    ),
    "demo/zerogpu.py": ("demo.answers", "demo.models", "demo.query", "demo.errors", "explainers"),
    "demo/networks.py": (
        "demo.IS_LENT_A_GPU",
        "demo.zerogpu",
        "demo.line",
        "demo.answers",
        "demo.models",
        "demo.query",
        "demo.threads",
        "demo.errors",
        "explainers",
    ),
    "demo/engine.py": (
        "demo.networks",
        "demo.records",
        "demo.models",
        "demo.query",
        "demo.images",
        "demo.errors",
        "explainers",
    ),
    "demo/cluster": (
        "demo.cluster",
        "demo.answers",
        "demo.engine",
        "demo.networks",
        "demo.models",
        "demo.query",
        "demo.errors",
    ),
    "demo/rendering.py": ("demo.query", "explainers"),
    "demo/likeness.py": ("demo.query", "explainers"),
    "demo/files.py": ("demo.rendering", "demo.images", "demo.query"),
    "demo/viewer": ("demo.rendering", "demo.query", "explainers"),
    "demo/tabs": (
        "demo.give_back_memory",
        "demo.tabs",
        "demo.engine",
        "demo.networks",
        "demo.tasks",
        "demo.models",
        "demo.files",
        "demo.likeness",
        "demo.viewer",
        "demo.rendering",
        "demo.images",
        "demo.query",
        "demo.rooms",
        "demo.studies",
        "demo.errors",
        "explainers",
    ),
    "demo/page.py": ("demo.tabs", "demo.viewer", "demo.engine", "demo.images", "demo.errors"),
    "app.py": ("demo",),
}
OURS = ("app", "assets", "demo", "evaluation", "explainers", "tests", "training")
FILES = [path.relative_to(ROOT) for part in ("explainers", "demo") for path in (ROOT / part).rglob("*.py")]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("path", [*FILES, Path("app.py")], ids=str)
def test_arrows_point_one_way(path):
    allowed = next(allowed for prefix, allowed in ALLOWED.items() if path.as_posix().startswith(prefix))
    ours = {name for name in imported(path) if name.split(".")[0] in OURS}
    wrong = {name for name in ours if not any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)}
    assert not wrong


@pytest.mark.parametrize("path", [path for path in FILES if path.parts[0] == "explainers"], ids=str)
def test_the_explainers_import_torch_and_nothing_else_of_others(path):
    others = ("numpy", "scipy") if path.name == "box.py" else ()
    assert {name.split(".")[0] for name in imported(path)} <= {
        "collections", "contextlib", "dataclasses", "explainers", "re", "threading", "torch", "typing", *others
    }  # fmt: skip


# `spaces` tells with an error of Gradio's that no GPU is lent.
WIDGETS = ("demo/tabs", "demo/page.py", "app.py", "demo/zerogpu.py")


@pytest.mark.parametrize("path", [path for path in FILES if not path.as_posix().startswith(WIDGETS)], ids=str)
def test_only_the_page_knows_widgets(path):
    assert "gradio" not in {name.split(".")[0] for name in imported(path)}
