"""What the models of the Hugging Face hub have in common: opening one that is here, and its geometry."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from demo.models.network import Geometry, channels_of
from demo.models.processors import measured_geometry, processing

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")

# Safe tensors alone, float32, no code from the hub, and no network: what is opened is here already. Attention is
# computed step by step, because the fused kernels have no gradient everywhere.
_OPTIONS: dict[str, Any] = {
    "use_safetensors": True,
    "trust_remote_code": False,
    "local_files_only": True,
    "dtype": "float32",
    "attn_implementation": "eager",
}


def open_all(model_class: str, folder: Path, device: str) -> tuple[Any, Any, Geometry]:
    """The network of a model that is here, its tokenizer and its geometry.

    The network is frozen and in evaluation mode. The tokenizer says where in the text its tokens are.

    Args:
        model_class: the name of a class of transformers.

    Raises:
        ValueError: the weights are not all there, or it does not take square pictures.
    """
    from transformers import AutoTokenizer

    network = open_network(model_class, folder, device)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True, trust_remote_code=False)
    return network, tokenizer, open_geometry(folder, network)


def open_network(model_class: str, folder: Path, device: str) -> Any:
    """A network of the named class of transformers, frozen and in evaluation mode, from a folder.

    Raises:
        ValueError: its weights are not all there.
    """
    import transformers  # takes seconds, and most who start the demo need none of it

    transformers.utils.logging.disable_progress_bar()
    network, found = getattr(transformers, model_class).from_pretrained(folder, output_loading_info=True, **_OPTIONS)
    # A decoder attends to the encoder's tokens, and its pooler is often left out.
    if missing := [name for name in found["missing_keys"] if not name.startswith("encoder.pooler.")]:
        raise ValueError(f"its weights lack {min(missing)}")
    return network.to(device).eval().requires_grad_(False)


def spelled(tokenizer: Any, pieces: Tensor) -> list[str]:
    """What each row of word pieces, (N, L), says, in the spelling that people use: "a dog's t-shirt"."""
    from transformers import BertTokenizer

    if not isinstance(tokenizer, BertTokenizer):
        return tokenizer.batch_decode(pieces, skip_special_tokens=True)
    # It takes punctuation for words, and gives "a dog ' s t - shirt" back.
    texts = tokenizer.batch_decode(pieces, skip_special_tokens=True, clean_up_tokenization_spaces=True)
    return [text.replace(" - ", "-") for text in texts]


def open_geometry(folder: Path, network: Any) -> Geometry:
    """The geometry of a model that is here: what its own image processor does, apart from a crop.

    Raises:
        ValueError: there is no image processor, or it does what no `Geometry` can.
    """
    from transformers import AutoImageProcessor

    if not any((folder / name).is_file() for name in PROCESSOR_FILES) and not is_timm(folder):
        raise ValueError(
            "it has no preprocessor_config.json, which says how an image is resized and normalised: save that of the "
            "training by processor.save_pretrained(folder)"
        )
    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    side, resample = getattr(network.config, "image_size", None), getattr(processor, "resample", None)
    process = processing(processor)
    return measured_geometry(process, channels_of(network), side if isinstance(side, int) else None, resample)


def is_timm(folder: Path) -> bool:
    """Whether a folder holds a model of timm, which says in its config.json how it takes an image."""
    return "pretrained_cfg" in read_config(folder)


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a folder.

    Raises:
        ValueError: there is none, or it is broken.
    """
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError:
        raise ValueError("it has no config.json: save the model by model.save_pretrained(folder)") from None
    except ValueError:
        raise ValueError("its config.json is not JSON: save the model anew by model.save_pretrained(folder)") from None
    if not isinstance(found, dict):
        raise ValueError("its config.json is not that of a model: save the model by model.save_pretrained(folder)")
    return found
