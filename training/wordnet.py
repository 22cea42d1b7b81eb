"""What a noun implies, by WordNet 3.0 (Fellbaum, 1998), read from the files of Debian's `wordnet-base`.

The formats are those of `wndb(5WN)`.
"""

from functools import cache
from pathlib import Path

FOLDER = Path("/usr/share/wordnet")


@cache
def _senses() -> dict[str, list[str]]:
    """Return noun -> offsets of its synsets, the most frequent sense first."""
    senses = {}
    for line in (FOLDER / "index.noun").read_text().splitlines():
        if not line.startswith(" "):
            fields = line.split()
            senses[fields[0].replace("_", " ")] = fields[-int(fields[2]) :]
    return senses


@cache
def _synsets() -> dict[str, tuple[str, list[str], list[str]]]:
    """Return offset -> (subject field, nouns, offsets of the hypernyms)."""
    synsets = {}
    for line in (FOLDER / "data.noun").read_text().splitlines():
        if line.startswith(" "):
            continue
        offset, subject, _, count, *fields = line.split(" | ")[0].split()
        nouns, pointers = fields[: 2 * int(count, 16) : 2], fields[2 * int(count, 16) + 1 :]
        above = [pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] in ("@", "@i")]
        synsets[offset] = (subject, [noun.replace("_", " ").lower() for noun in nouns], above)
    return synsets


def _above(offset: str) -> set[str]:
    """Return a synset and all its hypernyms."""
    return {offset}.union(*(_above(parent) for parent in _synsets()[offset][2]))


def known(noun: str) -> bool:
    """Return whether WordNet has the noun, which may be of several words."""
    return noun in _senses()


@cache
def is_a(noun: str, *kinds: str) -> bool:
    """Return whether the most frequent sense of the noun falls under the most frequent sense of one of the kinds."""
    senses = _senses()
    return noun in senses and not _above(senses[noun][0]).isdisjoint(senses[kind][0] for kind in kinds)


@cache
def implied(noun: str) -> frozenset[str]:
    """Return the noun, its synonyms and their hypernyms, in the senses of the most frequent one's field.

    So a dog is an animal, but not (an old-fashioned sense) a man, and a bike is a bicycle or a motorcycle.
    """
    synsets = _synsets()
    offsets = _senses().get(noun, [])
    alike = [offset for offset in offsets if synsets[offset][0] == synsets[offsets[0]][0]]
    return frozenset({noun}.union(*(synsets[above][1] for offset in alike for above in _above(offset))))
