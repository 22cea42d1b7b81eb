"""Measure whether the heatmaps of answers rank the regions of an image as covering them does.

    python -m evaluation.vqa_faithfulness QUESTIONS DATA [--pairs N]

QUESTIONS as for `training.vqa`, DATA the folder of the images. For random held-out questions from captions and of
people about COCO, each shipped model's own answer is explained. The image is covered by a grey square at 7 x 7
positions. The fall of the answer's logit is compared with the mean of each heatmap (of a gradient image: of its
absolute value) in the same squares: Spearman's rank correlation, mean and standard error. The paper has 0.60 for
Grad-CAM and 0.42 for Guided Backprop, with another model, other questions and other squares.

Beside them the attention of the model that has one, and baselines: a Gaussian around the centre of the image, Grad-CAM
of an answer drawn at random, and Grad-CAM with its squares shuffled.
"""

import argparse
import random
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from scipy.stats import sem, spearmanr
from torch import Tensor
from tqdm import tqdm

from demo.images import open_photo
from demo.models import available_device
from demo.models.coattention import AttentiveAnswerer, shipped_attentive_answerer
from demo.models.vqa import Answerer, shipped_answerer
from evaluation.caption_localization import centred, heatmaps, stretched
from explainers import explain, finish, gradcam_maps, occlusion_maps
from training.features import read_records
from training.vqa import group, read_pairs
from training.vqa_data import Pair

PATCH, STRIDE = 64, 32  # of 256 pixels
PAPER = {"Grad-CAM": 0.60, "Guided Backprop": 0.42}


def in_squares(heat: Tensor) -> Tensor:
    """Return the means of a map (H, W) in the squares that are covered, (h, w)."""
    return F.avg_pool2d(heat[None], PATCH, STRIDE)[0]


def correlated(model: Answerer, pairs: list[Pair], data: Path) -> dict[str, list[float]]:
    """Return each heatmap's correlations with what covering does, over the questions with positive evidence."""
    records = {folder: read_records(data, folder) for folder in {pair.folder for pair in pairs}}
    generator, shuffled = random.Random(0), np.random.default_rng(0)
    layer = next(iter(model.layers.values()))
    correlations: dict[str, list[float]] = defaultdict(list)
    for pair in tqdm(pairs, unit="questions"):
        photo = open_photo(str(data / pair.folder / "images" / records[pair.folder][pair.row]["image"]))
        image = model.prepare(photo)
        score = model.score(pair.question, next(iter(model.predict(image, pair.question))))
        falls = finish(occlusion_maps(score, image, patch=PATCH, stride=STRIDE))[0].cpu().numpy().flatten()
        heats = heatmaps(explain(score, image, layer))
        other = model.score(pair.question, generator.choice(model.labels))
        heats["Grad-CAM of a random answer"] = stretched(gradcam_maps(other, image, layer)[0], image)
        if isinstance(model, AttentiveAnswerer):
            heats["Attention"] = stretched(model.attention(image, pair.question), image)
        heats["a Gaussian around the centre"] = centred(len(image[0, 0]))
        maps = {name: in_squares(heat).numpy().flatten() for name, heat in heats.items()}
        maps["Grad-CAM, its squares shuffled"] = shuffled.permutation(maps["Grad-CAM"])
        if maps["Grad-CAM"].max() == 0:
            continue  # no positive evidence: nothing to rank
        for name, values in maps.items():
            flat = values.max() == values.min()  # ranks nothing
            correlations[name].append(0.0 if flat else spearmanr(values, falls).statistic)
    return correlations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pairs", type=int, default=240)
    args = parser.parse_args()

    held_out = [pair for pair in read_pairs(args.questions) if pair.split == "test" and pair.set != "daquar"]
    by_group = defaultdict(list)
    for pair in held_out:
        by_group[group(pair)].append(pair)
    generator = random.Random(0)
    pairs = [pair for asked in by_group.values() for pair in generator.sample(asked, args.pairs // len(by_group))]
    for opened in (shipped_answerer, shipped_attentive_answerer):
        correlations = correlated(opened("", available_device("auto")), pairs, args.data)
        print(f"{opened.__name__}: {len(correlations['Grad-CAM'])} of {len(pairs)} with positive evidence")
        for name, ranks in correlations.items():
            print(f"{name:32} {np.mean(ranks):6.3f} ± {sem(ranks):.3f}   {PAPER.get(name, '')}")


if __name__ == "__main__":
    main()
