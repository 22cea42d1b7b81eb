"""Train the captioner on cached features of the shipped ResNet-50.

    python -m training.features DATA CACHE flickr8k coco --of captions --views pooled mirrored
    python -m training.captioner DATA CACHE RUN

DATA is laid out as `training.features` says; a line of `records.jsonl` has `captions` and `split`. Trained on the
captioned pictures of the train splits of Flickr8k and COCO, chosen on Flickr8k's val split.

First cross-entropy; then self-critical training on CIDEr-D and BLEU-4 (Rennie et al., CVPR 2017), with the mean of the
other captions sampled for a picture as the baseline of each. They are sampled at half the temperature, and it is that
sharper policy which learns: at full temperature the first thing learnt is to say nothing rare, and captions become all
alike. In both stages the learning rate rises, then falls to zero, and what is measured and kept is a moving average of
the weights. The self-critical stage is run several times, and the weights of these runs are averaged.

RUN keeps a checkpoint of each stage: a run that was stopped goes on after the last full epoch. At the end RUN holds
`captioner.safetensors` and `captioner.json`.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pycocoevalcap.bleu.bleu import Bleu
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from demo.models import available_device
from demo.models.captioning import CARD, END, UNKNOWN, WEIGHTS, Decoder, beam_search, content_words
from demo.models.words import words
from training.cider import cider_d, inverse_frequencies, weigh
from training.features import View, cached, read_records
from training.loop import batches_of_one_length, train_stage, weights_of

FEWEST_WORDS = 3
VIEWS: tuple[View, ...] = ("pooled", "mirrored")


@dataclass(frozen=True)
class Settings:
    """What a run is made with; the values are those of the shipped captioner."""

    seed: int = 0
    least_count: int = 4
    width: int = 320
    hidden: int = 512
    feature_dropout: float = 0.3
    dropout: float = 0.5
    word_dropout: float = 0.1
    smoothing: float = 0.1
    batch: int = 128
    rate: float = 1e-3
    average: float = 0.998
    epochs: int = 12
    patience: int = 3
    critical_dropout: float = 0.35
    critical_images: int = 64
    samples: int = 5
    temperature: float = 0.5
    bleu: float = 1.0
    critical_rate: float = 2e-4
    critical_average: float = 0.99
    critical_epochs: int = 4
    critical_runs: int = 4
    beam: int = 3
    limit: int = 20


@dataclass(frozen=True)
class Split:
    """P pictures: features (P, 2, 2048) float16 of each and of its mirror image, and their captions as words."""

    features: Tensor
    captions: list[list[list[str]]]


def read_split(data: Path, cache: Path, folders: dict[str, str]) -> Split:
    """Return the pictures of folders that have captions and are of the split that is given for each folder."""
    features, captions = [], []
    for folder, split in folders.items():
        records = read_records(data, folder)
        long = [
            [spoken for spoken in map(words, record.get("captions", ())) if len(spoken) >= FEWEST_WORDS]
            for record in records
        ]
        rows = [i for i, record in enumerate(records) if long[i] and record["split"] == split]
        views = [cached(cache, folder, view)[rows] for view in VIEWS]
        features.append(torch.from_numpy(np.stack(views, axis=1)))
        captions += [long[i] for i in rows]
    if not all(part.isfinite().all() for part in features):
        raise SystemExit(f"{cache} is not complete: run training.features to its end.")
    return Split(torch.cat(features), captions)


def make_vocabulary(captions: list[list[list[str]]], least_count: int) -> list[str]:
    """Return the words that occur at least so often, the most frequent first."""
    counts = Counter(word for picture in captions for caption in picture for word in caption)
    return [word for word, count in counts.most_common() if count >= least_count]


def cross_entropy_epoch(
    decoder: Decoder, split: Split, tokens: list[list[list[int]]], settings: Settings, update: Callable[[Tensor], None]
) -> None:
    """Train one pass over all captions, each with a random view of its picture."""
    captions = [(i, caption) for i, picture in enumerate(tokens) for caption in picture]
    shuffled = [captions[i] for i in torch.randperm(len(captions)).tolist()]
    batches = batches_of_one_length(shuffled, lambda captioned: len(captioned[1]), settings.batch)
    for b in tqdm(torch.randperm(len(batches)).tolist(), desc="cross-entropy", unit="batches", leave=False):
        pictures = torch.tensor([picture for picture, _ in batches[b]])
        given = torch.tensor([caption for _, caption in batches[b]]).to(decoder.bias.device)
        dropped = torch.rand(given.shape, device=given.device) < settings.word_dropout
        logits = decoder(_views(split, pictures).to(given.device), given.masked_fill(dropped, UNKNOWN))
        wanted = F.pad(given, (0, 1), value=END)
        update(
            F.cross_entropy(
                logits.flatten(0, 1), wanted.flatten(), ignore_index=UNKNOWN, label_smoothing=settings.smoothing
            )
        )


def self_critical_epoch(
    decoder: Decoder,
    split: Split,
    reward: Callable[[list[list[int]], list[int]], Tensor],
    settings: Settings,
    update: Callable[[Tensor], None],
) -> None:
    """Train one pass over all pictures: captions better than the others sampled for their picture gain probability."""
    progress = tqdm(
        torch.randperm(len(split.features)).split(settings.critical_images), desc="self-critical", leave=False
    )
    for batch in progress:
        pictures = batch.repeat_interleave(settings.samples)
        captions, log_probabilities = say(
            decoder, _views(split, pictures), settings.limit, _sampled, settings.temperature
        )
        rewards = reward(captions, pictures.tolist()).reshape(-1, settings.samples)
        progress.set_postfix(reward=f"{rewards.mean():.3f}")
        # The mean of the others: r - (sum - r) / (samples - 1).
        advantages = (rewards - rewards.mean(dim=1, keepdim=True)) * settings.samples / (settings.samples - 1)
        update(-(advantages.flatten().to(log_probabilities.device) * log_probabilities).mean())


def rewarder(references: list[list[list[int]]], bleu: float) -> Callable[[list[list[int]], list[int]], Tensor]:
    """Return the reward of captions of pictures, given by index: CIDEr-D + bleu * BLEU-4, (N,)."""
    # The end is a word of the reward, or captions would stop at "in a".
    ended = [[[*caption, END] for caption in picture] for picture in references]
    idf = inverse_frequencies(ended)
    weighed = [[weigh(caption, idf) for caption in picture] for picture in ended]
    spelled = [[_as_text(caption) for caption in picture] for picture in ended]

    def reward(captions: list[list[int]], pictures: list[int]) -> Tensor:
        ciders = [cider_d(weigh(caption, idf), weighed[i]) for caption, i in zip(captions, pictures, strict=True)]
        _, bleus = Bleu(4).compute_score(
            {k: spelled[i] for k, i in enumerate(pictures)},
            {k: [_as_text(caption)] for k, caption in enumerate(captions)},
            verbose=0,
        )
        return torch.tensor(ciders) + bleu * torch.tensor(bleus[3])

    return reward


def say(
    decoder: Decoder,
    features: Tensor,
    limit: int,
    choose: Callable[[Tensor], Tensor],
    temperature: float = 1.0,
) -> tuple[list[list[int]], Tensor]:
    """Return captions said word by word, many at a time.

    Args:
        features: (N, 2048).
        limit: the most words of a caption.
        choose: the next tokens (n,) for log-probabilities (n, V + 1).
        temperature: what the logits are divided by.

    Returns:
        N captions as tokens, with the end where it was reached, and the sums (N,) of their log-probabilities at that
        temperature.
    """
    device = decoder.bias.device
    rows = torch.arange(len(features), device=device)
    captions: list[list[int]] = [[] for _ in rows]
    totals = torch.zeros(len(features), device=device)
    seen = decoder.see(features.to(device))
    inputs, state = seen, None
    for _ in range(limit):
        state = decoder.cell(inputs, state)
        log_probabilities = (decoder.logits(state[0], seen) / temperature).log_softmax(dim=1)
        tokens = choose(log_probabilities)
        totals = totals.index_add(0, rows, log_probabilities.gather(1, tokens[:, None])[:, 0])
        for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
            captions[row].append(token)
        going = tokens != END
        if not going.any():
            break
        rows, tokens, seen, state = rows[going], tokens[going], seen[going], (state[0][going], state[1][going])
        inputs = decoder.read(tokens)
    return captions, totals


def _sampled(log_probabilities: Tensor) -> Tensor:
    # Several times as fast as torch.multinomial, which draws a number for each word.
    cumulative = log_probabilities.detach().exp().cumsum(dim=1)
    drawn = torch.rand(len(cumulative), 1, device=cumulative.device) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, drawn)[:, 0]


def _greedy(log_probabilities: Tensor) -> Tensor:
    return log_probabilities.argmax(dim=1)


def _views(split: Split, pictures: Tensor) -> Tensor:
    """Return a random view of each picture, (N, 2048) float32."""
    return split.features[pictures, torch.randint(split.features.shape[1], pictures.shape)].float()


def measure(captions: list[list[str]], references: list[list[list[str]]]) -> dict[str, float]:
    """Return CIDEr and BLEU-4 of one caption a picture, and the share of captions that differ from all others."""
    idf = inverse_frequencies(references)
    cider = [
        cider_d(weigh(caption, idf), [weigh(reference, idf) for reference in picture])
        for caption, picture in zip(captions, references, strict=True)
    ]
    bleu, _ = Bleu(4).compute_score(
        {i: [" ".join(reference) for reference in picture] for i, picture in enumerate(references)},
        {i: [" ".join(caption)] for i, caption in enumerate(captions)},
        verbose=0,
    )
    distinct = len({tuple(caption) for caption in captions}) / len(captions)
    return {"CIDEr": float(np.mean(cider)), "BLEU-4": bleu[3], "distinct": distinct}


def train(data: Path, cache: Path, run: Path, settings: Settings, device: str) -> None:
    """Run both stages; writes RUN/captioner.safetensors and RUN/captioner.json."""
    run.mkdir(parents=True, exist_ok=True)
    training = read_split(data, cache, {"flickr8k": "train", "coco": "train"})
    validation = read_split(data, cache, {"flickr8k": "val"})
    vocabulary = make_vocabulary(training.captions, settings.least_count)
    index = {word: token for token, word in enumerate(vocabulary, start=END + 1)}
    tokens = [[[index.get(word, UNKNOWN) for word in caption] for caption in picture] for picture in training.captions]
    count = sum(map(len, tokens))
    print(f"{len(tokens)} pictures, {count} captions, {len(vocabulary)} words", flush=True)

    torch.manual_seed(settings.seed)
    decoder = Decoder(len(vocabulary), settings.width, settings.hidden).to(device)
    seen = validation.features[:, 0].float().to(device)

    @torch.inference_mode()
    def validate(averaged: Decoder) -> dict[str, float]:
        captions, _ = say(averaged, seen, settings.limit, _greedy)
        return measure([_spell(caption, vocabulary) for caption in captions], validation.captions)

    lengths = Counter(len(caption) for picture in tokens for caption in picture)
    decoder.feature_dropout.p, decoder.dropout.p = settings.feature_dropout, settings.dropout
    stage = partial(
        train_stage, patience=settings.patience, watched="CIDEr", validate=validate, recipe=asdict(settings)
    )
    stage(
        run / "cross-entropy.pt",
        decoder,
        seed=settings.seed,
        epochs=settings.epochs,
        steps=sum(-(-count // settings.batch) for count in lengths.values()),
        rate=settings.rate,
        average=settings.average,
        epoch_of=lambda update: cross_entropy_epoch(decoder, training, tokens, settings, update),
    )

    self_critical_runs(run, decoder, training, tokens, settings, stage)
    source = f"the train splits of Flickr8k and COCO: {len(tokens)} pictures, {count} captions"
    ship(run, decoder, vocabulary, validation, settings, source)


def self_critical_runs(
    run: Path,
    decoder: Decoder,
    training: Split,
    tokens: list[list[list[int]]],
    settings: Settings,
    stage: Callable[..., None],
) -> None:
    """Run the self-critical stage several times from the same weights; leave the decoder with their mean."""
    reward = rewarder(tokens, settings.bleu)
    decoder.feature_dropout.p = decoder.dropout.p = settings.critical_dropout
    start, ends = weights_of(decoder), []
    for k in range(settings.critical_runs):
        decoder.load_state_dict(start)
        stage(
            run / f"self-critical-{k}.pt",
            decoder,
            seed=settings.seed + k,
            epochs=settings.critical_epochs,
            steps=-(-len(tokens) // settings.critical_images),
            rate=settings.critical_rate,
            average=settings.critical_average,
            epoch_of=lambda update: self_critical_epoch(decoder, training, reward, settings, update),
        )
        ends.append(weights_of(decoder))
    decoder.load_state_dict({key: torch.stack([end[key] for end in ends]).mean(dim=0) for key in start})


def ship(
    run: Path, decoder: Decoder, vocabulary: list[str], validation: Split, settings: Settings, source: str
) -> None:
    """Write RUN/captioner.safetensors and RUN/captioner.json, with the beam search's scores on the val split."""
    # What is measured is what ships: rounded to float16.
    save_file({name: tensor.half().cpu() for name, tensor in decoder.state_dict().items()}, run / WEIGHTS.name)
    decoder.load_state_dict(load_file(run / WEIGHTS.name))
    captions = []
    for features in tqdm(validation.features[:, :1].float().to(decoder.bias.device), desc="beam search"):
        tokens, _ = beam_search(decoder, features, settings.beam, settings.limit, content_words(vocabulary))[0]
        captions.append(_spell(tokens, vocabulary))
    scores = measure(captions, validation.captions)
    print(f"validation, beam of {settings.beam}:", scores)
    card = {"trained on": source, "settings": asdict(settings), "validation": scores, "vocabulary": vocabulary}
    (run / CARD.name).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")


def _as_text(tokens: list[int]) -> str:
    return " ".join(map(str, tokens))


def _spell(tokens: list[int], vocabulary: list[str]) -> list[str]:
    return [vocabulary[token - END - 1] for token in tokens if token != END]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--device", default="auto", help="auto (the default), cpu, cuda or mps")
    args = parser.parse_args()
    train(args.data, args.cache, args.run, Settings(seed=args.seed), available_device(args.device))


if __name__ == "__main__":
    main()
