"""What the models of the Hugging Face hub have in common: opening one that is here, and its geometry."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from demo.models.classification import MULTI_LABEL, distinct
from demo.models.network import Geometry, channels_of
from demo.models.processors import UnfitError, measured_geometry, processing

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
        UnfitError: the weights are not all there, or it does not take square pictures.
    """
    from transformers import AutoTokenizer

    network = open_network(model_class, folder, device)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, use_fast=True, trust_remote_code=False)
    return network, tokenizer, open_geometry(folder, network)


def class_names(folder: Path) -> list[str]:
    """The names of the classes of a classifier that is here, each different, in the order of its logits.

    Raises:
        UnfitError: the folder holds no classifier, one that cannot be opened here, or its classes are not all named.
    """
    from transformers import CONFIG_MAPPING, AutoConfig
    from transformers import __version__ as transformers_version
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING
    from transformers.utils import is_timm_available

    if (folder / "adapter_config.json").is_file():
        raise UnfitError(
            "it is an adapter of peft, not a whole model: merge it into its model by merge_and_unload() and save "
            "what you get by save_pretrained"
        )
    if is_timm(folder) and not is_timm_available():
        raise UnfitError("it is a model of timm, which is not installed: pip install timm, and start again")
    said = read_config(folder)
    if not is_timm(folder) and (kind := said.get("model_type")) not in CONFIG_MAPPING:
        if "auto_map" in said:
            raise UnfitError("it comes with code of its own, “auto_map” in its config.json, which is not run here")
        raise UnfitError(
            f"transformers {transformers_version} knows no “model_type” “{kind}”, which its config.json names: "
            "check it, or install a newer transformers"
        )
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if type(config) not in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        raise UnfitError(f"transformers has no image classifier of the type {config.model_type}")
    if config.problem_type == "regression":
        raise UnfitError(
            "its outputs are measurements, not classes: “problem_type” in its config.json is “regression”. If each is "
            f"the logit of a class, set it to “{MULTI_LABEL}”"
        )
    labels = config.id2label or {}
    if not labels or sorted(labels) != list(range(len(labels))):
        ids = ", ".join(map(str, sorted(labels)[:5])) or "no class"
        raise UnfitError(
            f"“id2label” in its config.json names {ids} of its classes: number all from 0 to the last without a gap"
        )
    return distinct([str(labels[index]) for index in range(len(labels))])


def open_network(model_class: str, folder: Path, device: str) -> Any:
    """A network of the named class of transformers, frozen and in evaluation mode, from a folder.

    Raises:
        UnfitError: its weights are not all there.
    """
    import transformers  # takes seconds, and most who start the demo need none of it

    if not any(folder.glob("*.safetensors")):
        raise UnfitError("it has no safetensors weights: save the model by model.save_pretrained(folder)")
    transformers.utils.logging.disable_progress_bar()
    try:
        network, found = getattr(transformers, model_class).from_pretrained(
            folder, output_loading_info=True, ignore_mismatched_sizes=True, **_OPTIONS
        )
    except SafetensorError:
        raise UnfitError("its safetensors weights are broken: download or save them anew") from None
    # A decoder attends to the encoder's tokens, and its pooler is often left out.
    if missing := [name for name in found["missing_keys"] if not name.startswith("encoder.pooler.")]:
        raise UnfitError(f"its weights lack {min(missing)}: save the whole model by model.save_pretrained(folder)")
    if other := sorted(found["mismatched_keys"]):
        name, there, asked = other[0]
        raise UnfitError(
            f"its “{name}” is {tuple(there)} in its weights, and {tuple(asked)} by its config.json: check that "
            "“id2label” names as many classes as the model has, and the sizes there"
        )
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
        UnfitError: there is no image processor, or it does what no `Geometry` can.
    """
    from transformers import AutoImageProcessor

    if not any((folder / name).is_file() for name in PROCESSOR_FILES) and not is_timm(folder):
        raise UnfitError(
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
        UnfitError: there is none, or it is broken.
    """
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError:
        raise UnfitError("it has no config.json: save the model by model.save_pretrained(folder)") from None
    except ValueError:
        raise UnfitError("its config.json is not JSON: save the model anew by model.save_pretrained(folder)") from None
    if not isinstance(found, dict):
        raise UnfitError("its config.json is not that of a model: save the model by model.save_pretrained(folder)")
    return found
