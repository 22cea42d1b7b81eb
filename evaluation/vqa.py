"""The shipped VQA model on questions about photographs that it was not trained on.

    python -m evaluation.vqa QUESTIONS CACHE QUESTION_ONLY IMAGE_ONLY

QUESTIONS and CACHE as for `training.vqa`; the other two are folders that it wrote with `--without image` and
`--without question`. A question from captions or of DAQUAR has one right answer, that of most captions or the
person's; for VQA v2 an answer that n of ten people gave counts min(n / 3, 1). Answers that a model cannot give count
as wrong. Then: how many answers change when the photograph is grey, or another one of the same set.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from demo.models.classification import normalised
from demo.models.resnet50 import MEAN, SIDE, STD, encoder, pooled
from demo.models.vqa import WEIGHTS
from training.vqa import accuracies, answer, make_examples, read_features, read_pairs, read_run

GREY = (124, 117, 104)  # the mean of the encoder's training pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("question_only", type=Path)
    parser.add_argument("image_only", type=Path)
    args = parser.parse_args()

    pairs = read_pairs(args.questions)
    features, starts = read_features(args.cache, pairs)
    pairs = [pair for pair in pairs if pair.split == "test"]

    said = {}
    for name, folder in (("model", WEIGHTS.parent), ("question", args.question_only), ("image", args.image_only)):
        fusion, vocabulary, without = read_run(folder)
        examples = make_examples(pairs, starts, vocabulary)
        said[name] = answer(fusion, features, examples, vocabulary.answers, without)
    tables = {name: accuracies(pairs, answers) for name, answers in said.items()}
    print(f"{'':10} {'':13} questions   model        question only  image only")
    for key in sorted(tables["model"]):
        accuracy, count = tables["model"][key]
        error = 100 * (accuracy * (1 - accuracy) / count) ** 0.5
        others = "".join(f"{100 * tables[name][key][0]:11.1f}" for name in ("question", "image"))
        print(f"{key[0]:10} {key[1]:13} {count:9} {100 * accuracy:7.1f} ± {error:3.1f} {others}")

    fusion, vocabulary, without = read_run(WEIGHTS.parent)
    examples = make_examples(pairs, starts, vocabulary)
    with torch.inference_mode():
        grey = pooled(encoder("cpu"), normalised(Image.new("RGB", (SIDE, SIDE), GREY), SIDE, MEAN, STD))
    blank = torch.cat([features, grey.half()[:, None].expand(-1, 2, -1)])
    generator = np.random.default_rng(0)
    print("\nanswers that change     with a grey image   with another photograph")
    for name in dict.fromkeys(pair.set for pair in pairs):
        places = [i for i, pair in enumerate(pairs) if pair.set == name]
        own = [examples[i] for i in places]
        pictures = sorted({example.picture for example in own})
        step = int(generator.integers(1, len(pictures)))
        others = dict(zip(pictures, np.roll(pictures, step).tolist(), strict=True))
        before = answer(fusion, features, own, vocabulary.answers, without)
        shares = []
        for changed in (
            [example._replace(picture=len(features)) for example in own],
            [example._replace(picture=others[example.picture]) for example in own],
        ):
            after = answer(fusion, blank, changed, vocabulary.answers, without)
            shares.append(100 * np.mean([a != b for a, b in zip(before, after, strict=True)]))
        print(f"{name:23} {shares[0]:17.1f} {shares[1]:25.1f}")


if __name__ == "__main__":
    main()
