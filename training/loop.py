"""The training loop of every model: checkpoints, resuming, early stopping, and a moving average of the weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

WARM_UP = 100  # steps


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
        steps: at most so many updates an epoch, by which the learning rate falls.
        average: the share of the moving average that stays at an update.
        watched: which of the scores of `validate` is to rise.
        recipe: what the run is made with; a checkpoint of another recipe ends the program.
        epoch_of: does the updates of one epoch, each by handing over its loss.
        validate: the scores of a model.
    """
    optimiser = torch.optim.Adam(model.parameters())
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(average))
    averaged.eval()
    done = 0

    def update(loss: Tensor) -> None:
        nonlocal done
        done += 1
        optimiser.param_groups[0]["lr"] = rate * min(done / WARM_UP, 1 - (done - 1) / (steps * epochs))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        averaged.update_parameters(model)

    history: list[dict[str, float]] = []
    best = {key: value.clone() for key, value in model.state_dict().items()}
    if path.exists():
        saved = _read(path, recipe, next(model.parameters()).device)
        model.load_state_dict(saved["model"])
        averaged.load_state_dict(saved["averaged"])
        optimiser.load_state_dict(saved["optimiser"])
        history, best, done = saved["history"], saved["best"], saved["steps"]
    while len(history) < epochs:
        watch = [scores[watched] for scores in history]
        if watch and len(watch) - 1 - int(np.argmax(watch)) >= patience:
            break
        # Seeded by the epoch, so that a run that was stopped goes on as if it had not been.
        torch.manual_seed(1000 * seed + len(history))
        model.train()
        epoch_of(update)
        scores = validate(averaged.module)
        print(
            f"{path.stem} {len(history) + 1:2}/{epochs}",
            {key: round(value, 4) for key, value in scores.items()},
            flush=True,
        )
        if scores[watched] > max(watch, default=-1.0):
            best = {key: value.clone() for key, value in averaged.module.state_dict().items()}
        history.append(scores)
        _write(
            path,
            recipe=recipe,
            model=model.state_dict(),
            averaged=averaged.state_dict(),
            optimiser=optimiser.state_dict(),
            history=history,
            best=best,
            steps=done,
        )
    model.load_state_dict(best)
    model.eval()


def _read(path: Path, recipe: dict[str, object], device: torch.device) -> dict[str, Any]:
    checkpoint = torch.load(path, map_location=device, weights_only=True)
    if checkpoint["recipe"] != recipe:
        raise SystemExit(f"{path} was made with other settings: choose another folder for this run.")
    return checkpoint


def _write(path: Path, **checkpoint: object) -> None:
    unfinished = path.with_suffix(".unfinished")
    torch.save(checkpoint, unfinished)
    unfinished.replace(path)
