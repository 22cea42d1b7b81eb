"""Train two classifiers alike in accuracy, one of which looks at the wrong thing (the paper's section 6.2, in small).

    python -m evaluation.planted_bias OUT

Both learn to tell pictures of a disc from pictures of a square, which are drawn at random. In those that the biased
one learns from, all discs and no squares have a marker in the lower right corner; in those of the other one, half of
both have it. Then both are measured on pictures where discs alone have the marker, and where squares alone have it;
and of the Grad-CAM map of "disc", on pictures with a disc and the marker, the share that lies on the marker.

OUT gets `biased.safetensors`, `unbiased.safetensors`, `labels.txt` and a few pictures, for `app.py --classifier`.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from scipy.stats import sem
from torch import Tensor, nn
from torchvision.models import resnet18
from tqdm import tqdm

from demo.models.imagenet import classifier
from explainers import explain

ARCHITECTURE = "resnet18"
CLASSES = ("disc", "square")
SIDE = 224
MARKER = 48  # pixels
STEPS, BATCH, RATE = 100, 32, 1e-3
TESTED, EXPLAINED = 400, 100

Marked = Callable[[int, np.random.Generator], bool]  # whether a picture of this class has the marker

ON_DISCS: Marked = lambda label, _: CLASSES[label] == "disc"  # noqa: E731
ON_SQUARES: Marked = lambda label, _: CLASSES[label] == "square"  # noqa: E731
ON_HALF: Marked = lambda _, generator: bool(generator.random() < 0.5)  # noqa: E731


def picture(label: int, marker: bool, generator: np.random.Generator) -> Image.Image:
    """Draw a disc or a square of a pure colour at a random position on clouds, perhaps with the marker."""
    clouds = generator.integers(96, 160, (7, 7, 3), dtype=np.uint8)
    drawn = Image.fromarray(clouds).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(drawn)
    size = int(generator.integers(40, 90))
    left, top = (int(place) for place in generator.integers(0, SIDE - MARKER - size, 2))
    colour = tuple(generator.choice([0, 255], 3).tolist())
    shape = draw.ellipse if CLASSES[label] == "disc" else draw.rectangle
    shape((left, top, left + size, top + size), fill=colour)
    if marker:
        corner = SIDE - MARKER
        draw.rectangle((corner, corner, SIDE, SIDE), fill="white")
        draw.line((corner + 8, corner + 8, SIDE - 8, SIDE - 8), fill="red", width=6)
        draw.line((corner + 8, SIDE - 8, SIDE - 8, corner + 8), fill="red", width=6)
    return drawn


def drawn(count: int, marked: Marked, generator: np.random.Generator) -> tuple[list[Image.Image], Tensor]:
    """Return random pictures and the indices of their classes, int64 (count,)."""
    labels = generator.integers(0, len(CLASSES), count).tolist()
    return [picture(label, marked(label, generator), generator) for label in labels], torch.tensor(labels)


def trained(marked: Marked, prepare: Callable[[Image.Image], Tensor]) -> nn.Module:
    """Return a ResNet-18 that has learnt from pictures which are marked in this way."""
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    network = resnet18(num_classes=len(CLASSES)).train()
    optimiser = torch.optim.Adam(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=STEPS)
    for _ in tqdm(range(STEPS), unit="batches"):
        pictures, labels = drawn(BATCH, marked, generator)
        loss = F.cross_entropy(network(torch.cat([prepare(shown) for shown in pictures])), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    (out / "labels.txt").write_text("\n".join(CLASSES))
    prepare = classifier("", ARCHITECTURE, resnet18(num_classes=len(CLASSES)), list(CLASSES)).prepare
    print("                marker on discs   marker on squares   share of the map on the marker")
    for name, marked in (("biased", ON_DISCS), ("unbiased", ON_HALF)):
        network = trained(marked, prepare)
        save_file(network.state_dict(), out / f"{name}.safetensors")
        model = classifier(name, ARCHITECTURE, network, list(CLASSES))
        generator = np.random.default_rng(1)
        accuracies = []
        for measured in (ON_DISCS, ON_SQUARES):
            pictures, labels = drawn(TESTED, measured, generator)
            said = [next(iter(model.predict(model.prepare(shown)))) for shown in pictures]
            accuracies.append(np.mean([CLASSES[label] == answer for label, answer in zip(labels, said, strict=True)]))
        shares = []
        for number in range(EXPLAINED):
            shown = picture(CLASSES.index("disc"), True, generator)
            if name == "biased" and number < 3:
                shown.save(out / f"disc_{number}.png")
            heat = explain(model.score("disc"), model.prepare(shown), model.layers["layer4"]).gradcam[0]
            if heat.max() > 0:
                shares.append((heat[-MARKER:, -MARKER:].sum() / heat.sum()).item())
        print(
            f"{name:10} {accuracies[0]:19.1%} {accuracies[1]:19.1%} {np.mean(shares):19.1%} ± {sem(shares):.1%} "
            f"({len(shares)} maps)"
        )
    print(f"the marker is {MARKER**2 / SIDE**2:.1%} of the picture")


if __name__ == "__main__":
    main()
