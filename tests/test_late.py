"""The columns that are filled late: what goes on, and what is given up."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import in_a_loop
from samples import see_small

from demo.engine import Engine
from demo.job import Job
from demo.models import Library
from demo.query import Explain, image_file
from demo.tabs import late
from demo.tabs.late import Late, renewed
from explainers import Patches

PHOTO = image_file((Path(__file__).parents[1] / "assets" / "examples" / "zebra_elephant.jpg").read_bytes())
QUERY = Explain(PHOTO, "classification", "ResNet-50 (ImageNet)", targets=("zebra",), layers=("layer4",))
FINE = Patches(stride=1 / 64)  # 49 * 49 passes


@pytest.fixture(scope="module")
def engine() -> Engine:
    engine = see_small(Engine(Library()), "classification")
    engine.answer(QUERY)
    return engine


async def pending(columns: Late, key: str) -> Job:
    """What the engine answers of a column that has begun."""
    column = columns._columns[key]
    while not column.pending:
        await asyncio.sleep(0.01)
    return column.pending[0]


async def left(asked: Job) -> None:
    """Wait until nobody waits for a query."""
    async with asyncio.timeout(10):
        while asked.clients:
            await asyncio.sleep(0.01)


def test_what_nobody_asks_after_is_given_up(engine, monkeypatch):
    monkeypatch.setattr(late, "LEFT_SECONDS", 1.0)
    monkeypatch.setattr(late, "NEWS_SECONDS", 0.1)

    async def visit():
        columns = Late(engine, [QUERY], ["occlusion"], FINE)
        columns.want(1, ["occlusion"])
        asked = await pending(columns, "occlusion")
        while not (said := (await columns.news([]))["running"]["occlusion"]):
            pass
        assert "of 2,401 forward passes" in said
        await left(asked)
        return await columns.news([])

    # The page can start it again.
    assert in_a_loop(visit()) | {"time": 0} == {"time": 0, "columns": {}, "running": {}}


def test_the_progress_counts_the_passes_that_the_price_names(engine):
    """Those of both rows, although the second one has not begun."""
    queries = [QUERY, replace(QUERY, targets=("tusker",))]
    rows = [engine.answer(query).rows[0] for query in queries]

    async def visit():
        columns = Late(engine, queries, ["occlusion"], FINE)
        price = columns.prices(rows)["occlusion"]
        columns.want(1, ["occlusion"])
        while not (said := (await columns.news([]))["running"]["occlusion"]):
            pass
        columns.leave()
        return price, said

    price, said = in_a_loop(visit())
    assert price.startswith("4,802 forward passes, about ")
    assert said.endswith(" of 4,802 forward passes")


def test_a_request_that_was_overtaken_neither_starts_nor_stops(engine):
    async def visit():
        columns = Late(engine, [QUERY], ["occlusion"], FINE)
        columns.want(2, ["occlusion"])
        asked = await pending(columns, "occlusion")
        columns.want(1, [])
        assert asked.clients
        columns.want(4, [])
        await left(asked)
        columns.want(3, ["occlusion"])
        assert columns.begun() == []

    in_a_loop(visit())


def test_a_column_goes_on_when_others_come_and_go(engine):
    async def visit():
        first = Late(engine, [QUERY], ["occlusion", "gradient"], FINE)
        first.want(1, ["occlusion"])
        asked = await pending(first, "occlusion")
        second = renewed(first, Late(engine, [QUERY], ["occlusion", "cam"], FINE))
        assert second is not first
        assert (await pending(second, "occlusion")) is asked
        assert asked.clients
        same = renewed(second, Late(engine, [QUERY], ["occlusion", "cam"], FINE))
        assert same is second
        coarser = renewed(second, Late(engine, [QUERY], ["occlusion", "cam"], Patches()))
        assert coarser is not second
        await left(asked)
        coarser.want(1, [])
        while not (news := await coarser.news([]))["columns"]:
            pass
        assert news["columns"]["cam"]["pictures"][0]["kind"] == "map"
        other = renewed(coarser, Late(engine, [replace(QUERY, targets=("tusker",))], ["cam"], Patches()))
        assert other.filled([engine.answer(QUERY).rows[0]])[0].pictures.keys() == set(QUERY.methods)

    in_a_loop(visit())


def test_a_column_that_fails_says_so_and_leaves_the_others(engine):
    async def visit():
        columns = Late(engine, [replace(QUERY, targets=(object(),)), QUERY], ["gradient"], FINE)
        columns.want(1, [])
        while not (news := await columns.news([]))["columns"]:
            pass
        return news["columns"]["gradient"]

    found = in_a_loop(visit())
    assert found["pictures"][0] is None
    assert found["notes"][0]
    assert found["pictures"][1]["kind"] == "gradient"
