"""Questions about an image, and their results: values that are compared, cached, and sent as JSON."""

import base64
import hashlib
import json
import re
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from itertools import islice
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import ConfigDict, PlainSerializer, PlainValidator, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json as parse_json

from demo.arrays import Array
from demo.errors import InputError
from explainers import METHODS, Box, Patches

VERSION = 1  # of the JSON
MAX_PREDICTIONS = 10

PANELS = ("guided_backprop", "gradcam", "guided_gradcam")  # the paper's three panels, from left to right

PATCHES = Patches()

# Those that cost next to nothing beside the panels.
FAST_METHODS = tuple(key for key, method in METHODS.items() if method.passes in ("layer", METHODS[PANELS[0]].passes))

Target = str | int
ScoreKind = Literal["logit", "log-probability"]
Precision = Literal["float32", "bfloat16"]
R_co = TypeVar("R_co", covariant=True)


@dataclass(frozen=True)
class ImageFile:
    """An image file by its content.

    Attributes:
        sha256: of the data, in hexadecimal. Images with the same one are equal.
        data: the file, as it was uploaded.
    """

    sha256: str
    data: bytes = field(default=b"", compare=False, repr=False)

    def without_data(self) -> "ImageFile":
        """An equal one that keeps no file in memory."""
        return ImageFile(self.sha256)


def image_file(data: bytes) -> ImageFile:
    """The image in a file."""
    return ImageFile(hashlib.sha256(data).hexdigest(), data)


def _by_sha256(value: object) -> ImageFile:
    if not (isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)):
        raise ValueError("an image is its SHA-256, in hexadecimal")
    return ImageFile(value)


def _by_data(value: object) -> ImageFile:
    if not isinstance(value, str):
        raise ValueError("a new image is its file, in base64")
    return image_file(base64.b64decode(value, validate=True))


# In JSON a question names its image by its SHA-256; the file travels beside it. A new image is sent as base64.
KnownImage = Annotated[ImageFile, PlainValidator(_by_sha256), PlainSerializer(lambda image: image.sha256)]
NewImage = Annotated[
    ImageFile, PlainValidator(_by_data), PlainSerializer(lambda image: base64.b64encode(image.data).decode())
]


@dataclass(frozen=True)
class Randomised:
    """Weights that are random in the first blocks, from the logits down (Adebayo et al. 2018).

    Attributes:
        randomised_blocks: how many.
    """

    randomised_blocks: int


# As trained; or with noise on them, as the less reliable network of the quiz has; or random.
Weights = None | Literal["noisy"] | Randomised


@dataclass(frozen=True)
class Query(Generic[R_co]):
    """A question about an image. Empty fields mean the default, or the model's own prediction.

    Attributes:
        image: the image.
        task: a key of `demo.tasks.TASKS`.
        model: its name in the catalogue.
        text: the question or caption; empty for a class.
        weights: of the network.
    """

    image: KnownImage
    task: str
    model: str = ""
    text: str = ""
    weights: Weights = None


@dataclass(frozen=True)
class Predict(Query["PredictResult"]):
    """What does the model predict?"""


@dataclass(frozen=True)
class Explain(Query["ExplainResult"]):
    """Which parts of the image support these targets?

    Attributes:
        targets: classes, answers, or positions of words in the caption, -1 for all of it.
        layers: for Grad-CAM. More than one only with methods whose passes end at the layer.
        methods: keys of `explainers.METHODS`.
        patches: how the image is covered for an occlusion map.
        steps: also return the intermediate results of Grad-CAM.
        precision: of the passes, if the processor has instructions for it. None: bfloat16 for slow methods alone.
    """

    targets: tuple[Target, ...] = ("",)
    layers: tuple[str, ...] = ("",)
    methods: tuple[str, ...] = FAST_METHODS
    patches: Patches = PATCHES
    steps: bool = False
    precision: Precision | None = None


@dataclass(frozen=True)
class Region(Query["RegionResult"]):
    """Which targets does a region of the image support?

    Attributes:
        box: left, top, right and bottom in shares of the image's sides.
        layer: for Grad-CAM.
    """

    box: Box = (0.0, 0.0, 1.0, 1.0)
    layer: str = ""


@dataclass(frozen=True)
class Adversarial(Query["AdversarialResult"]):
    """Which noise, too weak to be seen, makes the model predict a target?

    Attributes:
        target: a class or an answer.
    """

    target: str = ""


def prediction_query(query: Query) -> Predict:
    """Ask for the predictions alone of the model, image and text of a question."""
    return Predict(query.image, query.task, query.model, query.text, query.weights)


@dataclass(frozen=True, kw_only=True)
class Details:
    """The numbers of one explained target at one layer.

    Attributes:
        target: its name; of a word or a caption its text.
        score, score_is: the explained number, and what it is.
        probability: of the target.
        peak: the highest value of Grad-CAM's map.
        relus: how many ReLUs followed the rule; None if no pass went on to the pixels.
        seconds: the time of all methods; without Grad-CAM, if some have passes of their own and none to the pixels.
        gradcam_seconds: the time of Grad-CAM, where `seconds` is without it.
        precision: "bfloat16" where passes were computed in it, else None.
        image_size: width and height, in pixels.
        caption, word: of captioning; the word's position is -1 for the whole caption.
        question, ignored: of question answering, with the words that the model does not know.
        prediction: the model's own, with its probability, where that was computed.
        box: around Grad-CAM's evidence, in shares of the image's sides; None without positive evidence.
        feature_maps: how many the layer has.
        input_side: of the model's square, in pixels.
    """

    task: str
    model: str
    layer: str
    target: str
    score: float
    probability: float
    peak: float
    relus: int | None
    seconds: float
    gradcam_seconds: float | None = None
    precision: Precision | None = None
    image_size: tuple[int, int]
    score_is: ScoreKind
    caption: str | None = None
    word: int | None = None
    question: str | None = None
    ignored: tuple[str, ...] | None = None
    prediction: tuple[str, float] | None = None
    box: Box | None
    feature_maps: int
    input_side: int

    def to_dict(self) -> dict[str, object]:
        """The fields by name, without those that do not belong to the task."""
        always = {one.name for one in fields(self) if one.default is MISSING}
        return {name: value for name, value in vars(self).items() if name in always or value is not None}


@dataclass(frozen=True, eq=False)
class Row:
    """One explained target at one layer.

    Attributes:
        pictures: float32 arrays by method, (h, w) cells of a map, at least 0 or signed, or (3, H, W) of a gradient;
            none is normalised.
        details: the numbers.
        steps: the arrays of `explainers.Steps` by name, if that was asked.
    """

    pictures: dict[str, Array]
    details: Details
    steps: dict[str, Array] | None = None


def best(predictions: dict[str, float]) -> dict[str, float]:
    """The first `MAX_PREDICTIONS`."""
    return dict(islice(predictions.items(), MAX_PREDICTIONS))


@dataclass(frozen=True, eq=False)
class PredictResult:
    """What a model predicts.

    Attributes:
        query: with empty fields filled in, in the model's spelling. So it is in all results.
        predictions: the best first: the first ten classes or answers with their probabilities, or captions with
            their scores.
    """

    query: Predict
    predictions: dict[str, float]


@dataclass(frozen=True, eq=False)
class ExplainResult:
    """The explanations of targets.

    Attributes:
        predictions: as in `PredictResult`. Empty where scores are log-probabilities and text and targets were given.
        rows: one for each target, and for each layer of it.
    """

    query: Explain
    predictions: dict[str, float]
    rows: tuple[Row, ...]


@dataclass(frozen=True, eq=False)
class RegionResult:
    """The targets that a region supports.

    Attributes:
        evidence: the targets, the most supported first, each with its evidence in the region.
        shares: of each target, the share of its evidence in the image that lies in the region.
    """

    query: Region
    evidence: dict[str, float]
    shares: dict[str, float]


@dataclass(frozen=True, eq=False)
class AdversarialResult:
    """An image with noise that changes the prediction.

    Attributes:
        image: at the model's size.
        predictions: what the model predicts of it, as in `PredictResult`.
    """

    query: Adversarial
    image: NewImage
    predictions: dict[str, float]


Result = PredictResult | ExplainResult | RegionResult | AdversarialResult


@dataclass(frozen=True)
class ModelInfo:
    """What can be chosen of a model.

    Attributes:
        name: as in the catalogue.
        layers: for Grad-CAM, the default one first.
        targets: the classes or answers that it knows; none if any text can be one.
        blocks: what `Randomised` weights make random, from the logits down; none if its weights are never changed.
        attends: whether it has an attention map.
    """

    name: str
    layers: tuple[str, ...]
    targets: tuple[str, ...]
    blocks: tuple[str, ...]
    attends: bool = False


Value = Predict | Explain | Region | Adversarial | Result | ModelInfo
_KINDS = {one.__name__: one for one in get_args(Value)}


@cache
def _adapter(kind: str) -> TypeAdapter:
    return TypeAdapter(with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))(_KINDS[kind]))


def to_json(value: Query | Result | ModelInfo) -> str:
    """A question, a result or the info of a model as JSON.

    Raises:
        ValueError: a number is not finite.
    """
    kind = type(value).__name__
    named = _adapter(kind).dump_python(value, mode="json")
    return json.dumps({"version": VERSION, "kind": kind, **named}, allow_nan=False, separators=(",", ":"))


def from_json(text: str | bytes) -> Any:
    """The value that `to_json` was given; of a question's image the SHA-256 alone.

    Raises:
        InputError: the text is not such JSON.
    """
    return from_data(data_of(text))


def data_of(text: str | bytes) -> Any:
    """What JSON holds.

    Raises:
        InputError: the text is not JSON.
    """
    try:
        return parse_json(text)
    except ValueError as error:
        raise InputError(f"This is not JSON: {error!s:.200}.") from None


def check_version(version: object) -> None:
    """Raise InputError if JSON has another version than this program reads."""
    if type(version) is not int or version != VERSION:
        raise InputError(f"The JSON has version {version!r:.80}. This program reads version {VERSION}.")


def from_data(data: Any) -> Any:
    """As `from_json`, of what the JSON holds."""
    if isinstance(data, dict) and "version" in data:
        check_version(data["version"])
    match data:
        case {"version": _, "kind": str(kind), **named} if kind in _KINDS:
            try:  # as JSON again, in which strict types still let a list be a tuple
                return _adapter(kind).validate_json(json.dumps(named))
            except ValidationError as error:
                first = error.errors(include_url=False, include_context=False)[0]
                raise InputError(f"{_path(named, first)} cannot be used: {first['msg']:.200}.") from None
    raise InputError(f"The JSON needs a “version” and a “kind”: {', '.join(_KINDS)}.")


def _path(named: Any, error: Any) -> str:
    """The place of an error in the JSON, without the members of unions that pydantic has tried."""
    parts, value = [], named
    for part in error["loc"]:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            if error["type"] != "missing":
                break
        parts.append(str(part))
    return f"“{'.'.join(parts)[:80]}” in the JSON"
