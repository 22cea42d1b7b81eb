"""Score the shipped captioner on images that it was not trained on, by the field's scorer. Needs Java.

    python -m evaluation.captions DATA

Of Flickr8k the test split, of COCO the captioned images of the val and test splits. DATA holds `flickr8k/images/`
and `flickr8k/records.jsonl`, one `{"image": name, "captions": [...], "split": "test"}` a line, and `coco/` likewise;
one of the two is enough. The best caption of the beam is scored. Beside the scores: how many different captions there
are per image, and the shares of captions that repeat a content word at once or anywhere.
"""

import argparse
from itertools import pairwise
from pathlib import Path

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from tqdm import tqdm

from demo.images import open_photo
from demo.models import available_device
from demo.models.captioning import shipped_captioner
from demo.models.words import FUNCTION_WORDS, words
from training.features import read_records

PARTS = {"flickr8k": ("test",), "coco": ("val", "test")}


def scores(captions: list[str], references: list[list[str]]) -> dict[str, float]:
    """Return BLEU-1 to 4, METEOR, ROUGE-L and CIDEr of one caption a picture, on PTB tokens."""
    tokenizer = PTBTokenizer()
    said = tokenizer.tokenize({i: [{"caption": caption}] for i, caption in enumerate(captions)})
    wanted = tokenizer.tokenize(
        {i: [{"caption": reference} for reference in picture] for i, picture in enumerate(references)}
    )
    bleu, _ = Bleu(4).compute_score(wanted, said, verbose=0)
    return {f"BLEU-{n}": score for n, score in enumerate(bleu, start=1)} | {
        name: float(scorer.compute_score(wanted, said)[0])
        for name, scorer in (("METEOR", Meteor()), ("ROUGE-L", Rouge()), ("CIDEr", Cider()))
    }


def variety(captions: list[str]) -> dict[str, float]:
    """Return different captions per image, and the shares with a content word twice, at once or anywhere."""
    content = [[word for word in words(caption) if word not in FUNCTION_WORDS] for caption in captions]
    return {
        "distinct": len(set(captions)) / len(captions),
        "repeats a word at once": sum(any(a == b for a, b in pairwise(said)) for said in content) / len(captions),
        "repeats a word anywhere": sum(len(set(said)) < len(said) for said in content) / len(captions),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    model = shipped_captioner("", available_device("auto"))
    for folder, splits in PARTS.items():
        if not (args.data / folder).is_dir():
            continue
        records = [
            record
            for record in read_records(args.data, folder)
            if record["split"] in splits and record.get("captions")
        ]
        captions = []
        for record in tqdm(records, unit="pictures"):
            photo = open_photo(args.data / folder / "images" / record["image"])
            captions.append(next(iter(model.predict(model.prepare(photo)))))
        references = [record["captions"] for record in records]
        print(f"{folder}, {' and '.join(splits)}: {len(records)} pictures")
        for name, value in (scores(captions, references) | variety(captions)).items():
            print(f"{name:24} {100 * value:6.1f}")


if __name__ == "__main__":
    main()
