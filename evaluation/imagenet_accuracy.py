"""Accuracy of the shipped ResNet-50 on a folder of labelled photographs.

    python -m evaluation.imagenet_accuracy DATA [--weights FILE]

DATA holds `images/` and `records.jsonl` with one `{"image": name, "class_index": 0..999}` a line. Two
geometries are measured: the field's usual one (shorter side to 256, centre 224 x 224), and the whole photograph
squashed to a square, which is what the demo does, at two sizes. Only on ImageNet's validation set can the first be
compared with published figures, for this network about 75%.
"""

import argparse
import json
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms import v2

from demo.models.network import squash
from demo.models.resnet50 import GEOMETRY, WEIGHTS, resnet50_v1

GEOMETRIES = {
    "resize 256, crop 224": v2.Compose([v2.Resize(256, v2.InterpolationMode.BICUBIC), v2.CenterCrop(224)]),
    "whole photo squashed to 224": lambda photo: squash(photo, 224),
    f"whole photo squashed to {GEOMETRY.side}": lambda photo: squash(photo, GEOMETRY.side),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    args = parser.parse_args()

    network = resnet50_v1()
    network.load_state_dict(load_file(args.weights), strict=True)
    network.eval()
    to_tensor = v2.Compose(
        [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(GEOMETRY.mean, GEOMETRY.std)]
    )

    records = [json.loads(line) for line in (args.data / "records.jsonl").read_text().splitlines()]
    truth = torch.tensor([record["class_index"] for record in records])
    print(f"{args.weights.name}, {len(records)} photographs")
    for name, geometry in GEOMETRIES.items():
        ranked = []
        for start in range(0, len(records), 25):
            batch = [
                to_tensor(geometry(Image.open(args.data / "images" / record["image"]).convert("RGB")))
                for record in records[start : start + 25]
            ]
            with torch.inference_mode():
                ranked.append(network(torch.stack(batch)).topk(5).indices)
        hits = torch.cat(ranked) == truth[:, None]
        top1, top5 = 100 * hits[:, 0].float().mean(), 100 * hits.any(dim=1).float().mean()
        print(f"{name:30} top-1 {top1:.1f}%  top-5 {top5:.1f}%")


if __name__ == "__main__":
    main()
