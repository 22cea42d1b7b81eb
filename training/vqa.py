"""Train the VQA models on cached features of the shipped ResNet-50.

    python -m training.vqa_data DATA QUESTIONS
    python -m training.features DATA CACHE flickr8k coco daquar [--views cells]
    python -m training.vqa QUESTIONS CACHE RUN [--attention] [--without image | question] [--bfloat16]

Without `--attention` the product of a question and the pooled features (`demo.models.vqa`), with it co-attention over
the cells (`demo.models.coattention`), whose features take 4 GB of memory.

Trained on the questions of the train split of `training.vqa_data`, chosen on those of the val split. First on all of
them, chosen by the mean of the accuracies on people's questions about COCO, those from captions and DAQUAR; then
mostly on people's, chosen by the accuracy on these. The loss is the cross-entropy with the share of the people, or
captions, that give each answer. At the end the logits are divided by the temperature at which people's answers of the
val split are most probable. `--without` trains a baseline that sees no image, or reads no question. `--bfloat16` takes
half the time on processors that have it, and ten times the time on others.

RUN keeps a checkpoint of each stage: a run that was stopped goes on after the last full epoch. At the end RUN holds
`vqa.safetensors` and `vqa.json`, or `coattention.safetensors` and `coattention.json`.
"""

import argparse
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from demo.models import available_device, coattention, vqa
from demo.models.coattention import CoAttention
from demo.models.resnet50 import FEATURES
from demo.models.vqa import Fusion
from demo.models.words import words
from training.features import cached
from training.loop import batches_of_one_length, train_stage
from training.vqa_data import PEOPLE, Pair

GROUPS = ("people", "captions", "daquar")  # what is measured
AGREEMENT = 3  # other people who must give an answer for it to be fully right (Antol et al., "VQA", ICCV 2015)

# What the page may ask of a picture in which it sees a thing: as it was asked in training, where the thing is named
# or is the answer, and as the page asks it. By the accuracy on the val split, in percent: 95, 84, 43, 42. What a thing
# is doing (32) or wearing (37) is not suggested, nor how many there are (53): on everyday images that was
# answered worst of all, see docs/sweep.md.
SUGGESTED = {
    r"what (?:kind of |type of )?animal is .*": "What animal is this?",
    r"(?:is there|(?:do|can) you see) (?P<a>an?) (?P<thing>\w+)(?: in .*)?": "Is there {a} {thing} in the picture?",
    r"what colou?r is the (?P<thing>\w+)": "What color is the {thing}?",
    r"(?:where|what place) is the (?P<thing>\w+)(?: located| at)?": "Where is the {thing}?",
}
OFTEN_ASKED = 20
OF_ANYTHING = ["What is in the picture?", "Where is this?"]

Without = Literal["image", "question", ""]


@dataclass(frozen=True)
class Stage:
    """One stage of a run; the values are those of the first one of the shipped model without attention.

    Attributes:
        people, captions, daquar, templates: how many times a question of that group is shown in a pass, on average.
        dropout: of the vectors of words and what is made of them; `feature_dropout` that of the image's features.
        batch: questions a step.
        rate: the highest learning rate.
        average: the share of the moving average of the weights that stays at a step.
        epochs: passes, at most; it ends when what is `watched` has not risen for `patience` of them.
    """

    people: float = 0.5
    captions: float = 0.8
    daquar: float = 1.0
    templates: float = 1.0
    dropout: float = 0.3
    feature_dropout: float = 0.15
    batch: int = 512
    rate: float = 2e-3
    average: float = 0.99
    epochs: int = 6
    patience: int = 3
    watched: str = "mean"

    def weight(self, pair: Pair) -> float:
        return float(getattr(self, group(pair)))


@dataclass(frozen=True)
class Settings:
    """What a run is made with; the values are those of the shipped model without attention.

    Attributes:
        width, hidden, joint: as in `Fusion` or `CoAttention`; the second is not the same in both.
    """

    seed: int = 0
    attention: bool = False
    least_count: int = 3  # training questions that must have a word
    least_answers: int = 3  # training questions that must have an answer
    answers: int = 2000
    width: int = 300
    hidden: int = 256
    joint: int = 1024
    first: Stage = Stage()
    last: Stage = Stage(
        people=1.0,
        captions=0.25,
        daquar=0.3,
        templates=0.1,
        dropout=0.4,
        feature_dropout=0.2,
        batch=128,
        rate=1.5e-3,
        average=0.995,
        epochs=10,
        watched="people",
    )


ATTENTION = Settings(
    attention=True,
    width=320,
    hidden=160,
    joint=768,
    first=replace(Settings.first, captions=0.4, batch=256, rate=1.5e-3, average=0.995),
    last=replace(Settings.last, dropout=0.5, feature_dropout=0.3),
)


class Vocabulary(NamedTuple):
    """Words of questions and answers, by their frequency."""

    words: list[str]
    answers: list[str]


class Example(NamedTuple):
    """A question ready for the network: its picture's place among the features, its words, its answers' shares."""

    picture: int
    tokens: tuple[int, ...]
    targets: dict[int, float]


class Material(NamedTuple):
    """What a run learns from and is chosen by.

    Attributes:
        features: of the pictures; see `read_features`.
        training, validation: the questions of both splits.
        examples, held_out: these, in the same order.
        usable: the places of the examples with a known word and a known answer.
    """

    features: Tensor
    vocabulary: Vocabulary
    training: list[Pair]
    examples: list[Example]
    usable: list[int]
    validation: list[Pair]
    held_out: list[Example]


def group(pair: Pair) -> str:
    """Return the set of a question, but "people" for all that people asked about COCO."""
    return "people" if pair.set in PEOPLE else pair.set


def read_pairs(path: Path) -> list[Pair]:
    """Return the questions that `training.vqa_data` wrote."""
    return [Pair(**json.loads(line)) for line in path.read_text().splitlines()]


def read_features(cache: Path, pairs: list[Pair], attention: bool) -> tuple[Tensor, dict[str, int]]:
    """Return float16 features of all folders, (P, 2048) or of cells (P, 64, 2048), and where each folder starts."""
    folders = list(dict.fromkeys(pair.folder for pair in pairs))
    found = [cached(cache, folder, "cells" if attention else "pooled") for folder in folders]
    starts = np.cumsum([0, *map(len, found)]).tolist()
    return torch.from_numpy(np.concatenate(found)), dict(zip(folders, starts, strict=False))


def make_vocabulary(pairs: list[Pair], settings: Settings) -> Vocabulary:
    """Return the words and answers of enough training questions; the first stage shows these answers most."""
    counts = Counter(word for pair in pairs for word in dict.fromkeys(words(pair.question)))
    known = [word for word, count in counts.most_common() if count >= settings.least_count]
    answers = Counter(pair.answer for pair in pairs)
    weighted: dict[str, float] = defaultdict(float)
    for pair in pairs:
        if answers[pair.answer] >= settings.least_answers:
            weighted[pair.answer] += settings.first.weight(pair)
    return Vocabulary(known, sorted(weighted, key=weighted.__getitem__, reverse=True)[: settings.answers])


def suggestions(pairs: list[Pair]) -> dict[str, list[str]]:
    """Return word -> questions often asked where it is seen; "" -> questions about anything."""
    found: dict[str, list[str]] = defaultdict(list)
    asked = [(pair.question.removesuffix(" ?"), pair.answer) for pair in pairs if pair.set == "captions"]
    for pattern, form in SUGGESTED.items():
        matches = [(match, answer) for question, answer in asked if (match := re.fullmatch(pattern, question))]
        counts = Counter(
            (form.format(**match.groupdict()), match.groupdict().get("thing", answer)) for match, answer in matches
        )
        for (question, thing), count in counts.items():
            if count >= OFTEN_ASKED:
                for word in {thing, thing.removesuffix("s")}:
                    found[word].append(question)
    return {"": OF_ANYTHING} | dict(sorted(found.items()))


def make_examples(pairs: list[Pair], starts: dict[str, int], vocabulary: Vocabulary) -> list[Example]:
    """Return all pairs as the network takes them; answers and words that it does not know are left out."""
    tokens = {word: token for token, word in enumerate(vocabulary.words)}
    indices = {answer: index for index, answer in enumerate(vocabulary.answers)}
    examples = []
    for pair in pairs:
        asked = words(pair.question)
        given = {indices[answer]: count for answer, count in pair.answers.items() if answer in indices}
        examples.append(
            Example(
                starts[pair.folder] + pair.row,
                tuple(tokens[word] for word in asked if word in tokens),
                {index: count / sum(given.values()) for index, count in given.items()},
            )
        )
    return examples


def require_complete(features: Tensor, examples: list[Example]) -> None:
    """End the program if a picture of the examples has no features."""
    first = features.flatten(1)[:, 0]
    if not first[[example.picture for example in examples]].isfinite().all():
        raise SystemExit("The cache of features is not complete: run training.features to its end.")


def network(words: int, answers: int, settings: Settings) -> Fusion | CoAttention:
    """Return an untrained network for so many words and answers."""
    kind = CoAttention if settings.attention else Fusion
    return kind(words, answers, settings.width, settings.hidden, settings.joint)


def blinded(features: Tensor, examples: list[Example], without: Without) -> tuple[Tensor, list[Example]]:
    """Return the inputs of a baseline: one picture of one cell for all, or one word for all questions."""
    if without == "image":
        nothing = torch.ones(1, *[1] * (features.dim() - 2), FEATURES)
        return nothing, [example._replace(picture=0) for example in examples]
    if without == "question":
        return features, [example._replace(tokens=(0,) * bool(example.tokens)) for example in examples]
    return features, examples


def logits(fusion: Fusion | CoAttention, features: Tensor, batch: list[Example]) -> Tensor:
    """Return logits (N, answers) for a batch of questions of one length."""
    device = fusion.answer.weight.device
    seen = features[[example.picture for example in batch]].float().to(device)
    tokens = torch.tensor([example.tokens for example in batch], device=device)
    # Many pictures are asked the same: each question is read once.
    different, which = tokens.unique(dim=0, return_inverse=True)
    return fusion.decide(seen, fusion.read(different)[which])


def _length(example: Example) -> int:
    return len(example.tokens)


@torch.inference_mode()
def all_logits(
    fusion: Fusion | CoAttention, features: Tensor, examples: list[Example]
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield the indices of N examples with a known word, and their logits (N, answers), batch by batch."""
    places = {id(example): i for i, example in enumerate(examples)}
    for batch in batches_of_one_length(examples, _length, 512):
        if batch[0].tokens:
            yield [places[id(example)] for example in batch], logits(fusion, features, batch)


def answer(fusion: Fusion | CoAttention, features: Tensor, examples: list[Example], answers: list[str]) -> list[str]:
    """Return the best answer to each question; none, "", to one without a known word."""
    found = [""] * len(examples)
    for places, given in all_logits(fusion, features, examples):
        for place, index in zip(places, given.argmax(dim=1).tolist(), strict=True):
            found[place] = answers[index]
    return found


def credit(pair: Pair, answer: str) -> float:
    """Return how right an answer is, from 0 to 1, by the measure of the VQA benchmarks.

    Of ten people's answers: min(number who gave it / 3, 1), averaged over the ten subsets that leave one person out.
    If fewer people answered, the subsets are those of all but one of them. If only one answer is known, and for
    questions from captions, an answer is right if it is that one.
    """
    people = sum(pair.answers.values())
    if pair.set not in PEOPLE or people == 1:
        return float(answer == pair.answer)
    count = pair.answers.get(answer, 0)
    with_one_less, with_all = (min(others / AGREEMENT, 1) for others in (max(count - 1, 0), count))
    return (count * with_one_less + (people - count) * with_all) / people


def accuracies(pairs: list[Pair], said: list[str]) -> dict[tuple[str, str], tuple[float, int]]:
    """Return (set or group, kind) -> mean credit and number of questions; the kind "all" is all of a set."""
    credits = defaultdict(list)
    for pair, answer in zip(pairs, said, strict=True):
        for name in {pair.set, group(pair)}:
            for kind in (pair.kind, "all"):
                credits[name, kind].append(credit(pair, answer))
    return {key: (float(np.mean(values)), len(values)) for key, values in credits.items()}


def calibrate(fusion: Fusion | CoAttention, features: Tensor, examples: list[Example]) -> float:
    """Divide the logits by the temperature at which the examples' answers are most probable; returns it."""
    order, found = zip(*all_logits(fusion, features, examples), strict=True)
    given = torch.cat(found)
    wanted = shares([examples[place] for places in order for place in places], fusion.answer.out_features)
    with torch.inference_mode():
        wanted = wanted.to(given.device)
        temperatures = [t / 100 for t in range(50, 301)]
        best = min(temperatures, key=lambda t: F.cross_entropy(given / t, wanted).item())
        fusion.answer.weight.div_(best)
        fusion.answer.bias.div_(best)
    return best


def shares(batch: list[Example], answers: int) -> Tensor:
    """Return the share of the people, or captions, that give each answer, (N, answers)."""
    targets = torch.zeros(len(batch), answers)
    for row, example in enumerate(batch):
        for index, share in example.targets.items():
            targets[row, index] = share
    return targets


def read_material(questions: Path, cache: Path, settings: Settings, without: Without) -> Material:
    """Return the questions and features of a run, for a baseline without one of them."""
    pairs = read_pairs(questions)
    features, starts = read_features(cache, pairs, settings.attention)
    training = [pair for pair in pairs if pair.split == "train"]
    validation = [pair for pair in pairs if pair.split == "val"]
    vocabulary = make_vocabulary(training, settings)
    examples = make_examples(training + validation, starts, vocabulary)
    require_complete(features, examples)
    features, examples = blinded(features, examples, without)
    examples, held_out = examples[: len(training)], examples[len(training) :]
    usable = [i for i, example in enumerate(examples) if example.tokens and example.targets]
    return Material(features, vocabulary, training, examples, usable, validation, held_out)


def validate(fusion: Fusion | CoAttention, material: Material) -> dict[str, float]:
    """Return the accuracies on the groups of the val split, and their mean."""
    said = answer(fusion, material.features, material.held_out, material.vocabulary.answers)
    found = accuracies(material.validation, said)
    scores = {name: found[name, "all"][0] for name in GROUPS}
    return scores | {"mean": float(np.mean(list(scores.values())))}


def run_stage(
    path: Path,
    fusion: Fusion | CoAttention,
    material: Material,
    stage: Stage,
    seed: int,
    bfloat16: bool,
    recipe: dict[str, object],
) -> None:
    """Run one stage, whose checkpoint is `path`; one of another `recipe` is refused."""
    weights = torch.tensor([stage.weight(material.training[i]) for i in material.usable], dtype=torch.float32)
    count = int(weights.sum())
    fusion.dropout.p, fusion.feature_dropout.p = stage.dropout, stage.feature_dropout
    device = fusion.answer.weight.device

    def epoch(update: Callable[[Tensor], None]) -> None:
        drawn = torch.multinomial(weights, count, replacement=True).tolist()
        examples = [material.examples[material.usable[i]] for i in drawn]
        found = batches_of_one_length(examples, _length, stage.batch)
        for b in tqdm(torch.randperm(len(found)).tolist(), unit="batches", leave=False):
            targets = shares(found[b], len(material.vocabulary.answers)).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                found_logits = logits(fusion, material.features, found[b])
            update(F.cross_entropy(found_logits.float(), targets))

    train_stage(
        path,
        fusion,
        seed=seed,
        epochs=stage.epochs,
        steps=count // stage.batch + len({len(example.tokens) for example in material.examples}),
        rate=stage.rate,
        average=stage.average,
        patience=stage.patience,
        watched=stage.watched,
        recipe=recipe,
        epoch_of=epoch,
        validate=lambda averaged: validate(averaged, material),
    )


def train(
    questions: Path, cache: Path, run: Path, settings: Settings, without: Without, device: str, bfloat16: bool = False
) -> None:
    """Run all stages; writes the weights and the card of the model into RUN, see the head of this file."""
    run.mkdir(parents=True, exist_ok=True)
    material = read_material(questions, cache, settings, without)
    vocabulary = material.vocabulary
    print(
        f"{len(material.usable)} questions, {len(vocabulary.words)} words, {len(vocabulary.answers)} answers",
        flush=True,
    )

    torch.manual_seed(settings.seed)
    fusion = network(len(vocabulary.words), len(vocabulary.answers), settings).to(device)
    made_with = {
        "without": without,
        "bfloat16": bfloat16,
        "questions sha256": hashlib.sha256(questions.read_bytes()).hexdigest(),
    }
    recipe = asdict(settings) | made_with
    # The first stage stands whatever comes after it.
    of_first = {key: recipe[key] for key in recipe if key != "last"}
    run_stage(run / "first.pt", fusion, material, settings.first, settings.seed, bfloat16, of_first)
    run_stage(run / "last.pt", fusion, material, settings.last, settings.seed, bfloat16, recipe)

    people = [e for e, pair in zip(material.held_out, material.validation, strict=True) if group(pair) == "people"]
    temperature = calibrate(fusion, material.features, [e for e in people if e.tokens and e.targets])
    # What is measured is what ships: rounded to float16.
    shipped = coattention if settings.attention else vqa
    weights = run / shipped.WEIGHTS.name
    save_file({name: tensor.half().cpu() for name, tensor in fusion.state_dict().items()}, weights)
    fusion.load_state_dict(load_file(weights))
    scores = validate(fusion, material)
    print("validation:", scores)
    card = {
        "trained on": dict(Counter(material.training[i].set for i in material.usable)),
        "settings": asdict(settings),
        **made_with,
        "validation": scores,
        "temperature": temperature,
        "vocabulary": vocabulary.words,
        "answers": vocabulary.answers,
        "questions": suggestions(material.training),
    }
    (run / shipped.CARD.name).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")


def read_run(card: Path) -> tuple[Fusion | CoAttention, Vocabulary, Without]:
    """Return a network that `train` wrote, by its JSON file, in evaluation mode."""
    found = json.loads(card.read_text())
    vocabulary = Vocabulary(found["vocabulary"], found["answers"])
    settings = found["settings"] | {name: Stage(**found["settings"][name]) for name in ("first", "last")}
    fusion = network(len(vocabulary.words), len(vocabulary.answers), Settings(**settings))
    fusion.load_state_dict(load_file(card.with_suffix(".safetensors")))
    return fusion.eval(), vocabulary, found["without"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--attention", action="store_true", help="train the model with attention")
    parser.add_argument("--without", choices=("image", "question"), default="", help="train a baseline")
    parser.add_argument("--bfloat16", action="store_true", help="compute in bfloat16")
    parser.add_argument("--device", default="auto", help="auto (the default), cpu, cuda or mps")
    args = parser.parse_args()
    settings = ATTENTION if args.attention else Settings()
    train(args.questions, args.cache, args.run, settings, args.without, available_device(args.device), args.bfloat16)


if __name__ == "__main__":
    main()
