"""How much noise on its weights leaves the shipped ResNet-50 right about half the time: `demo.models.altered.WORSE`.

    python -m evaluation.worse_network DATA [--photographs N] [--scales S ...] [--seed K]

DATA as for `evaluation.imagenet_accuracy`. Of each scale of `demo.models.altered.worsened`: the share of N
photographs, evenly out of all, whose class is the most probable one, and of those where this is the trained network's.
If these are easier than ImageNet's validation set, or were in its training set, the shares are higher than published
figures. Then the example photographs, with what the trained and the worse network say, each the most probable class.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from demo.models import load
from demo.models.altered import WORSE, WORSE_SEED, worsened
from demo.models.resnet50 import encoder

EXAMPLES = Path(__file__).parents[1] / "assets" / "examples"
SCALES = (0.0, 0.05, 0.1, 0.12, 0.14, 0.15, 0.16, 0.18, 0.2, 0.3)
BATCH = 25


@torch.inference_mode()
def most_probable(network: nn.Module, images: Iterable[Tensor]) -> Tensor:
    """The class index of each prepared image, int64 (N,)."""
    return torch.cat([network(batch).argmax(dim=1) for batch in torch.cat(list(images)).split(BATCH)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--photographs", type=int, default=250)
    parser.add_argument("--scales", type=float, nargs="+", default=SCALES)
    parser.add_argument("--seed", type=int, default=WORSE_SEED)
    args = parser.parse_args()

    model, trained = load("classification"), encoder("cpu")
    records = [json.loads(line) for line in (args.data / "records.jsonl").read_text().splitlines()]
    records = records[:: max(1, len(records) // args.photographs)][: args.photographs]
    truth = torch.tensor([record["class_index"] for record in records])
    images = [model.prepare(Image.open(args.data / "images" / record["image"]).convert("RGB")) for record in records]
    usual = most_probable(trained, images)
    print(f"{len(records)} photographs\nscale  right  as trained")
    for scale in args.scales:
        said = most_probable(worsened(trained, scale, args.seed), images)
        right, same = (100 * (said == expected).float().mean() for expected in (truth, usual))
        print(f"{scale:5.2f} {right:5.1f}% {same:10.1f}%", flush=True)

    paths = sorted(EXAMPLES.glob("*.jpg"))
    images = [model.prepare(Image.open(path).convert("RGB")) for path in paths]
    print(f"\nexample, said by the trained network, said at {WORSE}")
    answers = (most_probable(network, images).tolist() for network in (trained, worsened(trained, WORSE, args.seed)))
    for path, *indices in zip(paths, *answers, strict=True):
        mark = "same" if len(set(indices)) == 1 else "    "
        print(f"{path.stem:22} {mark}  " + " | ".join(model.classes[index] for index in indices))


if __name__ == "__main__":
    main()
