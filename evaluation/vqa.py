"""A shipped VQA model on questions about photographs that it was not trained on.

    python -m evaluation.vqa QUESTIONS CACHE WITHOUT_IMAGE [--attention] [--diagram PICTURE]

QUESTIONS and CACHE as for `training.vqa`; the third is the JSON file that it wrote with `--without image`. "people" is
all that people asked about COCO. A question has one right answer, the person's, the most common one of the people, or
the most frequent in the captions (of several the first); where ten answers are known (vqa2), one that n people gave
counts min(n / 3, 1). Answers that a model cannot give count as wrong. The gain is that over the model without the
image, question by question. The standard errors are those of photographs, as questions about one photograph are not
independent.

Then: the expected calibration error; how many answers change when the photograph is grey, or another one of the same
set; and of how many questions from captions, yes/no ones left out, the right answer is that of one caption alone.
`--diagram` draws how often answers are right beside how probable they were said to be.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from demo.models import coattention, vqa
from demo.models.coattention import CoAttention
from demo.models.resnet50 import FEATURES, GEOMETRY, cells, encoder, pooled
from demo.models.vqa import Fusion
from training.vqa import (
    GROUPS,
    Example,
    all_logits,
    answer,
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
GREY = (124, 117, 104)  # the mean of the encoder's training pictures


def clustered(values: Sequence[float] | np.ndarray, clusters: Sequence[object]) -> tuple[float, float]:
    """The mean of values and its standard error, where values of one cluster may depend on each other."""
    mean = float(np.mean(values))
    sums: dict[object, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums[cluster] = sums.get(cluster, 0.0) + value - mean
    count = len(sums)
    spread = sum(total**2 for total in sums.values()) * count / max(count - 1, 1)
    return mean, spread**0.5 / len(values)


def certainties(fusion: Fusion | CoAttention, features: Tensor, examples: list[Example]) -> np.ndarray:
    """The probability of the best answer to each question; 0 for one without a known word."""
    found = np.zeros(len(examples))
    for places, given in all_logits(fusion, features, examples, ""):
        found[places] = given.softmax(dim=1).amax(dim=1).cpu().numpy()
    return found


class Reliability(NamedTuple):
    """Of the questions whose answer has a probability in each of 15 bins of one width (Guo et al., 2017).

    How many there are, the mean probability and the share that is right; both nan where there is none.
    """

    number: np.ndarray
    probability: np.ndarray
    accuracy: np.ndarray

    def error(self) -> float:
        """The expected calibration error: the mean distance of both over the questions."""
        return float(np.nansum(self.number * np.abs(self.probability - self.accuracy)) / self.number.sum())


def reliability(certain: np.ndarray, right: np.ndarray) -> Reliability:
    """Of questions by the probability of the answer, and how right it is."""
    bins = np.minimum((certain * BINS).astype(int), BINS - 1)
    number = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, weights=values, minlength=BINS) / number for values in (certain, right)]
    return Reliability(number, *means)


def draw_diagram(path: Path, found: dict[str, Reliability]) -> None:
    """The accuracy in each bin over its mean probability; the larger a dot, the more questions."""
    figure, axes = plt.subplots(1, len(found), figsize=(3.3 * len(found), 3.5), sharey=True, layout="constrained")
    for place, (name, one) in zip(axes, found.items(), strict=True):
        place.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        place.plot(one.probability, one.accuracy, color="tab:blue", linewidth=1)
        place.scatter(one.probability, one.accuracy, s=4 + 400 * one.number / one.number.sum(), color="tab:blue")
        place.set(title=name, xlabel="probability of the answer", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes[0].set_ylabel("accuracy")
    figure.savefig(path, dpi=110)


def _without_image(card: Path, pairs: list[Pair]) -> np.ndarray:
    """How right the model is that sees no image."""
    fusion, vocabulary, without = read_run(card)
    if without != "image":
        raise SystemExit(f"{card} was not trained without the image.")
    blank = torch.ones(1, FEATURES)
    examples = [e._replace(picture=0) for e in make_examples(pairs, defaultdict(int), vocabulary)]
    said = answer(fusion, blank, examples, vocabulary.answers, without)
    return np.array([credit(pair, given) for pair, given in zip(pairs, said, strict=True)])


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
    pictures = [(pair.folder, pair.row) for pair in pairs]

    shipped = coattention if args.attention else vqa
    fusion, vocabulary, _ = read_run(shipped.CARD)
    examples = make_examples(pairs, starts, vocabulary)
    require_complete(features, examples)
    said = answer(fusion, features, examples, vocabulary.answers, "")
    right = np.array([credit(pair, given) for pair, given in zip(pairs, said, strict=True)])
    without = _without_image(args.without_image, pairs)
    print("percent    kind          questions         model   without image          gain")
    names = {(name, kind) for pair in pairs for name in (pair.set, group(pair)) for kind in (pair.kind, "all")}
    for name, kind in sorted(names):
        places = [i for i, pair in enumerate(pairs) if name in (pair.set, group(pair)) and kind in (pair.kind, "all")]
        groups = [pictures[i] for i in places]
        model, gain = (
            "{:5.1f} ± {:3.1f}".format(*(100 * number for number in clustered(values[places], groups)))
            for values in (right, right - without)
        )
        print(f"{name:10} {kind:13} {len(places):9}   {model} {100 * without[places].mean():15.1f} {gain:>13}")

    sure = certainties(fusion, features, examples)
    print("\nmean probability of the answer   accuracy   expected calibration error")
    reliabilities = {}
    for name in GROUPS:
        places = [i for i, pair in enumerate(pairs) if group(pair) == name]
        reliabilities[name] = reliability(sure[places], right[places])
        error = reliabilities[name].error()
        print(f"{name:23} {sure[places].mean():8.3f} {right[places].mean():10.3f} {error:28.3f}")
    if args.diagram:
        draw_diagram(args.diagram, reliabilities)

    see = cells if args.attention else pooled
    with torch.inference_mode():
        grey = see(encoder("cpu"), GEOMETRY.normalised(Image.new("RGB", (1, 1), GREY)))
    generator = np.random.default_rng(0)
    print("\nanswers that change     with a grey image   with another photograph")
    for name in GROUPS:
        places = [i for i, pair in enumerate(pairs) if group(pair) == name]
        own = [examples[i] for i in places]
        shown = sorted({example.picture for example in own})
        step = int(generator.integers(1, len(shown)))
        others = dict(zip(shown, np.roll(shown, step).tolist(), strict=True))
        shares = []
        for shown_instead, changed in (
            (grey, [example._replace(picture=0) for example in own]),
            (features, [example._replace(picture=others[example.picture]) for example in own]),
        ):
            after = answer(fusion, shown_instead, changed, vocabulary.answers, "")
            shares.append(100 * np.mean([said[i] != other for i, other in zip(places, after, strict=True)]))
        print(f"{name:23} {shares[0]:17.1f} {shares[1]:25.1f}")

    open_ended = [pair for pair in pairs if pair.set == "captions" and pair.kind != "yes/no"]
    alone = sum(pair.answers[pair.answer] == 1 for pair in open_ended)
    print(f"\n{alone} of {len(open_ended)} questions from captions with an answer of one caption alone")


if __name__ == "__main__":
    main()
