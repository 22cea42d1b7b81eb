"""Question answering by models of the Hugging Face hub: ViLT, which chooses an answer, and BLIP, which writes one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from demo.errors import InputError
from demo.models.hub import open_all, spelled
from demo.models.layers import numbered, token_grid
from demo.models.network import Geometry, Model
from demo.models.vqa import ListAnswerer
from demo.models.words import read, words
from demo.query import ScoreKind

BEAM = 5
MOST_TOKENS = 10  # of an answer that is generated


class _HubAnswerer(Model):
    """What both do alike: they read the word pieces of a question."""

    _network: Any

    def __init__(
        self, name: str, network: Any, tokenizer: Any, geometry: Geometry, layers: dict[str, nn.Module], places: int
    ) -> None:
        super().__init__(name, network, layers, geometry)
        self._tokenizer, self._places = tokenizer, places

    def check_question(self, question: str) -> None:
        self.read_question(question)

    def ignored_words(self, question: str) -> list[str]:
        """The words of a question in which the network cannot read a piece."""
        return [word for word in dict.fromkeys(words(question)) if not self._readable(word)]

    def read_question(self, question: str) -> Tensor:
        """The word pieces of the question, int64 (1, L).

        Raises:
            InputError: it has no word that the network can read, or too many.
        """
        if not any(map(self._readable, read("question", question))):
            raise InputError(f"{self.name} knows no word of this question: ask in plain English.")
        pieces = self._tokenizer(" ".join(question.split()), return_tensors="pt")["input_ids"]
        if (length := pieces.shape[1]) > self._places:
            raise InputError(f"{self.name} reads at most {self._places} word pieces, the question has {length}.")
        return pieces.to(self._network.device)

    def _readable(self, text: str) -> bool:
        pieces = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return bool(pieces) and self._tokenizer.unk_token_id not in pieces


class Vilt(_HubAnswerer, ListAnswerer):
    """Kim et al., "ViLT", 2021: one transformer over word pieces and image patches, and a logit for each answer.

    Its layers are its blocks, the last but one first. After the last one only the first token is read, so that there
    its image tokens have no influence.
    """

    independent = True  # as it was trained

    def __init__(self, name: str, network: Any, tokenizer: Any, geometry: Geometry) -> None:
        # A block returns a tuple; what it returns is the output of its last part.
        blocks = [block.output for block in network.vilt.encoder.layer[:-1]]
        places = network.config.max_position_embeddings
        super().__init__(name, network, tokenizer, geometry, numbered(blocks), places)
        labels = network.config.id2label
        self.labels = [labels[index] for index in range(len(labels))]

    def reshape(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, K), those of the image last, to feature maps (B, K, h, w)."""
        return token_grid(tokens, self.geometry.side // self._network.config.patch_size)

    def encode(self, images: Tensor, questions: Sequence[str]) -> list[Tensor]:
        """The logits of all answers to a question about each of the images (B, 3, H, W): B times (1, A).

        Raises:
            InputError: a question cannot be read; see `read_question`.
        """
        return list(map(self._logits, images.split(1), map(self.read_question, questions)))

    def _logits(self, image: Tensor, pieces: Tensor) -> Tensor:
        patches = self._patches(image)
        mask = torch.ones(patches.shape[:2], device=image.device)
        return self._network(input_ids=pieces, image_embeds=patches, pixel_mask=mask).logits

    def _patches(self, image: Tensor) -> Tensor:
        """The class token and the patches in reading order, (1, 1 + h * w, K).

        The network's own function gives them in an order drawn anew each time, which it makes no difference to the
        answer but would scatter the map.
        """
        embeddings = self._network.vilt.embeddings
        patches = embeddings.patch_embeddings(image).flatten(2).transpose(1, 2)
        return torch.cat([embeddings.cls_token, patches], dim=1) + embeddings.position_embeddings


class BlipAnswerer(_HubAnswerer):
    """Li et al., "BLIP", 2022: a decoder writes the answer word piece by word piece, so that any text can be one.

    The score of an answer is the sum over its word pieces of log p(piece | the pieces before it, question, image), the
    end token left out. Its layers are the blocks of its vision transformer, the last one first.
    """

    score_is: ScoreKind = "log-probability"

    def __init__(self, name: str, network: Any, tokenizer: Any, geometry: Geometry) -> None:
        layers = numbered(network.vision_model.encoder.layers)
        places = network.config.text_config.max_position_embeddings
        super().__init__(name, network, tokenizer, geometry, layers, places)

    def encode(self, images: Tensor, _questions: Sequence[str]) -> list[Tensor]:
        """The images themselves: writing an answer and scoring it have no part in common."""
        return list(images.split(1))

    @torch.inference_mode()
    def predictions(self, image: Tensor, question: str) -> dict[str, float]:
        """The answers of a beam search for a prepared image and their probabilities, the most probable first.

        Raises:
            InputError: the question cannot be read, see `read_question`; or the network says no word.
        """
        said = self._network.generate(
            input_ids=self.read_question(question),
            pixel_values=image,
            num_beams=BEAM,
            num_return_sequences=BEAM,
            max_new_tokens=MOST_TOKENS,
            do_sample=False,
        )
        texts = spelled(self._tokenizer, said)
        answers = [text for text in dict.fromkeys(" ".join(text.split()) for text in texts) if self._readable(text)]
        if not answers:
            raise InputError(f"{self.name} says nothing: ask something else, or type an answer yourself.")
        probabilities = self.scores(image, question, answers).exp().tolist()
        return dict(sorted(zip(answers, probabilities, strict=True), key=lambda pair: -pair[1]))

    def scores(self, image: Tensor, question: str, answers: Sequence[str]) -> Tensor:
        """The scores (T,) of answers to a question about a prepared image."""
        start = self._network.config.text_config.bos_token_id
        seen = self._network.vision_model(pixel_values=image)[0]
        encoded = self._network.text_encoder(input_ids=self.read_question(question), encoder_hidden_states=seen)[0]
        totals = []
        for answer in answers:
            pieces = self._tokenizer(self.resolve_label(answer), add_special_tokens=False)["input_ids"]
            given = torch.tensor([start, *pieces], device=image.device)
            output = self._network.text_decoder(input_ids=given[None, :-1], encoder_hidden_states=encoded)
            totals.append(output.logits[0].log_softmax(dim=1).gather(1, given[1:, None]).sum())
        return torch.stack(totals)

    def resolve_label(self, answer: str) -> str:
        """The answer without needless spaces, in lower case.

        Raises:
            InputError: it has signs that the network cannot write.
        """
        spelled = " ".join(answer.casefold().split())
        if not self._readable(spelled):
            raise InputError(f"{self.name} cannot say “{answer[:80]}”: type an answer in plain words.")
        pieces = len(self._tokenizer(spelled, add_special_tokens=False)["input_ids"])
        if pieces > self._places:
            raise InputError(f"The answer has {pieces} word pieces, more than {self._places}: shorten it.")
        return spelled


def vilt(name: str, folder: Path, device: str) -> Vilt:
    return Vilt(name, *open_all("ViltForQuestionAnswering", folder, device))


def blip_answerer(name: str, folder: Path, device: str) -> BlipAnswerer:
    return BlipAnswerer(name, *open_all("BlipForQuestionAnswering", folder, device))
