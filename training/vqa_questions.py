"""Questions and answers from captions, as Ren, Kiros and Zemel made COCO-QA (NIPS 2015), from their parses.

`facts` turns the parsed captions of a picture into questions with the answers that the captions give; `affirmations`
makes statements of them, which are asked as yes/no questions here and, where they do not hold, of other pictures.
"""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from spacy.tokens import Doc, Token

from training import wordnet

_LISTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
_WORDS = {name: set(words) for name, words in _LISTS["words"].items()}
COLOURS, GENDERED, SPORTS, VAGUE = (_WORDS[name] for name in ("colours", "gendered", "sports", "vague"))
PLACES, SEATS, CLOTHES, HEADGEAR = (_WORDS[name] for name in ("places", "seats", "clothes", "headgear"))
NO_ANIMALS, IDLE, AT, WITH = (_WORDS[name] for name in ("no_animals", "idle", "at", "with"))
HOLDING, BESIDES, NOTICED = _WORDS["holding"], _WORDS["besides"], _WORDS["noticed"] | HEADGEAR
SPORT_BY_VERB = {sport: set(said) for sport, said in _LISTS["sport_by_word"].items()}
PHRASINGS: dict[str, list[str]] = _LISTS["phrasings"]
YES_NO: dict[str, list[str]] = _LISTS["yes_no"]

NUMBERS = dict.fromkeys(("one", "a", "an", "1"), 1) | {
    spelled: n
    for n, name in enumerate(("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), start=2)
    for spelled in (name, str(n))
}
SPELLINGS = {"grey": "gray", "tv": "television", "doggy": "dog", "doggie": "dog", "bicycle": "bike", "kid": "child"}
LEMMAS = {"rid": "ride", "sle": "sled", "wad": "wade", "woode": "wood"}  # where spaCy is wrong
PLACE_KINDS = ("location", "geological formation", "body of water", "building", "room", "playing field")

AGREED = 2  # captions that must say what is asked of the picture as a whole
SURE = 0.6  # share of the captions that must agree on a number or a colour


class Question(NamedTuple):
    """A question before it is put into words: its kind, a key of PHRASINGS, and what is filled in."""

    kind: str
    template: str
    slots: tuple[str, ...] = ()


Facts = dict[Question, Counter[str]]


def lemma(token: Token) -> str:
    """Return the dictionary form of a word, in one spelling."""
    found = LEMMAS.get(token.lemma_, token.lemma_)
    return SPELLINGS.get(found, found)


def name(noun: Token) -> str:
    """Return the name of a thing: singular if it has one, with the word before it if both are one noun."""
    head = noun.lower_ if noun.lower_ in CLOTHES else lemma(noun)
    before = noun.nbor(-1) if noun.i else noun
    both = f"{before.lower_} {head}"
    return both if before.dep_ == "compound" and before.head == noun and wordnet.known(both) else head


def is_thing(noun: Token) -> bool:
    """Return whether it can be seen and touched."""
    return (
        lemma(noun) not in VAGUE
        and noun.lower_ not in COLOURS
        and (lemma(noun) in PLACES or wordnet.is_a(lemma(noun), "physical entity"))
    )


def is_person(noun: Token) -> bool:
    return noun.pos_ == "NOUN" and wordnet.is_a(lemma(noun), "person")


def is_animal(noun: Token) -> bool:
    return noun.pos_ == "NOUN" and lemma(noun) not in NO_ANIMALS and wordnet.is_a(lemma(noun), "animal")


def is_vehicle(noun: Token) -> bool:
    return noun.pos_ == "NOUN" and wordnet.is_a(lemma(noun), "wheeled vehicle", "boat", "train", "aircraft", "bus")


def is_place(noun: Token) -> bool:
    return (
        lemma(noun) not in VAGUE
        and name(noun) not in CLOTHES
        and (lemma(noun) in PLACES or wordnet.is_a(lemma(noun), *PLACE_KINDS))
    )


def is_scene(noun: Token) -> bool:
    """Return whether it is a place that a whole picture may be taken at."""
    return noun.dep_ == "pobj" and is_place(noun) and lemma(noun) not in SEATS


def things(token: Token, dependency: str) -> list[Token]:
    """Return the nouns that stand in a relation to a word, and those joined to them by "and"."""
    found = [child for child in token.children if child.dep_ == dependency and child.pos_ == "NOUN"]
    return found + [other for noun in found for other in things(noun, "conj")]


def phrases(token: Token) -> Iterator[tuple[str, Token]]:
    """Yield the prepositions that belong to a word, each with a noun behind it."""
    for child in token.children:
        if child.dep_ == "prep":
            for noun in things(child, "pobj"):
                yield child.lower_, noun


def subject(verb: Token) -> Token | None:
    """Return the noun that does what the verb says, if there is one."""
    if verb.dep_ == "acl":
        return verb.head if verb.tag_ == "VBG" else None
    if verb.dep_ == "relcl":
        return verb.head
    found = next((child for child in verb.children if child.dep_ == "nsubj"), None)
    if found is None and verb.dep_ == "conj" and verb.head.pos_ == "VERB":
        return subject(verb.head)
    return found


def colour(noun: Token) -> str | None:
    """Return a thing's colour, two joined by "and" in alphabetical order, or None if there are others."""
    said = [t for t in noun.subtree if t.lower_ in COLOURS and t.i < noun.i and noun.i - t.i <= 4]
    if not said or said[-1].head not in (noun, said[0]) or "colored" in noun.doc.text:
        return None
    between = [t.lower_ for t in noun.doc[said[0].i : said[-1].i + 1]]
    if len(said) > 1 and (len(said) > 2 or between[1:-1] != ["and"]):
        return None
    return " and ".join(sorted(SPELLINGS.get(t.lower_, t.lower_) for t in said))


def caption_facts(doc: Doc, gerunds: dict[str, str]) -> Iterator[tuple[Question, str]]:
    """Yield the questions that one caption answers by itself."""
    nouns = [token for token in doc if token.pos_ == "NOUN"]
    # What is said of one of two alike is no answer about "the" dog.
    once = {
        lemma(noun) for noun in nouns if not any(lemma(other) == lemma(noun) and other.i != noun.i for other in nouns)
    }
    yield from _noun_facts(nouns, once)
    yield from _verb_facts(doc, once, gerunds)


def _noun_facts(nouns: Sequence[Token], once: set[str]) -> Iterator[tuple[Question, str]]:
    for noun in nouns:
        if lemma(noun) not in once:
            continue
        living = is_person(noun) or is_animal(noun)
        said = None if is_person(noun) else colour(noun)
        if said and is_thing(noun):
            yield Question("colour", "colour", (noun.lower_,)), said
        for preposition, other in phrases(noun):
            if living and preposition in ("in", "with") and name(other) in CLOTHES:
                yield from worn(noun, other)
            elif preposition in ("in", "on", "at", "near") and is_place(other) and is_thing(noun):
                yield Question("location", "where", (noun.lower_,)), name(other)
            if (
                preposition in ("on", "in", "under", "behind", "near", "inside")
                and is_thing(noun)
                and is_thing(other)
                and name(other) not in CLOTHES
            ):
                template = "who prep" if is_person(noun) else "prep"
                yield Question("object", template, (preposition, other.lower_)), name(noun)


def _verb_facts(doc: Doc, once: set[str], gerunds: dict[str, str]) -> Iterator[tuple[Question, str]]:
    for verb in doc:
        if verb.pos_ != "VERB" or verb.tag_ not in ("VBG", "VBZ", "VBP"):
            continue
        who = subject(verb)
        if who is None or lemma(who) not in once or not (is_person(who) or is_animal(who)):
            continue
        doing = verb.lower_ if verb.tag_ == "VBG" else gerunds.get(lemma(verb), "")
        objects = things(verb, "dobj")
        if lemma(verb) == "wear":
            for noun in objects:
                if name(noun) in CLOTHES:
                    yield from worn(who, noun)
            continue
        if not doing:
            continue
        if lemma(verb) not in IDLE:
            sport = next((name(noun) for noun in objects if name(noun) in SPORTS), None)
            yield Question("activity", "doing", (who.lower_,)), f"playing {sport}" if sport else doing
        for noun in objects:
            if is_thing(noun) and not is_place(noun) and (lemma(verb) not in IDLE or doing in HOLDING):
                yield Question("object", "verb", (who.lower_, doing)), name(noun)
                if is_person(who) and lemma(who) not in VAGUE:
                    yield Question("object", "who", (doing, noun.lower_)), name(who)
        for preposition, noun in phrases(verb):
            if preposition in ("in", "with") and name(noun) in CLOTHES:
                yield from worn(who, noun)
                continue
            if preposition in AT and is_place(noun):
                yield Question("location", "where", (who.lower_,)), name(noun)
            # "Riding a horse on the beach" is not riding on the beach.
            if preposition in WITH and is_thing(noun) and lemma(verb) not in IDLE and not objects:
                kind = "location" if is_place(noun) else "object"
                yield Question(kind, "verb prep", (who.lower_, f"{doing} {preposition}")), name(noun)


def worn(who: Token, what: Token) -> Iterator[tuple[Question, str]]:
    """Yield somebody's clothes and their colours."""
    yield Question("clothing", "wearing", (who.lower_,)), name(what)
    if name(what) in HEADGEAR and who.tag_ == "NN":
        yield Question("clothing", "on head", (who.lower_,)), name(what)
    if (said := colour(what)) and who.tag_ == "NN":
        yield Question("colour", "colour", (f"{who.lower_}'s {name(what)}",)), said


def amount(noun: Token) -> int | None:
    """Return how many there are of a thing by the words before it; none if they do not say."""
    before = [t for t in noun.children if t.dep_ in ("det", "nummod") and t.i < noun.i]
    numbers = [NUMBERS[t.lower_] for t in before if t.lower_ in NUMBERS]
    return numbers[-1] if numbers and (numbers[-1] == 1) == (noun.tag_ == "NN") else None


def picture_facts(docs: Sequence[Doc], gerunds: dict[str, str]) -> Facts:
    """Return the questions that the captions of one picture answer, and how many captions give each answer."""
    facts: Facts = defaultdict(Counter)
    for doc in docs:
        for question, answer in dict.fromkeys(caption_facts(doc, gerunds)):
            facts[question][answer] += 1
    nouns = [[token for token in doc if token.pos_ == "NOUN"] for doc in docs]

    def naming(wanted: Callable[[Token], bool], called: Callable[[Token], str] = name) -> Counter[str]:
        """Return how many captions have each of the wanted nouns."""
        return Counter(n for ns in nouns for n in dict.fromkeys(called(noun) for noun in ns if wanted(noun)))

    for template, is_kind in (("animal", is_animal), ("vehicle", is_vehicle)):
        said = naming(is_kind)
        if len(said) == 1 and said.total() >= AGREED:
            facts[Question("object", template)] = said
    for pair in (("man", "woman"), ("boy", "girl")):
        said = naming(lambda noun: lemma(noun) in GENDERED, lemma)
        many = any(noun.tag_ == "NNS" for ns in nouns for noun in ns if is_person(noun))
        if len(said) == 1 and said.total() >= AGREED and not many and set(said) <= set(pair):
            facts[Question("man or woman", " or ".join(pair))] = said
    shown = naming(is_thing)
    if shown and shown.most_common(1)[0][1] >= AGREED:
        facts[Question("object", "contents")] = shown
    places = naming(is_scene)
    if places and places.most_common(1)[0][1] >= AGREED:
        facts[Question("location", "scene")] = places
    sports = Counter(sport for doc in docs for sport in sorted(sports_of(doc)))
    if sports and sports.most_common(1)[0][1] >= AGREED:
        facts[Question("activity", "sport")] = sports
    for thing in sorted({lemma(noun) for ns in nouns for noun in ns} - VAGUE | {"person"}):
        said = Counter(str(n) for ns in nouns if (n := total(thing, ns)))
        if said.total() >= AGREED:
            facts[Question("number", "count", (thing,))] = said
    sure = {"colour", "number"}
    return {
        question: answers
        for question, answers in facts.items()
        if question.kind not in sure or answers.most_common(1)[0][1] >= SURE * answers.total()
    }


def total(thing: str, nouns: Sequence[Token]) -> int | None:
    """Return how many of a thing a caption counts; none if it does not name it or does not count all."""
    alike = [noun for noun in nouns if lemma(noun) == thing or (thing == "person" and is_person(noun))]
    amounts = [count for noun in alike if (count := amount(noun)) is not None]
    return sum(amounts) if alike and len(amounts) == len(alike) else None


def sports_of(doc: Doc) -> set[str]:
    said = {token.lower_ for token in doc} | {lemma(token) for token in doc}
    return said & SPORTS | {sport for sport, words in SPORT_BY_VERB.items() if said & words}


def said_words(docs: Sequence[Doc], gerunds: dict[str, str]) -> set[str]:
    """Return the nouns, verbs, adjectives and adverbs of a picture's captions.

    As they stand there and in dictionary form, verbs also in -ing.
    """
    said: set[str] = set()
    for token in (token for doc in docs for token in doc):
        if token.pos_ in ("NOUN", "PROPN"):
            said |= {token.lower_, lemma(token), name(token)}
        elif token.pos_ in ("VERB", "ADJ", "ADV"):
            said |= {SPELLINGS.get(token.lower_, token.lower_), lemma(token), gerunds.get(lemma(token), lemma(token))}
    return said


def affirmations(facts: Facts) -> Iterator[tuple[Question, str]]:
    """Yield what may be asked as a yes/no question about a picture, with the answer yes; kind "yes/no"."""
    for question, answers in facts.items():
        answer = answers.most_common(1)[0][0]
        if question.template in YES_NO and not (
            (question.template == "doing" and answer in BESIDES)
            or (question.template == "colour" and " " in answer)
            or (question.template == "wearing" and answer not in NOTICED)
        ):
            yield Question("yes/no", question.template, question.slots), answer
    for thing, captions in facts.get(Question("object", "contents"), Counter()).items():
        if captions >= AGREED and thing not in CLOTHES:
            yield Question("yes/no", "exists"), thing
