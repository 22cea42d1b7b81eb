"""The captioner, on a decoder small enough to be worked out step by step."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import EXAMPLES
from PIL import Image
from pycocoevalcap.cider.cider import Cider
from samples import runs_of
from torch import Tensor, nn

from demo.errors import InputError
from demo.images import open_photo
from demo.models import load
from demo.models.captioning import END, FEATURES, UNKNOWN, WHOLE, Captioner, Decoder, beam_search, content_words
from demo.models.words import FUNCTION_WORDS, MOST_WORDS, words
from explainers import explain
from training.captioner import say
from training.cider import cider_d, inverse_frequencies, weigh

VOCABULARY = ["a", "dog", "'s", "t-shirt", "runs"]
IMAGE = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))


class TinyEncoder(nn.Module):
    """What the captioner uses of a ResNet, with one convolution in place of all: 2048 maps of 4 x 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 4, stride=4)
        self.layer4 = nn.Conv2d(8, FEATURES, 4, stride=4)
        self.bn1 = self.maxpool = self.layer1 = self.layer2 = self.layer3 = nn.Identity()
        self.relu = nn.ReLU()
        self.avgpool = nn.AdaptiveAvgPool2d(1)


def tiny_decoder(vocabulary: int = len(VOCABULARY), seed: int = 0) -> Decoder:
    """Random, with weights large enough for its captions to be of different lengths."""
    torch.manual_seed(seed)
    decoder = Decoder(vocabulary, width=6, hidden=7).eval().requires_grad_(False)
    for parameter in decoder.parameters():
        parameter.copy_(torch.randn_like(parameter) * (0.02 if parameter.shape[-1] == FEATURES else 0.8))
    return decoder


@pytest.fixture(scope="module")
def model() -> Captioner:
    torch.manual_seed(0)
    network = TinyEncoder().eval().requires_grad_(False)
    return Captioner("Tiny", network, tiny_decoder(), VOCABULARY, beam=3, limit=6)


def by_hand(decoder: Decoder, features: Tensor, tokens: list[int]) -> list[float]:
    """log p of each token after those before it, one step at a time, from the equations of an LSTM."""
    w = decoder.state_dict()
    hidden = memory = torch.zeros(7)
    terms = []
    normal = (features - features.mean()) / (features.var(correction=0) + 1e-5).sqrt()
    x = seen = w["look.weight"] @ normal + w["look.bias"]
    for token in tokens:
        gates = w["cell.weight_ih"] @ x + w["cell.bias_ih"] + w["cell.weight_hh"] @ hidden + w["cell.bias_hh"]
        enter, forget, candidate, leave = gates.reshape(4, 7)
        memory = forget.sigmoid() * memory + enter.sigmoid() * candidate.tanh()
        hidden = leave.sigmoid() * memory.tanh()
        share = (w["gate.weight"] @ hidden + w["gate.bias"]).sigmoid()
        logits = w["embedding.weight"] @ (w["speak.weight"] @ hidden + w["speak.bias"] + share * seen) + w["bias"]
        terms.append((logits[token] - logits.exp().sum().log()).item())
        x = w["embedding.weight"][token] * 6**0.5
    return terms


def features_by_hand(model: Captioner) -> Tensor:
    network = model._network
    return network.layer4(F.relu(network.conv1(IMAGE)))[0].mean(dim=(1, 2))


@pytest.mark.parametrize(
    ("caption", "tokens"), [("A dog's T-shirt runs!", [1, 2, 3, 4, 5]), ("dog", [2]), ("a a a a", [1, 1, 1, 1])]
)
def test_the_score_is_the_sum_of_log_probabilities_worked_out_step_by_step(model, caption, tokens):
    terms = by_hand(model._decoder, features_by_hand(model), tokens)
    positions = range(len(tokens))
    found = model.score(caption, *positions, WHOLE)(IMAGE)
    torch.testing.assert_close(found, torch.tensor([*terms, sum(terms)]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[:-1].sum(), found[-1])
    torch.testing.assert_close(model.score(caption, len(tokens) - 1, 0)(IMAGE), found[[len(tokens) - 1, 0]])


def test_all_words_are_explained_from_one_pass_through_the_encoder(model):
    with runs_of(model.layers["layer4"]) as runs:
        explanation = explain(model.score("a dog runs", WHOLE, 0, 1, 2), IMAGE, model.layers["layer4"])
    assert len(runs) == 1
    assert explanation.gradcam.shape == (4, 64, 64)
    # Grad-CAM's weights are linear in the score, so those of the caption are the sum of its words'.
    torch.testing.assert_close(explanation.weights[0], explanation.weights[1:].sum(dim=0), rtol=1e-4, atol=1e-7)
    assert explanation.pixel_gradient.abs().amax(dim=(1, 2, 3)).min() > 0


def test_a_word_does_not_depend_on_those_after_it(model):
    scores = [model.score(caption, 0, 1)(IMAGE) for caption in ("a dog runs", "a dog 's t-shirt")]
    torch.testing.assert_close(*scores)


@pytest.mark.parametrize("once", [set(), {2}])
@pytest.mark.parametrize("seed", range(8))
def test_a_wide_beam_finds_what_exhaustive_search_finds(seed, once):
    """Over 3 words and up to 4 of them: 3 + 9 + 27 captions that end, and 81 cut at the limit."""
    decoder, limit = tiny_decoder(3, seed), 4
    features = torch.randn(FEATURES, generator=torch.Generator().manual_seed(seed))
    ranked = []
    for length in range(1, limit + 1):
        for caption in map(list, product((1, 2, 3), repeat=length)):
            # The only way to say a trigram twice in four words, and what may be said once.
            if caption[:3] != caption[1:] and all(caption.count(token) < 2 for token in once):
                ended = caption if length == limit else [*caption, END]
                terms = by_hand(decoder, features, ended)
                ranked.append((sum(terms) / len(ended), caption, sum(terms[:length])))
    ranked.sort(key=lambda entry: -entry[0])
    found = beam_search(decoder, features[None], beam=1000, limit=limit, once=once)
    assert [tokens for tokens, _ in found] == [caption for _, caption, _ in ranked]
    assert [total for _, total in found] == pytest.approx([total for *_, total in ranked], abs=1e-4)
    # A beam of three is not exhaustive, but what it finds is scored as above.
    totals = {tuple(caption): total for _, caption, total in ranked}
    for tokens, total in beam_search(decoder, features[None], beam=3, limit=limit, once=once):
        assert total == pytest.approx(totals[tuple(tokens)], abs=1e-4)


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_of_one_is_greedy(seed):
    decoder = tiny_decoder(seed=seed)
    features = torch.randn(1, FEATURES, generator=torch.Generator().manual_seed(seed))
    greedy: list[int] = []
    while len(greedy) < 5:
        logits = decoder(features, torch.tensor([greedy], dtype=torch.int64))[0, -1]
        banned = [t for t in range(6) if [*greedy[-2:], t] in [greedy[i : i + 3] for i in range(len(greedy) - 2)]]
        logits[banned if greedy else [END]] = -torch.inf
        if (token := int(logits.argmax())) == END:
            break
        greedy.append(token)
    ((tokens, _),) = beam_search(decoder, features, beam=1, limit=5)
    assert tokens == greedy


@pytest.mark.parametrize("beam", [1, 3, 20])
def test_no_caption_says_three_words_twice(beam):
    decoder = tiny_decoder()
    decoder.bias[END] = -100.0
    found = beam_search(decoder, torch.zeros(1, FEATURES), beam=beam, limit=12)
    assert len(found) == beam
    for tokens, _ in found:
        trigrams = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
        assert len(tokens) == 12
        assert len(set(trigrams)) == len(trigrams)


def test_content_words_are_those_that_are_no_function_words():
    assert content_words(["a", "dog", "in", "the", "snow"]) == {2, 5}  # 0 ends a caption


def test_no_caption_of_the_shipped_captioner_says_a_content_word_twice():
    model = load("captioning")

    def repeats(tokens):
        said = [word for word in words(model.spell(tokens)) if word not in FUNCTION_WORDS]
        return len(set(said)) < len(said)

    photos = [model.prepare(open_photo(path)) for path in sorted(EXAMPLES.glob("*.jpg"))]
    with torch.inference_mode():
        seen = [model.encode(photo, [""])[0] for photo in photos]
    freely = [tokens for features in seen for tokens, _ in beam_search(model._decoder, features, 3, 20)]
    once = [model._read(caption) for features in seen for caption in model.predictions(features, "")]
    assert any(map(repeats, freely))
    assert not any(map(repeats, once))


def test_predictions_are_captions_with_the_scores_that_are_explained(model):
    captions = model.predict(IMAGE)
    assert len(captions) == 3
    for caption, score in captions.items():
        assert model.score(caption, WHOLE)(IMAGE).item() == pytest.approx(score, abs=1e-4)
    assert list(model.predict(IMAGE).items()) == list(captions.items())


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ("", "no words"),
        (" \n ", "no words"),
        ("?!... --", "no words"),
        ("a cat", "does not know “cat”"),
        ("a dgo runs", "does not know “dgo” .nearest: dog.\\."),
        ("Der Hund läuft", "does not know “der”, “hund” .nearest: runs., “läuft”"),
        ("a 🐶 runs", "does not know “🐶”"),
        ("狗在跑", "does not know “狗在跑”"),
        ("x" * 5000, f"“{'x' * 80}”"),
        ("dog " * (MOST_WORDS + 1), f"{MOST_WORDS + 1} words, more than {MOST_WORDS}"),
        ("dog " * 200, "200 words"),
    ],
)
def test_a_caption_that_cannot_be_scored_is_an_error_that_says_why(model, caption, message):
    with pytest.raises(InputError, match=message):
        model.score(caption, WHOLE)


@pytest.mark.parametrize("target", [3, -2, 1000])
def test_a_position_without_a_word_is_an_error(model, target):
    with pytest.raises(InputError, match=f"has 3 words, counted from 0: there is no word {target}"):
        model.score("a dog runs", target)


def test_the_longest_caption_is_scored(model):
    scores = model.score("dog " * MOST_WORDS, WHOLE, MOST_WORDS - 1)(IMAGE)
    assert scores.isfinite().all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man, in a RED shirt.", ["a", "man", "in", "a", "red", "shirt"]),
        ("The dog's ball", ["the", "dog", "'s", "ball"]),
        ("the dog’s t-shirt", ["the", "dog", "'s", "t-shirt"]),
        ("the dog 's ball", ["the", "dog", "'s", "ball"]),
        ("o'clock - two-wheeled", ["o'clock", "two-wheeled"]),
        ('"2" dogs\t\n', ["2", "dogs"]),
        ("dog🐶🐶dog", ["dog", "🐶🐶", "dog"]),
        ("a\x07 dog\x00\x85", ["a", "dog"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_an_unknown_word_in_training_is_no_input():
    decoder = tiny_decoder()
    features = torch.zeros(1, FEATURES)
    seen = decoder.see(features)
    state = decoder.cell(torch.zeros(1, 6), decoder.cell(seen))
    logits = decoder(features, torch.tensor([[UNKNOWN]]))
    torch.testing.assert_close(logits[0, 1], decoder.logits(state[0], seen)[0])


def test_sampled_captions_come_with_their_log_probabilities():
    decoder = tiny_decoder()
    features = torch.randn(50, FEATURES, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    captions, totals = say(decoder, features, 5, lambda log_p: log_p.exp().multinomial(1)[:, 0])
    assert len({len(caption) for caption in captions}) > 1
    for row, caption, total in zip(features, captions, totals, strict=True):
        assert len(caption) == 5 or caption[-1] == END
        assert total.item() == pytest.approx(sum(by_hand(decoder, row, caption)), abs=1e-3)


def test_the_reward_is_the_field_s_cider():
    references = [
        ["a dog runs on grass", "the brown dog runs"],
        ["a man in a red shirt", "a man stands", "man in red"],
        ["two dogs play with a ball in the snow", "dogs play"],
    ]
    captions = ["a dog runs runs in the grass", "a man in a red shirt", "a cat"]
    split = [[caption.split() for caption in picture] for picture in references]
    idf = inverse_frequencies(split)
    ours = [
        cider_d(weigh(caption.split(), idf), [weigh(reference, idf) for reference in picture])
        for caption, picture in zip(captions, split, strict=True)
    ]
    _, theirs = Cider().compute_score(dict(enumerate(references)), {i: [c] for i, c in enumerate(captions)})
    assert ours == pytest.approx(theirs.tolist(), abs=1e-6)


@pytest.fixture(scope="module")
def shipped() -> Captioner:
    return load("captioning")


def test_the_shipped_captioner_is_small_frozen_and_reads_its_own_captions(shipped):
    assert load("captioning") is shipped
    assert not shipped._decoder.training
    assert not any(parameter.requires_grad for parameter in shipped._decoder.parameters())
    assert len(set(shipped.vocabulary)) == len(shipped.vocabulary)
    for word in shipped.vocabulary:
        assert words(word) == [word]
    image = shipped.prepare(open_photo(EXAMPLES / "zebra_elephant.jpg"))
    for caption, score in shipped.predict(image).items():
        assert shipped.score(caption, WHOLE)(image).item() == pytest.approx(score, abs=1e-3)


def test_different_pictures_have_different_captions(shipped):
    files = ("zebra_elephant.jpg", "garden.jpg", "cat.jpg", "palace.jpg", "astronaut.jpg")
    captions = [next(iter(shipped.predict(shipped.prepare(open_photo(EXAMPLES / file))))) for file in files]
    assert len(set(captions)) == len(files)
    assert "zebra" in captions[0] or "elephant" in captions[0]


def test_the_map_of_a_word_leaves_the_thing_it_names_when_that_is_greyed_out(shipped):
    photo = open_photo(EXAMPLES / "zebra_elephant.jpg")
    zebra = np.asarray(Image.open(EXAMPLES / "zebra_elephant.mask.png")) == 1
    greyed = Image.fromarray(np.where(zebra[..., None], np.uint8(128), np.asarray(photo)))
    score = shipped.score("a zebra in the grass", 1)
    before, after = (explain(score, shipped.prepare(picture), shipped.layers["layer4"]) for picture in (photo, greyed))
    there = torch.from_numpy(np.array(Image.fromarray(zebra).resize((256, 256))))
    assert after.scores.item() < before.scores.item() - 1
    assert there.flatten()[before.gradcam.argmax()]
    assert before.gradcam[0][there].sum() > 2 * there.float().mean() * before.gradcam.sum()
    assert after.gradcam[0][there].sum() < 0.5 * before.gradcam[0][there].sum()
