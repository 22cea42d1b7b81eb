"""Measure whether the captioner looks at what its words name, which nobody taught it (the paper's section 7.1).

    python -m evaluation.caption_localization DATA

DATA holds `images/` and `records.jsonl`, one `{"image": name, "width": w, "height": h, "objects": [{"class": name,
"xmin": ..., "ymin": ..., "xmax": ..., "ymax": ...}, ...]}` a line, boxes in pixels of w x h as PASCAL VOC has them:
counted from 1, both ends inside. Each class must be a word that the captioner knows.

For each image and each class that it has boxes of, the captioner is made to say the class in fixed sentences. The
heatmaps of that word are compared with the boxes: whether the highest pixel is in a box (the pointing game of Zhang et
al., ECCV 2016, without their tolerance of 15 pixels), and the mean inside the boxes over the mean outside. The table
has means over the pairs of image and class, with standard errors; pairs whose boxes cover the whole image are left
out. A gradient image counts with the mean absolute value of its colours. A heatmap of zeros points nowhere and has the
ratio 1. One that is zero outside the boxes only has an infinite ratio, which counts in the median and not in the mean.

Baselines have no evidence: a uniform map, a Gaussian around the centre of the image, and Grad-CAM of a class that the
image does not have.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import sem
from torch import Tensor
from tqdm import tqdm

from demo.models import available_device
from demo.models.captioning import Captioner, shipped_captioner
from demo.models.words import words
from explainers import Explanation, explain, gradcam_maps
from training.features import read_records

# A word depends on what was said before it, not on what follows.
SENTENCES = ("a {}", "there is a {}", "a picture of a {}")

# Ratios for captions on DenseCap's boxes, the paper's section 7.1.
PAPER = {"Grad-CAM": 3.27, "Guided Backprop": 2.32, "Guided Grad-CAM": 6.38}

# Of the Gaussian around the centre, in sides of the image.
SPREAD = 0.25


def inside(objects: list[dict[str, Any]], photo: tuple[int, int], side: int) -> Tensor:
    """Return which pixels of an image of (width, height), squashed to side x side, are in a box; bool (side, side)."""
    mask = torch.zeros(side, side, dtype=torch.bool)
    across, down = side / photo[0], side / photo[1]
    for box in objects:
        left, right = min(round((box["xmin"] - 1) * across), side - 1), round(box["xmax"] * across)
        top, bottom = min(round((box["ymin"] - 1) * down), side - 1), round(box["ymax"] * down)
        mask[top : max(bottom, top + 1), left : max(right, left + 1)] = True
    return mask


def pointed(heat: Tensor, mask: Tensor) -> float:
    """Return 1 if the highest pixel of a map (H, W) is in the mask, else 0; of several, the middle counts."""
    # Up-sampled cells at the border of a map are flat: the first of their pixels would be the corner.
    row, column = (heat == heat.max()).nonzero().float().mean(dim=0).round().int().tolist()
    return float(heat.max() > 0 and mask[row, column])


def ratio(heat: Tensor, mask: Tensor) -> float:
    """Return the mean of a map (H, W) inside the mask over its mean outside, infinite if there is nothing outside."""
    if heat.max() == 0:
        return 1.0
    return (heat[mask].mean() / heat[~mask].mean()).item()


def centred(side: int) -> Tensor:
    """Return a Gaussian around the centre of a square, (side, side)."""
    along = torch.exp(-(torch.linspace(-0.5, 0.5, side) ** 2) / (2 * SPREAD**2))
    return along[:, None] * along


def heatmaps(explanation: Explanation) -> dict[str, Tensor]:
    """Return the three pictures of one target as maps (H, W) on the CPU."""
    pictures = {
        "Guided Backprop": explanation.pixel_gradient[0].abs().mean(dim=0),
        "Grad-CAM": explanation.gradcam[0],
        "Guided Grad-CAM": explanation.guided_gradcam[0].abs().mean(dim=0),
    }
    return {name: picture.cpu() for name, picture in pictures.items()}


def stretched(cells: Tensor, image: Tensor) -> Tensor:
    """Return a map of cells (h, w) at the size of an image (1, 3, H, W), on the CPU."""
    return F.interpolate(cells[None, None], image.shape[2:], mode="bilinear")[0, 0].cpu()


def scores(model: Captioner, label: str) -> list[Callable[[Tensor], Tensor]]:
    """Return the score of a class's name in each sentence."""
    captions = [sentence.format(label) for sentence in SENTENCES]
    return [model.score(caption, words(caption).index(label)) for caption in captions]


def evidence(model: Captioner, image: Tensor, label: str, absent: str) -> dict[str, list[Tensor]]:
    """Return the heatmaps of a class's name in each sentence, and those of the baselines."""
    layer = next(iter(model.layers.values()))
    found = [heatmaps(explain(score, image, layer)) for score in scores(model, label)]
    others = [stretched(gradcam_maps(score, image, layer)[0], image) for score in scores(model, absent)]
    return {name: [each[name] for each in found] for name in found[0]} | {
        "Grad-CAM of a class that is not there": others,
        "centre": [centred(image.shape[-1])],
    }


def measure(model: Captioner, data: Path, records: list[dict]) -> dict[str, list[dict[str, tuple[float, float]]]]:
    """Return for each class the pointing game and the ratio, by name, of each image that has it."""
    classes = sorted({box["class"] for record in records for box in record["objects"]})
    results: dict[str, list[dict[str, tuple[float, float]]]] = defaultdict(list)
    for record in tqdm(records, unit="images"):
        image = model.prepare(Image.open(data / "images" / record["image"]).convert("RGB"))
        present = {box["class"] for box in record["objects"]}
        absent = [name for name in classes if name not in present]
        for label in sorted(present):
            boxes = [box for box in record["objects"] if box["class"] == label]
            mask = inside(boxes, (record["width"], record["height"]), image.shape[-1])
            if mask.all():
                continue
            other = absent[sum(map(len, results.values())) % len(absent)]
            result = {"uniform": (mask.float().mean().item(), 1.0)}
            for name, heats in evidence(model, image, label, other).items():
                points, ratios = ([measured(heat, mask) for heat in heats] for measured in (pointed, ratio))
                result[name] = float(np.mean(points)), float(np.mean(ratios))
            results[label].append(result)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    model = shipped_captioner("", available_device("auto"))
    by_class = measure(model, data, read_records(data.parent, data.name))
    results = [result for of_class in by_class.values() for result in of_class]
    print(f"{len(results)} pairs of image and class, {len(SENTENCES)} sentences each")
    print(f"{'':38} {'pointing game':>17}   {'inside / outside':>16}   {'median':>6}   {'left out':>8}   paper")
    for name in results[0]:
        points, ratios = np.array([result[name] for result in results]).T
        finite = ratios[np.isfinite(ratios)]
        print(
            f"{name:38} {100 * points.mean():7.2f} ± {100 * sem(points):5.2f} %   {finite.mean():7.2f} ± "
            f"{sem(finite):5.2f}   {np.median(ratios):6.2f}   {len(ratios) - len(finite):8}   {PAPER.get(name, '')}"
        )
    for label, of_class in by_class.items():
        games = [(result["Grad-CAM"][0], result["centre"][0], result["uniform"][0]) for result in of_class]
        hits, centre, covered = 100 * np.array(games).mean(axis=0)
        print(
            f"pointing game, {label:7} {len(games):4} pairs: Grad-CAM {hits:5.1f} %, "
            f"centre {centre:5.1f} %, uniform {covered:5.1f} %"
        )


if __name__ == "__main__":
    main()
