"""Captioners of the Hugging Face hub: BLIP, GIT and ViT-GPT2, vision transformers with a decoder of word pieces."""

from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from demo.errors import InputError
from demo.models.captioning import WHOLE, CaptionModel
from demo.models.hub import open_all, spelled
from demo.models.layers import numbered
from demo.models.network import Geometry
from demo.models.words import joined, read

BEAM = 3
MOST_TOKENS = 30  # of a caption that is generated
MOST_PIECES = 200  # of a caption that is written; GPT-2 has places for 1024, BERT for 512


class HubCaptioner(CaptionModel):
    """A caption model of word pieces: the score of a word is the sum over its pieces.

    Its layers are the blocks of its vision transformer, the last one first.
    """

    _network: Any

    def __init__(
        self,
        name: str,
        network: Any,
        tokenizer: Any,
        geometry: Geometry,
        blocks: Sequence[nn.Module],
        text_argument: str,
        start: int,
    ) -> None:
        super().__init__(name, network, numbered(blocks), geometry)
        self._tokenizer = tokenizer
        self._text_argument, self._start = text_argument, start

    def encode(self, images: Tensor, _texts: Sequence[str]) -> list[Tensor]:
        """The images themselves: generating a caption and scoring it have no part in common."""
        return list(images.split(1))

    @torch.inference_mode()
    def predictions(self, image: Tensor, _text: str) -> dict[str, float]:
        """The captions of a beam search for a prepared image, best first, each with its score.

        Raises:
            InputError: the network says no word.
        """
        generated = self._network.generate(
            pixel_values=image, num_beams=BEAM, num_return_sequences=BEAM, max_new_tokens=MOST_TOKENS, do_sample=False
        )
        captions: dict[str, float] = {}
        for text in spelled(self._tokenizer, generated):
            with suppress(InputError):  # signs that are no words
                caption = self.resolve_label(text)
                captions[caption] = self.scores(image, caption, [WHOLE]).item()
        if not captions:
            raise InputError(f"{self.name} says nothing about this photograph: write a caption yourself.")
        return captions

    def scores(self, image: Tensor, caption: str, targets: Sequence[int]) -> Tensor:
        """The scores (T,) of parts of a caption for a prepared image."""
        pieces, owners = self._pieces(read("caption", caption))
        said = torch.tensor([self._start, *pieces], device=image.device)
        output = self._network(pixel_values=image, **{self._text_argument: said[None, :-1]})
        # The last ones: GIT has logits at the places of the image, too.
        each = output.logits[0, -len(pieces) :].log_softmax(dim=1).gather(1, said[1:, None])[:, 0]
        owner = torch.tensor(owners, device=image.device)
        return torch.stack([(each if target == WHOLE else each[owner == target]).sum() for target in targets])

    def resolve_label(self, caption: str) -> str:
        """The caption's words alone, in lower case.

        Raises:
            InputError: it has no word, too many, or one with signs that the network cannot read.
        """
        said = read("caption", caption)
        self._pieces(said)
        return joined(said)

    def _pieces(self, said: list[str]) -> tuple[list[int], list[int]]:
        """The word pieces of a caption, and for each the position of its word."""
        caption = joined(said)
        starts, at = [], 0
        for word in said:
            starts.append(caption.index(word, at))
            at = starts[-1] + len(word)
        split = self._tokenizer(caption, add_special_tokens=False, return_offsets_mapping=True)
        if len(split["input_ids"]) > MOST_PIECES:
            raise InputError(f"The caption has {len(split['input_ids'])} word pieces: shorten it to {MOST_PIECES}.")
        owners = [bisect_right(starts, end - 1) - 1 for _, end in split["offset_mapping"]]
        pairs = zip(split["input_ids"], owners, strict=True)
        read = set(owners) - {owner for piece, owner in pairs if piece == self._tokenizer.unk_token_id}
        for position, word in enumerate(said):
            if position not in read:
                raise InputError(f"{self.name} cannot read “{word[:80]}”: write the caption in plain words.")
        return split["input_ids"], owners


def blip_captioner(name: str, folder: Path, device: str) -> HubCaptioner:
    """Li et al., "BLIP", 2022."""
    network, tokenizer, geometry = open_all("BlipForConditionalGeneration", folder, device)
    blocks, start = network.vision_model.encoder.layers, network.config.text_config.bos_token_id
    return HubCaptioner(name, network, tokenizer, geometry, blocks, "input_ids", start)


def git_captioner(name: str, folder: Path, device: str) -> HubCaptioner:
    """Wang et al., "GIT: A Generative Image-to-text Transformer", 2022."""
    network, tokenizer, geometry = open_all("GitForCausalLM", folder, device)
    blocks, start = network.git.image_encoder.vision_model.encoder.layers, network.config.bos_token_id
    return HubCaptioner(name, network, tokenizer, geometry, blocks, "input_ids", start)


def vit_gpt2_captioner(name: str, folder: Path, device: str) -> HubCaptioner:
    """A ViT whose tokens a GPT-2 attends to; both trained before, joined and trained on COCO."""
    network, tokenizer, geometry = open_all("VisionEncoderDecoderModel", folder, device)
    start = network.generation_config.decoder_start_token_id or network.config.decoder_start_token_id
    return HubCaptioner(name, network, tokenizer, geometry, network.encoder.layers, "decoder_input_ids", start)
