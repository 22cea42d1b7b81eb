"""Does the captioner look at what its words name? Nobody taught it where things are (the paper's section 7.1).

    python -m evaluation.caption_localization DATA

DATA holds `images/` and `records.jsonl`, one `{"image": name, "width": w, "height": h, "objects": [{"class": name,
"xmin": ..., "ymin": ..., "xmax": ..., "ymax": ...}, ...]}` a line, boxes in pixels of w x h as PASCAL VOC has them:
counted from 1, both ends inside. Each class must be a word that the captioner knows.

For each photograph and each class that it has boxes of, the captioner is made to say the class in fixed sentences, and
the maps of that word are compared with the boxes of the class: whether the highest pixel is in a box (the pointing
game of Zhang et al., ECCV 2016, without their tolerance of 15 pixels), and the mean of the map inside the boxes over
its mean outside. Averages of the sentences are averaged over the pairs of photograph and class, with the standard
error of that mean; pairs whose boxes cover the whole photograph are left out. Of the maps of pixels, the mean absolute
value of the three colours is taken. A map that is zero everywhere points nowhere and has the ratio 1; where
one is zero outside the boxes only, the ratio is infinite: such pairs are counted, and left out of its mean but not of
its median.

Beside them, what no evidence at all would give (a uniform map; a Gaussian around the centre of the photograph), and
Grad-CAM of a class that the photograph does not have: what a map says of where things are, whatever the word.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from demo.models import available_device
from demo.models.captioning import shipped_captioner
from demo.models.words import words
from explainers import explain, gradcam_maps

# A word depends on what was said before it, not on what follows.
SENTENCES = ("a {}", "there is a {}", "a picture of a {}")

# Ratios for captions on DenseCap's boxes, the paper's section 7.1.
PAPER = {"Grad-CAM": 3.27, "Guided Backprop": 2.32, "Guided Grad-CAM": 6.38}

# Of the Gaussian around the centre, in sides of the photograph.
SPREAD = 0.25


def inside(objects: list[dict[str, Any]], photo: tuple[int, int], side: int) -> Tensor:
    """Which pixels of a photograph of (width, height), squashed to side x side, are in a box; bool (side, side)."""
    mask = torch.zeros(side, side, dtype=torch.bool)
    across, down = side / photo[0], side / photo[1]
    for box in objects:
        left, right = min(round((box["xmin"] - 1) * across), side - 1), round(box["xmax"] * across)
        top, bottom = min(round((box["ymin"] - 1) * down), side - 1), round(box["ymax"] * down)
        mask[top : max(bottom, top + 1), left : max(right, left + 1)] = True
    return mask


def pointed(heat: Tensor, mask: Tensor) -> float:
    """1 if the highest pixel of a map (H, W) is in the mask, else 0; of several, the middle counts."""
    # Up-sampled cells at the border of a map are flat: the first of their pixels would be the corner.
    row, column = (heat == heat.max()).nonzero().float().mean(dim=0).round().int().tolist()
    return float(heat.max() > 0 and mask[row, column])


def ratio(heat: Tensor, mask: Tensor) -> float:
    """The mean of a map (H, W) inside the mask over its mean outside, infinite if there is nothing outside."""
    if heat.max() == 0:
        return 1.0
    return (heat[mask].mean() / heat[~mask].mean()).item()


def centred(side: int) -> Tensor:
    """A Gaussian around the centre of a square, (side, side)."""
    along = torch.exp(-(torch.linspace(-0.5, 0.5, side) ** 2) / (2 * SPREAD**2))
    return along[:, None] * along


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--device", default="auto", help="auto (the default), cpu, cuda or mps")
    args = parser.parse_args()

    model = shipped_captioner("", available_device(args.device))
    records = [json.loads(line) for line in (args.data / "records.jsonl").read_text().splitlines()]
    classes = sorted({box["class"] for record in records for box in record["objects"]})

    layer = next(iter(model.layers.values()))

    def scores(named: str) -> list[Callable[[Tensor], Tensor]]:
        """The score of a class's name in each sentence."""
        captions = [sentence.format(named) for sentence in SENTENCES]
        return [model.score(caption, words(caption).index(named)) for caption in captions]

    def maps(image: Tensor, named: str) -> list[dict[str, Tensor]]:
        """The three maps (H, W) of a class's name, for each sentence."""
        found = []
        for score in scores(named):
            explanation = explain(score, image, layer)
            pictures = {
                "Guided Backprop": explanation.pixel_gradient[0].abs().mean(dim=0),
                "Grad-CAM": explanation.gradcam[0],
                "Guided Grad-CAM": explanation.guided_gradcam[0].abs().mean(dim=0),
            }
            found.append({name: picture.cpu() for name, picture in pictures.items()})
        return found

    def gradcam(score: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        """The Grad-CAM map (H, W) alone."""
        cells = gradcam_maps(score, image, layer)[None]
        return F.interpolate(cells, image.shape[-2:], mode="bilinear", align_corners=False)[0, 0].cpu()

    pointing: dict[str, list[float]] = defaultdict(list)
    ratios: dict[str, list[float]] = defaultdict(list)
    by_class: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for record in tqdm(records, unit="photographs"):
        present = {box["class"] for box in record["objects"]}
        absent = [name for name in classes if name not in present]
        image = model.prepare(Image.open(args.data / "images" / record["image"]).convert("RGB"))
        side = image.shape[-1]
        for named in sorted(present):
            boxes = [box for box in record["objects"] if box["class"] == named]
            mask = inside(boxes, (record["width"], record["height"]), side)
            if mask.all():
                continue
            found = maps(image, named)
            other = scores(absent[len(pointing["uniform"]) % len(absent)])
            heats = {name: [each[name] for each in found] for name in found[0]}
            heats["Grad-CAM of a class that is not there"] = [gradcam(score, image) for score in other]
            heats["centre"] = [centred(side)]
            for name, sentences in heats.items():
                pointing[name].append(float(np.mean([pointed(heat, mask) for heat in sentences])))
                ratios[name].append(float(np.mean([ratio(heat, mask) for heat in sentences])))
            pointing["uniform"].append(mask.float().mean().item())
            ratios["uniform"].append(1.0)
            by_class[named].append((pointing["Grad-CAM"][-1], pointing["centre"][-1], pointing["uniform"][-1]))

    print(f"{len(pointing['uniform'])} pairs of photograph and class, {len(SENTENCES)} sentences each")
    print(f"{'':38} {'pointing game':>17}   {'inside / outside':>16}   {'median':>6}   {'left out':>8}   paper")
    for name in pointing:
        all_ratios = np.array(ratios[name])
        finite = all_ratios[np.isfinite(all_ratios)]
        print(
            f"{name:38} {_with_error(100 * np.array(pointing[name]))} %   {_with_error(finite)}   "
            f"{np.median(all_ratios):6.2f}   {len(all_ratios) - len(finite):8}   {PAPER.get(name, '')}"
        )
    for name, results in by_class.items():
        hits, centre, covered = 100 * np.array(results).mean(axis=0)
        print(
            f"pointing game, {name:7} {len(results):4} pairs: Grad-CAM {hits:5.1f} %, "
            f"centre {centre:5.1f} %, uniform {covered:5.1f} %"
        )


def _with_error(values: np.ndarray) -> str:
    return f"{values.mean():7.2f} ± {values.std(ddof=1) / len(values) ** 0.5:5.2f}"


if __name__ == "__main__":
    main()
