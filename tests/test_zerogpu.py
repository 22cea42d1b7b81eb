"""A Space with ZeroGPU, as far as it can be had without one."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

from conftest import ROOT, assert_same
from test_engine import QUERIES, photo

from demo.engine import Engine
from demo.models import Library
from demo.query import Query


def test_queries_are_answered_in_processes_that_are_forked_for_them(tmp_path):
    asked = [
        *QUERIES,
        Query(photo("dog"), "classification", targets=("",), methods=("occlusion",)),
        replace(QUERIES[0], weights="randomised 2"),
    ]
    noised, unknown = replace(QUERIES[4], noise="tabby"), replace(QUERIES[0], targets=("zebr",))
    queries, results = tmp_path / "queries", tmp_path / "results"
    queries.write_bytes(pickle.dumps([*asked, noised, unknown]))
    subprocess.run(
        [sys.executable, ROOT / "tests" / "lent.py", queries, results],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        timeout=300,
    )
    *found, surprised, refused = pickle.loads(results.read_bytes())
    assert next(iter(surprised.said)) == "tabby"
    assert "Did you mean zebra" in refused
    engine = Engine(Library())
    for result, query in zip(found, asked, strict=True):
        assert_same(result, engine.answer(query))
