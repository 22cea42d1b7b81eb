"""Measure the accuracy of the shipped ResNet-50 on a folder of labelled images.

    python -m evaluation.imagenet_accuracy DATA [--weights FILE]
    python -m evaluation.imagenet_accuracy DATA --noise

DATA holds `images/` and `records.jsonl` with one `{"image": name, "class_index": 0..999}` a line. Two geometries are
measured: the field's usual one (shorter side to 256, centre 224 x 224), and the whole image squashed to a square as in
the demo, at two sizes. Only on ImageNet's validation set can the first be compared with published figures, for this
network about 75%.

`--noise` measures on 250 images, evenly out of all, how much noise on the weights leaves the network right about half
the time: `demo.models.altered.WORSE`. It prints the share of right predictions for each scale, and the share that is
the trained network's; then the most probable class of both networks for each example image.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.transforms import v2

from demo.models import load
from demo.models.altered import WORSE, WORSE_SEED, worsened
from demo.models.network import squash
from demo.models.resnet50 import GEOMETRY, WEIGHTS, encoder, resnet50_v1
from evaluation.load import EXAMPLES
from training.features import read_records

GEOMETRIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resize 256, crop 224": v2.Compose([v2.Resize(256, v2.InterpolationMode.BICUBIC), v2.CenterCrop(224)]),
    "whole image squashed to 224": lambda image: squash(image, 224),
    f"whole image squashed to {GEOMETRY.side}": lambda image: squash(image, GEOMETRY.side),
}
SCALES = (0.0, 0.05, 0.1, 0.12, 0.14, 0.15, 0.16, 0.18, 0.2, 0.3)
NOISY = 250  # images
BATCH = 25


@torch.inference_mode()
def most_probable(network: nn.Module, files: list[Path], prepare: Callable[[Image.Image], Tensor]) -> Tensor:
    """Return the indices of the five most probable classes of each image, int64 (N, 5), the best first."""
    ranked = []
    for start in range(0, len(files), BATCH):
        images = [prepare(Image.open(file).convert("RGB")) for file in files[start : start + BATCH]]
        ranked.append(network(torch.cat(images)).topk(5).indices)
    return torch.cat(ranked)


def print_geometries(network: nn.Module, files: list[Path], truth: Tensor) -> None:
    """Print the top-1 and top-5 accuracy with each geometry."""
    normalize = v2.Normalize(GEOMETRY.mean, GEOMETRY.std)
    to_batch = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), normalize, lambda image: image[None]]
    for name, geometry in GEOMETRIES.items():
        hits = most_probable(network, files, v2.Compose([geometry, *to_batch])) == truth[:, None]
        top1, top5 = 100 * hits[:, 0].float().mean(), 100 * hits.any(dim=1).float().mean()
        print(f"{name:30} top-1 {top1:.1f}%  top-5 {top5:.1f}%")


def print_noise(files: list[Path], truth: Tensor) -> None:
    """Print what the network with noise on its weights gets right, and what both say of the examples."""
    model, trained = load("classification"), encoder("cpu")
    usual = most_probable(trained, files, model.prepare)[:, 0]
    print(f"{len(files)} images\nscale  right  as trained")
    for scale in SCALES:
        noisy = most_probable(worsened(trained, scale, WORSE_SEED), files, model.prepare)[:, 0]
        right, same = (100 * (noisy == expected).float().mean() for expected in (truth, usual))
        print(f"{scale:5.2f} {right:5.1f}% {same:10.1f}%", flush=True)
    print(f"\nexample, class of the trained network, class at {WORSE}")
    networks = (trained, worsened(trained, WORSE, WORSE_SEED))
    columns = (most_probable(network, EXAMPLES, model.prepare)[:, 0].tolist() for network in networks)
    for path, *indices in zip(EXAMPLES, *columns, strict=True):
        mark = "same" if len(set(indices)) == 1 else "    "
        print(f"{path.stem:22} {mark}  " + " | ".join(model.labels[index] for index in indices))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--noise", action="store_true", help="measure noisy weights instead")
    args = parser.parse_args()
    records = read_records(args.data.parent, args.data.name)
    if args.noise:
        records = records[:: max(1, len(records) // NOISY)][:NOISY]
    files = [args.data / "images" / record["image"] for record in records]
    truth = torch.tensor([record["class_index"] for record in records])
    if args.noise:
        print_noise(files, truth)
        return
    network = resnet50_v1()
    network.load_state_dict(load_file(args.weights), strict=True)
    print(f"{args.weights.name}, {len(records)} images")
    print_geometries(network.eval(), files, truth)


if __name__ == "__main__":
    main()
