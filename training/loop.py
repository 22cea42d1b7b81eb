"""The training loop of every model: checkpoints, resuming, early stopping, and a moving average of the weights."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

WARM_UP = 100  # steps

T = TypeVar("T")


def train_stage(
    path: Path,
    model: nn.Module,
    *,
    seed: int,
    epochs: int,
    steps: int,
    rate: float,
    average: float,
    patience: int,
    watched: str,
    recipe: dict[str, object],
    epoch_of: Callable[[Callable[[Tensor], None]], None],
    validate: Callable[..., dict[str, float]],
) -> None:
    """Train until the epochs are over, or the watched score has not risen for `patience` epochs.

    The learning rate rises to `rate`, then falls towards zero. The model is left with the best moving average of its
    weights, in evaluation mode. The checkpoint `path` is written after each epoch, and read at the start.

    Args:
        steps: the maximum of updates an epoch, by which the learning rate falls.
        average: the share of the moving average that stays at an update.
        recipe: the settings of the run; a checkpoint of another recipe ends the program.
        epoch_of, validate: do the updates of one epoch, each by passing its loss; return the scores of a model.
    """
    optimiser = torch.optim.Adam(model.parameters())
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(average)).eval()
    parts: dict[str, Any] = {"model": model, "averaged": averaged, "optimiser": optimiser}
    history, best, done = _resumed(path, recipe, parts)

    def update(loss: Tensor) -> None:
        nonlocal done
        done += 1
        optimiser.param_groups[0]["lr"] = rate * min(done / WARM_UP, 1 - (done - 1) / (steps * epochs))
        _descend(optimiser, model, loss)
        averaged.update_parameters(model)

    while len(history) < epochs and (not history or len(history) - 1 - _best_epoch(history, watched) < patience):
        # Seeded by the epoch, so that a run that was stopped goes on as if it had not been.
        torch.manual_seed(1000 * seed + len(history))
        model.train()
        epoch_of(update)
        history.append(validate(averaged.module))
        scores = ", ".join(f"{key}: {value:.4f}" for key, value in history[-1].items())
        print(f"{path.stem} {len(history):2}/{epochs} {scores}", flush=True)
        if _best_epoch(history, watched) == len(history) - 1:
            best = weights_of(averaged.module)
        _write(path, parts, recipe=recipe, history=history, best=best, steps=done)
    model.eval().load_state_dict(best)


def batches_of_one_length(items: list[T], length: Callable[[T], int], size: int) -> list[list[T]]:
    """Return batches of items of one length, so that nothing is padded; such items keep their order."""
    same = [list(group) for _, group in groupby(sorted(items, key=length), key=length)]
    return [group[start : start + size] for group in same for start in range(0, len(group), size)]


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's state."""
    return {key: value.clone() for key, value in model.state_dict().items()}


def _descend(optimiser: torch.optim.Optimizer, model: nn.Module, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    optimiser.step()


def _best_epoch(history: list[dict[str, float]], watched: str) -> int:
    return int(np.argmax([scores[watched] for scores in history]))


def _resumed(
    path: Path, recipe: dict[str, object], parts: dict[str, Any]
) -> tuple[list[dict[str, float]], dict[str, Tensor], int]:
    """Load a checkpoint into model, average and optimiser; return its history, best weights and number of updates."""
    if not path.exists():
        return [], weights_of(parts["model"]), 0
    device = next(parts["model"].parameters()).device
    checkpoint = torch.load(path, map_location=device, weights_only=True)
    if checkpoint["recipe"] != recipe:
        raise SystemExit(f"{path} was made with other settings: choose another folder for this run.")
    for name, part in parts.items():
        part.load_state_dict(checkpoint[name])
    return checkpoint["history"], checkpoint["best"], checkpoint["steps"]


def _write(path: Path, parts: dict[str, Any], **others: object) -> None:
    unfinished = path.with_suffix(".unfinished")
    torch.save({name: part.state_dict() for name, part in parts.items()} | others, unfinished)
    unfinished.replace(path)
