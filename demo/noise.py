"""Noise that makes a model predict a given target (the paper's section 6.2)."""

import math

import torch
from PIL import Image
from torch import Tensor

from demo.images import png
from demo.models import Model
from demo.models.network import GREY
from demo.query import Adversarial, AdversarialResult, best, image_file
from explainers import Slow, targeted_noise

MAX_NOISE = 8  # levels of 256 by which noise changes a value
NOISE_PASSES = 20
ENOUGH_NOISE = 0.99  # the probability of the target


def add_noise(model: Model, query: Adversarial, image: Image.Image) -> Slow[AdversarialResult]:
    geometry = model.geometry
    pixels = geometry.pixels(image)
    prepared = model.prepare(geometry.image(pixels))
    levels = torch.from_numpy(pixels.copy()).permute(2, 0, 1).long()
    low, high = ((bound - levels[None]).clamp(-MAX_NOISE, MAX_NOISE).to(prepared) for bound in (0, 255))
    step = 1 / (255 * torch.tensor(geometry.std)[:, None, None]).to(prepared)

    def log_probability(images: Tensor) -> Tensor:
        (encoded,) = model.encode(images, [query.text])
        return model.scores(model.log_probabilities(encoded), query.text, [query.target])

    noise = yield from targeted_noise(
        log_probability,
        prepared,
        step,
        bounds=(low, high),
        passes=NOISE_PASSES,
        enough=math.log(ENOUGH_NOISE),
        grey=geometry.order == GREY,
    )
    noisy = geometry.image((levels + noise[0].cpu()).byte().permute(1, 2, 0).numpy())
    predictions = model.predict(model.prepare(noisy), query.text)
    return AdversarialResult(query, image_file(png(noisy)), best(predictions))
