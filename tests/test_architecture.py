"""The explainers are pure PyTorch. The arrows between the parts are checked by `lint-imports`: see pyproject.toml."""

import ast
import sys

import pytest
from helpers import ROOT

FILES = sorted((ROOT / "explainers").glob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_explainers_import_torch_and_nothing_else_of_others(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names.add(str(node.module).split(".")[0])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
    others = {"numpy", "scipy"} if path.name == "box.py" else set()
    assert names <= {*sys.stdlib_module_names, "explainers", "torch", *others}
