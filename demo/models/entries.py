"""The catalogue: the models of each task, and where their weights come from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.models import imagenet
from demo.models.captioning import shipped_captioner
from demo.models.classification import shipped_resnet50
from demo.models.coattention import shipped_attentive_answerer
from demo.models.downloads import Repository, Source
from demo.models.hub_captioning import blip_captioner, git_captioner, vit_gpt2_captioner
from demo.models.hub_vqa import blip_answerer, vilt
from demo.models.network import Model
from demo.models.vqa import shipped_answerer


@dataclass(frozen=True)
class Entry:
    """A model that can be picked.

    Attributes:
        name: what `load` takes, and what people read.
        megabytes: the size of its weights, in millions of bytes.
        open: makes it from its name and a device, once its weights are here.
        source: where its weights are downloaded from; none if it comes with the project or is the user's own.
    """

    name: str
    megabytes: float
    open: Callable[[str, str], Model]
    source: Source | None = None

    @property
    def shipped(self) -> bool:
        """Whether it is here without a download."""
        return self.source is None

    def is_here(self) -> bool:
        """Whether it need not be downloaded, or has been."""
        return self.source is None or self.source.is_here()


def _hub(name: str, megabytes: float, opener: Callable[[str, Path, str], Model], repository: str) -> Entry:
    source = Repository(repository)
    return Entry(name, megabytes, lambda title, device: opener(title, source.folder, device), source)


# Of each task, the shipped one first.
ENTRIES: Mapping[str, Sequence[Entry]] = {
    "classification": (
        Entry("ResNet-50 (ImageNet)", 51.5, shipped_resnet50),
        *(
            Entry(name, imagenet.megabytes(kind), imagenet.pretrained, imagenet.weights_file(kind))
            for name, kind in imagenet.ARCHITECTURES.items()
        ),
    ),
    "captioning": (
        Entry("ResNet-50 + LSTM (Flickr8k)", 7.6, shipped_captioner),
        _hub("BLIP base", 990, blip_captioner, "Salesforce/blip-image-captioning-base"),
        _hub("BLIP large", 1879, blip_captioner, "Salesforce/blip-image-captioning-large"),
        _hub("GIT base", 707, git_captioner, "microsoft/git-base-coco"),
        _hub("ViT-GPT2", 957, vit_gpt2_captioner, "nlpconnect/vit-gpt2-image-captioning"),
    ),
    "vqa": (
        Entry("ResNet-50 + co-attention (questions)", 9.1, shipped_attentive_answerer),
        Entry("ResNet-50 + LSTM (questions)", 14.4, shipped_answerer),
        _hub("BLIP VQA", 1539, blip_answerer, "Salesforce/blip-vqa-base"),
        _hub("ViLT", 470, vilt, "dandelin/vilt-b32-finetuned-vqa"),
    ),
}
