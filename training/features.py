"""Encode pictures once with the shipped ResNet-50, for training on what it sees of them.

    python -m training.features DATA CACHE FOLDER ... [--of captions] [--views pooled mirrored cells]

DATA holds a folder for each set of pictures, with `images/` and `records.jsonl`, one `{"image": name, ...}` a line.
For each FOLDER, CACHE gets float16 arrays in the order of the records: `FOLDER.npy`, the pooled features of the
pictures, (records, 2048); with the view "mirrored" `FOLDER.mirrored.npy`, those of their mirror images; and with the
view "cells" `FOLDER.cells.npy`, those of the cells of the last stage, (records, 64, 2048), a quarter of a megabyte a
picture. Rows not (yet) encoded are NaN: a run that was stopped goes on where it was.
"""

import argparse
import json
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from PIL import ImageOps
from tqdm import tqdm

from demo.images import open_photo
from demo.models import available_device
from demo.models.resnet50 import CELLS, FEATURES, GEOMETRY, cells, encoder, pooled

BATCH = 8

View = Literal["pooled", "mirrored", "cells"]  # of a picture; the second is the pooled features of its mirror image


def read_records(data: Path, folder: str) -> list[dict]:
    """Return the lines of a folder's `records.jsonl`."""
    return [json.loads(line) for line in (data / folder / "records.jsonl").read_text().splitlines()]


def cached(cache: Path, folder: str, view: View) -> np.ndarray:
    """Return the features of a folder as they are on disk: float16 (records, ...), NaN where not encoded."""
    return np.load(_path(cache, folder, view), mmap_mode="r")


def encode(
    data: Path,
    cache: Path,
    folder: str,
    view: View,
    field: str | None,
    device: str,
) -> None:
    """Encode a folder's pictures, or only those with something in `field`, exactly as the demo does.

    Writes `cache`; see the head of this file for the layout.
    """
    records = read_records(data, folder)
    path = _path(cache, folder, view)
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        shape = (len(records), *((CELLS,) if view == "cells" else ()), FEATURES)
        np.lib.format.open_memmap(path, "w+", np.float16, shape).fill(np.nan)
    features = np.load(path, mmap_mode="r+")
    missing = np.isnan(features.reshape(len(records), -1)[:, 0])
    rows = [i for i, record in enumerate(records) if (field is None or record.get(field)) and missing[i]]
    network = encoder(device)
    with tqdm(total=len(rows), desc=path.stem, unit="pictures") as progress, torch.inference_mode():
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            photos = [open_photo(data / folder / "images" / records[i]["image"]) for i in batch]
            if view == "mirrored":
                photos = [ImageOps.mirror(photo) for photo in photos]
            images = torch.cat([GEOMETRY.normalised(photo) for photo in photos]).to(device)
            features[batch] = (cells if view == "cells" else pooled)(network, images).half().cpu().numpy()
            progress.update(len(batch))


def _path(cache: Path, folder: str, view: View) -> Path:
    return cache / (f"{folder}.npy" if view == "pooled" else f"{folder}.{view}.npy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--of", metavar="FIELD", help="only records with something in this field")
    parser.add_argument("--views", nargs="+", choices=get_args(View), default=["pooled"], help="what to encode")
    parser.add_argument("--device", default="auto", help="auto (the default), cpu, cuda or mps")
    args = parser.parse_args()

    device = available_device(args.device)
    for view in args.views:
        for folder in args.folders:
            encode(args.data, args.cache, folder, view, args.of, device)


if __name__ == "__main__":
    main()
