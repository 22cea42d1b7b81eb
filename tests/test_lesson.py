"""The tab for teaching: the steps to a map, and the experiments about whether to trust it."""

import re
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import EXAMPLES, answered, name_another, says, take, violations
from playwright.sync_api import Page, expect
from samples import DETAILS, see_small
from skimage.metrics import structural_similarity as skimage_similarity

from demo.engine import Engine
from demo.likeness import Likeness, likenesses, rank_correlation, strengths, structural_similarity, verdict
from demo.models import Library
from demo.query import PANELS, Adversarial, Explain, Predict, Randomised, Row, image_file
from demo.tabs.trust import _to_be_said
from explainers import Steps, steps
from explainers.gradcam import LayerMaps

ZEBRA = image_file((EXAMPLES / "zebra_elephant.jpg").read_bytes())


# ---- The steps, worked by hand ----


def found(features: torch.Tensor, gradients: torch.Tensor) -> LayerMaps:
    weights = gradients.mean(dim=(2, 3))
    signed = torch.einsum("tk,bkhw->thw", weights, features)
    return LayerMaps(torch.zeros(len(gradients)), features, gradients, weights, signed, signed.relu())


def test_the_steps_of_three_maps_of_two_cells():
    features = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]], [[1.0, 1.0]]]])
    # Two scores; their weights are 1, 0, 0 and 1, -3, 2.
    gradients = torch.tensor(
        [[[[1.0, 1.0]], [[1.0, -1.0]], [[0.0, 0.0]]], [[[0.0, 2.0]], [[-3.0, -3.0]], [[1.0, 3.0]]]]
    )
    seen = steps(found(features, gradients), 1)
    assert seen.order.tolist() == [1, 2, 0]
    assert seen.weights.tolist() == [-3, 2, 1]
    assert seen.features.tolist() == [[[0, 2]], [[1, 1]], [[1, 0]]]
    assert seen.gradients.tolist() == [[[-3, -3]], [[1, 3]], [[0, 2]]]
    assert seen.counts.tolist() == [1, 2, 3]
    assert seen.sums.tolist() == [[[0, -6]], [[2, -4]], [[3, -4]]]
    # What is missing of 3, -4, whose square is 25: 3, 2 and 1, 0.
    assert seen.shares.tolist() == pytest.approx([1 - 13 / 25, 1 - 1 / 25, 1])


def test_many_maps_are_added_in_growing_steps_to_the_map_itself():
    generator = torch.Generator().manual_seed(0)
    features, gradients = (torch.randn(1, 50, 4, 3, generator=generator) for _ in range(2))
    maps = found(features, gradients)
    seen = steps(maps, 0)
    counts = seen.counts.tolist()
    assert counts == [*range(1, 13), 15, 18, 22, 27, 33, 41, 50]
    assert torch.allclose(seen.sums[-1], maps.signed[0], atol=1e-6)
    assert len(seen.order) == len(seen.features) == 12
    for count, total in zip(counts, seen.sums, strict=True):
        some = maps.weights[0].abs().topk(count).indices
        assert torch.allclose(total, torch.einsum("k,khw->hw", maps.weights[0, some], features[0, some]), atol=1e-5)
    assert seen.shares[-1] == 1


def test_a_map_of_zeros_is_all_there_from_the_first():
    seen = steps(found(torch.zeros(1, 2, 2, 2), torch.ones(1, 2, 2, 2)), 0)
    assert seen.shares.tolist() == [1, 1]


# ---- How alike pictures are ----


def test_ranks_count_and_values_do_not():
    cells = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert rank_correlation(cells, np.exp(cells)) == pytest.approx(1)
    assert rank_correlation(cells, -cells) == pytest.approx(-1)
    # Ranks 1, 2, 3, 4 and 2, 1, 4, 3: 1 - 6 * 4 / (4 * 15).
    assert rank_correlation(cells, np.array([[2.0, 1.0], [4.0, 3.0]])) == pytest.approx(0.6)
    assert rank_correlation(cells, np.zeros((2, 2))) is None


def test_structural_similarity_is_that_of_scikit_image():
    generator = np.random.default_rng(0)
    for shape in ((7, 7), (20, 31)):
        one, noise = generator.random(shape), generator.random(shape)
        for other in (one, noise, (one + noise) / 2, 1 - one, np.zeros(shape)):
            assert structural_similarity(one, other) == pytest.approx(skimage_similarity(one, other, data_range=1))


def test_of_gradients_the_absolute_values_are_compared_over_all_colours():
    assert strengths(np.array([[[1.0]], [[-2.0]], [[3.0]]])).tolist() == [[6]]
    generator = np.random.default_rng(0)
    gradient, cells = generator.normal(size=(3, 16, 16)), generator.random((4, 4))
    trained = Row({"guided_backprop": gradient, "gradcam": cells}, DETAILS)
    other = Row({"guided_backprop": -gradient[::-1], "gradcam": np.zeros((4, 4))}, DETAILS)
    assert likenesses(trained, trained) == {key: (pytest.approx(1), pytest.approx(1)) for key in trained.pictures}
    alike = likenesses(other, trained)
    assert alike["guided_backprop"] == (pytest.approx(1), pytest.approx(1))
    assert alike["gradcam"].ranks is None
    assert alike["gradcam"].structure < 0.5


def test_the_verdict_is_of_the_numbers():
    said = verdict(
        [
            {
                "guided_backprop": Likeness(guided, 1),
                "gradcam": Likeness(cells, 1),
                "guided_gradcam": Likeness(both, 1),
            }
            for guided, cells, both in ((1.0, 1.0, 1.0), (0.9, 0.4, 0.8), (0.7, 0.6, None))
        ]
    )
    assert "is 0.90 for Guided Backprop, 0.40 for Grad-CAM, 0.80 for Guided Grad-CAM." in said
    assert "Guided Grad-CAM changes most (0.40 on average) and Guided Backprop least (0.80)" in said
    assert said.endswith("that of Guided Grad-CAM depends most on what the network has learnt.")
    crossing = [
        {"guided_backprop": Likeness(guided, 1), "gradcam": Likeness(cells, 1)}
        for guided, cells in ((1.0, 1.0), (1.0, -0.1), (0.4, 0.7))
    ]
    assert "Grad-CAM changes most (0.30 on average) and Guided Backprop least (0.70)." in verdict(crossing)
    assert "With all layers random Guided Backprop changes most (0.40, and 0.70 for Grad-CAM)" in verdict(crossing)
    nothing = {"gradcam": Likeness(None, 1), "guided_backprop": Likeness(1.0, 1)}
    assert verdict([nothing, nothing]).startswith("Grad-CAM: the trained network's picture is empty")


# ---- Nobody else notices ----


def test_the_experiments_of_one_visitor_change_nobody_elses_answers():
    engine = see_small(Engine(Library()), "classification", "vqa")
    asked = Explain(ZEBRA, "classification", targets=("zebra", ""))
    others = [asked, Explain(ZEBRA, "vqa", text="What is it?", targets=("",))]

    def results() -> list:
        # Not kept, so that each is computed.
        found = [engine.ask(query, cache=False).result.result() for query in others]
        pictures = [picture for result in found for row in result.rows for picture in row.pictures.values()]
        return [[result.predictions for result in found], [picture.tobytes() for picture in pictures]]

    before = results()
    alone = Predict(ZEBRA, "classification")
    known = engine.answer(alone).predictions

    def experiments() -> None:
        for query in others:
            engine.answer(replace(query, methods=PANELS, weights=Randomised(2)))
        engine.answer(Adversarial(ZEBRA, "classification", target="vizsla"))

    visitor = threading.Thread(target=experiments)
    visitor.start()
    times = 0
    while visitor.is_alive() or not times:
        assert results() == before
        times += 1
    visitor.join()
    assert results() == before
    assert engine.answer(alone).predictions == known


@pytest.mark.parametrize(
    ("target", "names", "proposed"),
    [
        ("yes", ("no", "pizza", "yes", "kuwait airways"), "no"),
        ("green", ("green", "pizza", "kuwait airways"), "pizza"),
        ("zebra", ("zebra", "vizsla"), "vizsla"),
        ("pizza", ("pizza", "pasta"), "pasta"),
    ],
)
def test_what_the_noise_is_proposed_to_make_the_model_predict(target, names, proposed):
    assert _to_be_said(Row({}, replace(DETAILS, target=target)), names)["amiss"] == proposed


# ---- In the page ----


@pytest.fixture(scope="module")
def zebra() -> Steps:
    """The numbers of the lesson about the page's first example."""
    (row,) = Engine(Library()).answer(Explain(ZEBRA, "classification", targets=("zebra",), steps=True)).rows
    return Steps(**{name: torch.from_numpy(array) for name, array in row.steps.items()})


def opened(page: Page, name: str = "zebra") -> Page:
    """Turn to the lesson about a class, at its first step."""
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#lesson .sentence")).to_contain_text(f"{name}, ")
    expect(page.locator("#lesson-targets")).to_contain_text(name)
    expect(page.locator("#lesson-targets .pick").last).to_contain_text("?”: ")
    jump(page, "1 Feature maps")
    step(page, 1, "What did the layer find, and where?")
    return page


def jump(page: Page, name: str) -> None:
    page.locator("#lesson").get_by_role("button", name=name).click()


def step(page: Page, number: int, question: str) -> None:
    expect(page.locator("#lesson h3")).to_have_text(f"{number}. {question}")
    expect(page.locator("#lesson [aria-current=step]")).to_contain_text(str(number))


def pictures(page: Page) -> list[str]:
    return page.locator("#lesson .shown canvas").evaluate_all("found => found.map((canvas) => canvas.toDataURL())")


def test_six_steps_by_button_list_and_keyboard_without_a_request_and_a_button_to_the_experiments(page):
    opened(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    expect(page.locator("#lesson .maps button")).to_have_count(12)
    page.get_by_role("button", name="Next").click()
    step(page, 2, "How much does each map count?")
    jump(page, "5 Over the photograph")
    step(page, 5, "Stretch the cells over the photograph")
    region = page.get_by_role("region", name="How Grad-CAM works")
    region.focus()
    for key, number in (("PageDown", 6), ("PageDown", 6), ("ArrowLeft", 5), ("PageUp", 4), ("ArrowRight", 5)):
        page.keyboard.press(key)
        expect(page.locator("#lesson [aria-current=step]")).to_contain_text(str(number))
    assert len(pictures(page)) == 3
    assert not [url for url in asked if "/queue/" in url or "/file=" in url]
    page.get_by_role("button", name="Can it be trusted?").click()
    heading = page.get_by_role("heading", name="Can it be trusted?")
    expect(heading).to_be_in_viewport()
    expect(heading).to_be_focused()


def test_the_mean_of_a_maps_gradient_is_its_weight(page, zebra):
    opened(page)
    page.locator("#lesson .maps button").nth(4).click()
    step(page, 2, "How much does each map count?")
    name = f"Feature map {zebra.order[4] + 1}"
    expect(page.locator("#lesson .shown figcaption").first).to_have_text(name)
    expect(page.locator("#lesson .result")).to_have_text(f"+{zebra.gradients[4].mean().item():.2g}")
    expect(page.locator("#lesson .words")).to_contain_text("all cells have the same gradient")
    page.locator("#lesson .maps button").nth(4).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#lesson .shown figcaption").first).to_have_text(f"Feature map {zebra.order[5] + 1}")
    expect(page.locator("#lesson .maps [aria-pressed=true]")).to_be_focused()
    page.locator("#lesson-layers .pick", has_text="layer3").click()
    expect(page.locator("#lesson .sentence")).to_contain_text("16 × 16 cells of layer3")
    expect(page.locator("#lesson .words")).to_contain_text("gradients differ")
    page.locator("#lesson-layers .pick", has_text="layer4").click()
    expect(page.locator("#lesson .sentence")).to_contain_text("8 × 8 cells of layer4")


def test_the_last_sum_is_the_final_map(page, zebra):
    opened(page)
    jump(page, "3 Sum")
    slider = page.get_by_label("How many maps are added up")
    slider.fill("0")
    running, final = pictures(page)
    assert running != final
    expect(page.locator("#lesson .share b")).to_have_text(f"{zebra.shares[0]:.0%}")
    slider.focus()
    page.keyboard.press("ArrowRight")  # moves the slider, and not the steps
    step(page, 3, "Add the maps, each times its weight")
    expect(page.locator("#lesson .share b")).to_have_text(f"{zebra.shares[1]:.0%}")
    page.keyboard.press("End")
    expect(page.locator("#lesson .share b")).to_have_text("100%")
    running, final = pictures(page)
    assert running == final
    share = "document.querySelector('#lesson .share b').textContent"
    begun = page.get_by_role("button", name="Play").evaluate(f"button => (button.click(), {share})")
    assert begun == f"{zebra.shares[0]:.0%}"  # from the beginning
    expect(page.locator("#lesson .share b")).not_to_have_text(begun)
    page.get_by_role("button", name="Pause").click()
    page.keyboard.press("PageDown")
    step(page, 4, "Keep only what speaks for it")


def test_evidence_that_is_all_against_it_leaves_an_empty_map_and_is_said(page):
    take(page, "flower")
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    name_another(page, "manhole cover")
    says(page, "no positive evidence for manhole cover")
    opened(page, "manhole cover")
    jump(page, "4 ReLU")
    expect(page.locator("#lesson .words")).to_contain_text("Not one cell is above zero")
    before, after = pictures(page)
    assert before != after
    for name in ("5 Over", "6 Fine"):
        jump(page, name)
        assert len(pictures(page)) == 3


def test_what_is_explained_in_the_tab_of_a_task_is_taught_with_and_all_three_can_be(page):
    page.locator("#classification-top .pick").nth(1).click()
    expect(page.locator(".panel-row:visible")).to_have_count(1)
    opened(page, "African elephant")
    page.locator("#lesson-targets .pick", has_text="caption").click()
    expect(page.locator("#lesson .sentence")).to_contain_text("log-probability")
    expect(page.locator("#noising")).to_contain_text("Noise is made for a class or an answer")
    page.locator("#lesson-targets .pick", has_text="What animal is this?").click()
    expect(page.locator("#lesson .sentence")).to_contain_text("as the answer to “What animal is this?”")
    expect(page.locator("#lesson-targets [aria-pressed=true]")).to_contain_text("What animal is this?")
    take(page, "dog")
    page.get_by_role("tab", name="Captioning").click()
    says(page, "Grad-CAM in the")
    page.get_by_role("tab", name="How it works").click()  # nobody chose that caption
    expect(page.locator("#lesson .sentence")).to_contain_text("German shepherd, ")
    with answered(page):
        page.get_by_role("tab", name="Captioning").click()
    page.locator("#words .pick").nth(1).click()
    says(page, "word 1 of")
    page.get_by_role("tab", name="How it works").click()
    expect(page.locator("#lesson .sentence")).to_contain_text("log-probability")
    take(page, "cat")
    expect(page.locator("#lesson .sentence")).to_contain_text("Egyptian cat, ")
    page.get_by_label("Remove Image").click()
    expect(page.locator("#lesson .note")).to_have_text("There is no image. Choose one first.")
    expect(page.get_by_role("button", name="Add noise")).to_have_count(0)


def assert_table(page: Page) -> None:
    """That the numbers with random layers are there, and what is said is what they say."""
    rows = page.locator("#randomising tbody tr")
    expect(rows.first).to_contain_text("none: as trained")
    expect(rows).to_have_count(7)
    expect(rows.first.locator("td b")).to_have_text(["1.00"] * 3)
    heads = rows.locator("th b").all_inner_texts()
    assert heads == ["none: as trained", "+ fc", "+ layer4", "+ layer3", "+ layer2", "+ layer1", "+ conv1"]
    said = page.locator("#randomising .verdict")
    for place, title in enumerate(("Guided Backprop", "Grad-CAM", "Guided Grad-CAM")):
        ranks = rows.locator(f"td:nth-of-type({place + 1}) b").all_inner_texts()
        expect(said).to_contain_text(f"{ranks[1]} for {title}")
    expect(said).to_contain_text("that of Grad-CAM depends most on what the network has learnt")


def assert_noise(page: Page) -> None:
    """That the noise is as small as is said, and changes what the network says."""
    said = page.locator("#noising .verdict")
    expect(said).to_contain_text("The network now says vizsla")
    levels = int(re.search(r"more than (\d+) of 255", said.inner_text())[1])
    assert 1 <= levels <= 8
    before, after = (page.locator("#noising .bars").nth(side).locator("li").first for side in range(2))
    expect(before).to_contain_text("zebra")
    expect(after).to_contain_text("vizsla")
    assert re.search(r"rank correlation is -?[01]\.\d\d", said.inner_text())
    pixels = page.locator("#noising canvas").evaluate_all(
        """found => [0, 2].map((place) => [...found[place].getContext("2d").getImageData(0, 0, 256, 256).data])"""
    )
    difference = np.abs(np.subtract(*pixels))
    assert difference.max() == levels
    assert (difference > 0).mean() > 0.3


def test_random_layers_fill_a_table_and_noise_that_nobody_sees_changes_what_is_said(page):
    opened(page)
    expect(page.locator("#randomising")).to_contain_text("7 explanations, about")
    page.get_by_role("button", name="Make its layers random").click()
    wanted = page.get_by_label("What should it say?")
    expect(wanted).to_have_value("vizsla")
    wanted.fill("visla")
    wanted.press("Enter")
    expect(page.locator("#noising .note")).to_contain_text("vizsla")  # the nearest that it knows
    wanted.fill("vizsla")
    page.get_by_role("button", name="Add noise").click()
    assert_noise(page)
    assert_table(page)
    for theme, steps_seen in (("light", 6), ("dark", 2)):  # as `?__theme=` sets it
        page.evaluate("theme => document.body.classList.toggle('dark', theme === 'dark')", theme)
        jump(page, "1 Feature maps")
        for number in range(1, steps_seen + 1):
            expect(page.locator("#lesson [aria-current=step]")).to_contain_text(str(number))
            looked_at = {"exclude": ["footer"]} if number == 1 else {"include": ["#lesson"]}
            found = violations(page, looked_at)
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []
            page.get_by_role("region", name="How Grad-CAM works").press("PageDown")
    page.evaluate("document.body.classList.remove('dark')")
    # The page says of the photograph what it said before.
    page.get_by_role("tab", name="Classification").click()
    expect(page.locator("#classification-top .pick").first).to_contain_text("zebra")
