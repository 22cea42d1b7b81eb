"""What the models of the Hugging Face hub have in common: opening one that is here, and its geometry."""

from pathlib import Path
from typing import Any

from torch import Tensor

from demo.models.network import Geometry

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
    return network, tokenizer, open_geometry(folder)


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


def open_geometry(folder: Path) -> Geometry:
    """The geometry of a model that is here.

    Raises:
        ValueError: it does not take square pictures.
    """
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    size = getattr(processor, "crop_size", None) if getattr(processor, "do_center_crop", False) else None
    size = size or processor.size
    side = size.get("height") or size["shortest_edge"]
    if size.get("width", side) != side:
        raise ValueError(f"it takes pictures of {size['width']} x {side} pixels, not square ones")
    if not processor.do_normalize:
        return Geometry(side, [0.0] * 3, [1.0] * 3)
    return Geometry(side, list(processor.image_mean), list(processor.image_std))
