"""Measure a shipped VQA model on questions about images that it was not trained on.

    python -m evaluation.vqa QUESTIONS CACHE WITHOUT_IMAGE [--attention] [--diagram PICTURE]

QUESTIONS and CACHE as for `training.vqa`; the third is the JSON file that it wrote with `--without image`, for the
model with attention with `--attention` too. "people" is all that people asked about COCO. A question has one right
answer: the person's, the most common one of the people, or the most frequent in the captions (of several the first).
If ten people answered (vqa2), an answer counts min(n / 3, 1) if n people gave it, averaged over the ten subsets of
nine people, as in the VQA benchmarks. Answers that a model cannot give count as wrong. Gains are those over the model
without the image, and of the model with attention over the other one, question by question. Standard errors are
clustered by image, and for DAQUAR by block of neighbouring frames, as questions about one are not independent.

Then: the expected calibration error; how many answers change with a grey image, or another one of the same set; how
often the model doubts things that a question takes for granted, as `demo.tasks.vqa` does; how evenly attention is
spread; and how many open questions from captions have a right answer of one caption alone. `--diagram` draws how often
answers are right over their probability.
"""

import argparse
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor

from demo.models import coattention, vqa
from demo.models.coattention import CoAttention
from demo.models.resnet50 import GEOMETRY, cells, encoder, pooled
from demo.models.vqa import Fusion
from demo.tasks.vqa import SURELY
from training.vqa import (
    GROUPS,
    Example,
    all_logits,
    answer,
    blinded,
    credit,
    group,
    make_examples,
    read_features,
    read_pairs,
    read_run,
    require_complete,
)
from training.vqa_data import Pair

BINS = 15
ATTENDED = 600  # questions
WHETHER = r"(?:is there|(?:do|can) you see) an? "  # as in `training.vqa.SUGGESTED`


def clustered(values: Sequence[float] | np.ndarray, clusters: Sequence[object]) -> tuple[float, float]:
    """Return the mean of values and its standard error, where values of one cluster may depend on each other."""
    mean = float(np.mean(values))
    sums: dict[object, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value - mean
    count = len(sums)
    spread = sum(total**2 for total in sums.values()) * count / max(count - 1, 1)
    return mean, spread**0.5 / len(values)


class Exam(NamedTuple):
    """The answers of a model to Q questions.

    Attributes:
        model, features, examples, known: the model, its inputs, and the answers that it can give.
        answers: the most probable one to each question, "" if it knows no word of it.
        probability, no, right: of that answer, of "no", and how right it is; (Q,), 0 where it knows no word.
    """

    model: Fusion | CoAttention
    features: Tensor
    examples: list[Example]
    known: list[str]
    answers: list[str]
    probability: np.ndarray
    no: np.ndarray
    right: np.ndarray


def examine(card: Path, features: Tensor, starts: dict[str, int], pairs: list[Pair]) -> Exam:
    """Ask the model of a card all questions."""
    model, vocabulary, without = read_run(card)
    known = vocabulary.answers
    features, examples = blinded(features, make_examples(pairs, starts, vocabulary), without)
    require_complete(features, examples)
    answers = [""] * len(examples)
    probability, no = np.zeros(len(examples)), np.zeros(len(examples))
    for places, given in all_logits(model, features, examples):
        shares = given.softmax(dim=1)
        no[places] = shares[:, known.index("no")].numpy()
        most, indices = shares.max(dim=1)
        probability[places] = most.numpy()
        for place, index in zip(places, indices.tolist(), strict=True):
            answers[place] = known[index]
    right = np.array([credit(pair, given) for pair, given in zip(pairs, answers, strict=True)])
    return Exam(model, features, examples, known, answers, probability, no, right)


class Reliability(NamedTuple):
    """Of the questions whose answer has a probability in each of 15 bins of one width (Guo et al., 2017).

    How many there are, the mean probability and the share that is right; both nan where there is none.
    """

    number: np.ndarray
    probability: np.ndarray
    accuracy: np.ndarray

    def error(self) -> float:
        """Return the expected calibration error: the mean distance of both over the questions."""
        return float(np.nansum(self.number * np.abs(self.probability - self.accuracy)) / self.number.sum())


def reliability(certain: np.ndarray, right: np.ndarray) -> Reliability:
    """Sort questions into bins by the probability of the answer; `right` is how right it is, from 0 to 1."""
    bins = np.minimum((certain * BINS).astype(int), BINS - 1)
    number = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, weights=values, minlength=BINS) / number for values in (certain, right)]
    return Reliability(number, *means)


def draw_diagram(path: Path, found: dict[str, Reliability]) -> None:
    """Draw the accuracy in each bin over its mean probability; larger dots have more questions."""
    figure, axes = plt.subplots(1, len(found), figsize=(3.3 * len(found), 3.5), sharey=True, layout="constrained")
    for place, (name, one) in zip(axes, found.items(), strict=True):
        place.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        place.plot(one.probability, one.accuracy, color="tab:blue", linewidth=1)
        place.scatter(one.probability, one.accuracy, s=4 + 400 * one.number / one.number.sum(), color="tab:blue")
        place.set(title=name, xlabel="probability of the answer", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes[0].set_ylabel("accuracy")
    figure.savefig(path, dpi=110)


def print_accuracies(pairs: list[Pair], right: np.ndarray, others: dict[str, np.ndarray]) -> None:
    """Print the accuracy of each set and kind, that of other models, and the gain over these, in percent."""
    heads = "".join(f"{other:>20}{'gain':>14}" for other in others)
    print(f"{'percent':10} {'kind':13} number          model{heads}")
    scenes = [(pair.folder, pair.row if pair.scene is None else pair.scene) for pair in pairs]

    def shown(values: np.ndarray, places: list[int]) -> str:
        mean, error = clustered(100 * values[places], [scenes[i] for i in places])
        return f"{mean:.1f} ± {error:.1f}" if error else f"{mean:.1f}"  # all alike: of the error nothing is known

    names = {(name, kind) for pair in pairs for name in (pair.set, group(pair)) for kind in (pair.kind, "all")}
    for name, kind in sorted(names):
        places = [i for i, pair in enumerate(pairs) if name in (pair.set, group(pair)) and kind in (pair.kind, "all")]
        gains = "".join(f"{100 * o[places].mean():20.1f}{shown(right - o, places):>14}" for o in others.values())
        print(f"{name:10} {kind:13} {len(places):6} {shown(right, places):>14}{gains}")


def print_calibration(pairs: list[Pair], exam: Exam, diagram: Path | None) -> None:
    """Print how probable answers are, and how often they are right."""
    print("\nmean probability of the answer   accuracy   expected calibration error")
    found = {}
    for name in GROUPS:
        places = [i for i, pair in enumerate(pairs) if group(pair) == name]
        sure, right = exam.probability[places], exam.right[places]
        found[name] = reliability(sure, right)
        print(f"{name:23} {sure.mean():8.3f} {right.mean():10.3f} {found[name].error():28.3f}")
    if diagram:
        draw_diagram(diagram, found)


def print_changes(pairs: list[Pair], exam: Exam) -> None:
    """Print how many answers change when the image is grey (the mean colour), or another one of its group."""
    see = cells if isinstance(exam.model, CoAttention) else pooled
    with torch.inference_mode():
        grey = see(encoder("cpu"), torch.zeros(1, 3, GEOMETRY.side, GEOMETRY.side))
    generator = np.random.default_rng(0)
    print("\nanswers that change     with a grey image   with another image")
    for name in GROUPS:
        places = [i for i, pair in enumerate(pairs) if group(pair) == name]
        own = [exam.examples[i] for i in places]
        shown = sorted({example.picture for example in own})
        others = dict(zip(shown, np.roll(shown, int(generator.integers(1, len(shown)))).tolist(), strict=True))
        shares = []
        for features, changed in (
            (grey, [example._replace(picture=0) for example in own]),
            (exam.features, [example._replace(picture=others[example.picture]) for example in own]),
        ):
            after = answer(exam.model, features, changed, exam.known)
            shares.append(100 * np.mean([exam.answers[i] != other for i, other in zip(places, after, strict=True)]))
        print(f"{name:23} {shares[0]:17.1f} {shares[1]:25.1f}")


def print_doubts(pairs: list[Pair], exam: Exam) -> None:
    """Print for how many things, present or not, the model answers no as surely as the page requires."""
    print(f"\nthings that captions speak of, or not: said not to be there with at least {SURELY:.0%}")
    for right, where in (("yes", "there"), ("no", "not there")):
        places = [
            i
            for i, pair in enumerate(pairs)
            if (pair.set, pair.answer) == ("captions", right) and re.match(WHETHER, pair.question)
        ]
        print(f"{where:10} {len(places):6} {100 * np.mean(exam.no[places] >= SURELY):6.1f}")


@torch.inference_mode()
def print_attention(exam: Exam) -> None:
    """Print how evenly attention is spread over the cells, and how much it depends on the question."""
    assert isinstance(exam.model, CoAttention)
    weights: dict[int, list[np.ndarray]] = defaultdict(list)
    for i in np.random.default_rng(0).permutation(len(exam.examples))[:ATTENDED].tolist():
        picture, tokens, _ = exam.examples[i]
        if tokens:
            seen = exam.features[[picture]].float()
            _, found = exam.model.attend(seen, exam.model.read(torch.tensor([tokens])))
            weights[picture].append(found[0].numpy())
    every = np.array([one for found in weights.values() for one in found])
    entropies = -(every * np.log(every)).sum(axis=1) / np.log(every.shape[1])
    alike = [spearmanr(*found[:2]).statistic for found in weights.values() if len(found) > 1]
    print(f"\nattention for {len(every)} questions")
    print(f"largest weight, times what it were if all were alike {every.max(axis=1).mean() * every.shape[1]:6.2f}")
    print(f"entropy, percent of the largest possible {100 * entropies.mean():18.1f}")
    print(f"rank correlation of {len(alike)} pairs about one image {np.mean(alike):16.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("without_image", type=Path)
    parser.add_argument("--attention", action="store_true", help="the model with attention")
    parser.add_argument("--diagram", type=Path, help="where to draw the reliability diagram")
    args = parser.parse_args()

    pairs = read_pairs(args.questions)
    features, starts = read_features(args.cache, pairs, args.attention)
    pairs = [pair for pair in pairs if pair.split == "test"]
    exam = examine((coattention if args.attention else vqa).CARD, features, starts, pairs)
    others = {"without the image": examine(args.without_image, features, starts, pairs).right}
    if args.attention:
        means = torch.stack([places.float().mean(dim=0) for places in features])
        others["the first"] = examine(vqa.CARD, means, starts, pairs).right
    print_accuracies(pairs, exam.right, others)
    print_calibration(pairs, exam, args.diagram)
    print_changes(pairs, exam)
    print_doubts(pairs, exam)
    if args.attention:
        print_attention(exam)
    open_ended = [pair for pair in pairs if pair.set == "captions" and pair.kind != "yes/no"]
    alone = sum(pair.answers[pair.answer] == 1 for pair in open_ended)
    print(f"\n{alone} of {len(open_ended)} questions from captions with an answer of one caption alone")


if __name__ == "__main__":
    main()
