"""Training, as a recipe to read: data, network, optimiser, loop."""

from __future__ import annotations

import copy
import io
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.data.prepare import Split
from mien.errors import TrainingError
from mien.files import WholeFile
from mien.learn import checkpoint
from mien.learn.calibrate import calibrated
from mien.learn.checkpoint import HELD_OUT, WEIGHTS, State, digest_of
from mien.learn.distil import ViewLoader, flip_tta
from mien.learn.folds import all_training, hold_out
from mien.learn.limit import TimeLimit
from mien.learn.loader import Loader
from mien.learn.loss import loss_of, mixup
from mien.learn.machine import Machine, autocast, enough_memory
from mien.learn.model import OFFICIAL, build
from mien.learn.settings import Settings, SettingsError
from mien.learn.trained import Trained, load_trained, unfold_batch_norm
from mien.learn.views import Views

Tick = Callable[[int, int, int, float, float], None]
"""Called as an epoch proceeds: epoch, step, steps of the epoch, mean loss so far, images per second."""

LOOK_EVERY = 25  # steps between two looks at the loss on a GPU, which has to stop for each
SAVE_EVERY = 20.0  # seconds between two checkpoints on a GPU, where an epoch may be shorter than its saving
FACES = 2000  # by which an exported network's batch normalisation is set again


def train(
    data: dict[str, Split],
    out: Path,
    settings: Settings,
    *,
    machine: Machine,
    resume: bool = False,
    views: Views | None = None,
    init: Trained | None = None,
    limit: TimeLimit | None = None,
    tick: Tick = lambda *_: None,
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> list[dict[str, float]]:
    """Train a network and write checkpoint, weights, settings and history to the folder `out`; returns the history.

    It learns from `data["train"]` and is validated on `data["val"]`, unless `settings.held_out` divides the data
    otherwise. `views` are what a student's teachers predicted, `init` is the network whose weights it begins with.
    `tick` is called as an epoch proceeds and `report` after every epoch with its row of the history. With `resume` the
    run goes on after its last whole epoch, on a CPU to the numbers of an unbroken run; with a `limit` it stops after
    the epoch that leaves too little time for another. Raises RunExistsError where `out` holds a run, NoRunError where
    one is to be resumed and there is none, SettingsError where other settings would help, and TrainingError.
    """
    torch.manual_seed(settings.seed)
    torch.set_num_threads(machine.threads)
    torch.backends.cudnn.benchmark = True  # all batches have one size, so the search for the fastest kernel pays
    device, limit = torch.device(machine.device), limit or TimeLimit()
    with enough_memory(_too_large(settings)):
        # Data: as bytes on the device, where they are augmented.
        to_learn, held_out = hold_out(data, settings)
        learned = digest_of(to_learn.images)
        validation = Loader(held_out, device, settings.batch, settings.seed)
        loader = _loader(to_learn, data, settings, views, device)

        # Network: beside it the moving average of its weights, which is what is validated and kept.
        model = build(settings.network, votes=settings.votes > 0, dropout=settings.dropout)
        model = model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        average = copy.deepcopy(model)

        # Optimiser: weight decay pulls on convolutions and dense layers, not on biases and normalisation.
        optimiser = _optimiser(model, settings)

        # Where it begins: with random weights, those of another network, or those of its checkpoint.
        state = State(model, average, optimiser, history=[])
        if resume:
            checkpoint.load_into(state, out, settings, learned)
        else:
            checkpoint.check_new(out)
        _begin_with(init, state, loader, settings, learned)
        if not state.history:
            checkpoint.begin(out, settings, machine)

        # Loop: learn, validate, save.
        saved = time.perf_counter()
        more = _another_epoch(state.history, settings, limit)
        while more:
            began, epoch = time.perf_counter(), len(state.history) + 1
            loss, accuracy = train_epoch(epoch, state, loader, settings, tick)
            val_loss, val_accuracy = validate(average, validation)
            if not math.isfinite(val_loss):
                raise _diverged(settings, epoch)
            row = {
                "epoch": epoch,
                "loss": loss,
                "accuracy": accuracy,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "learning_rate": optimiser.param_groups[0]["lr"],
                "seconds": round(time.perf_counter() - began, 2),
            }
            state.history.append(row)
            better, more = not epochs_since_best(state.history), _another_epoch(state.history, settings, limit)
            waits = machine.device == "cuda" and time.perf_counter() - saved < SAVE_EVERY
            if not more or not waits or (better and settings.patience):
                checkpoint.save(state, out, settings, learned, keep=better or not settings.patience)
                saved = time.perf_counter()
            report(row)
        if not limit.over:
            _finish(out, validation)
    return state.history


def train_epoch(epoch: int, state: State, loader: Loader, settings: Settings, tick: Tick) -> tuple[float, float]:
    """Learn from the augmented faces of one epoch; returns mean loss and accuracy on them."""
    torch.manual_seed(settings.seed * 100_003 + epoch)  # dropout, mixup: a resumed run draws what an unbroken one does
    state.model.train()
    steps, began = loader.steps(settings.oversample), time.perf_counter()
    total = torch.zeros((), dtype=torch.float64, device=loader.device)
    correct = torch.zeros((), dtype=torch.int64, device=loader.device)
    look_every = LOOK_EVERY if loader.device.type == "cuda" else 1
    alpha = settings.mixup if epoch <= 0.9 * settings.epochs else 0.0
    for step, batch in enumerate(loader.epoch(epoch, settings.augmentation, settings.oversample), 1):
        for group in state.optimiser.param_groups:
            group["lr"] = settings.learning_rate * schedule(epoch - 1 + step / steps, settings)
        mixed, other, share = mixup(batch, alpha) if alpha else (batch, None, 1.0)
        with autocast(loader.device):
            logits = state.model(mixed.faces.to(memory_format=torch.channels_last))
        logits = logits.float()
        loss = loss_of(logits, batch, settings)
        if other:
            loss = share * loss + (1 - share) * loss_of(logits, other, settings)
        state.optimiser.zero_grad()
        loss.backward()
        state.optimiser.step()
        update_ema(state.average, state.model, settings.ema, (epoch - 1) * steps + step)
        total += loss.detach()
        correct += (logits.detach()[:, :OFFICIAL].argmax(1) == batch.labels).sum()
        if step % look_every == 0 or step == steps:
            mean = total.item() / step
            if not math.isfinite(mean):
                raise _diverged(settings, epoch)
            tick(epoch, step, steps, mean, step * settings.batch / (time.perf_counter() - began))
    return total.item() / steps, correct.item() / (steps * settings.batch)


def schedule(done: float, settings: Settings) -> float:
    """The share of the learning rate after `done` epochs: a linear warm-up, then half a cosine down to zero."""
    if done < settings.warmup:
        return done / settings.warmup
    return 0.5 + 0.5 * math.cos(math.pi * (done - settings.warmup) / max(settings.epochs - settings.warmup, 1e-9))


def update_ema(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the model; in the first steps faster, so that it forgets the random start."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
        for mean, value in zip(average.buffers(), model.buffers(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:
                mean.copy_(value)


def validate(model: nn.Module, validation: Loader) -> tuple[float, float]:
    """Loss and accuracy of the official head on faces as they are."""
    model.eval()
    loss = correct = 0.0
    with torch.inference_mode(), autocast(validation.device):
        for batch in validation.in_order():
            logits = model(batch.faces.to(memory_format=torch.channels_last))[:, :OFFICIAL].float()
            loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
            correct += float((logits.argmax(1) == batch.labels).sum())
    return loss / len(validation.images), correct / len(validation.images)


def epochs_since_best(history: list[dict[str, float]]) -> int:
    """Epochs since that of the lowest validation loss, which is a steadier guide than the accuracy."""
    losses = [row["val_loss"] for row in history]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


# --- The parts of a run ----------------------------------------------------------------------------------------------


def _loader(
    to_learn: Split, data: dict[str, Split], settings: Settings, views: Views | None, device: torch.device
) -> Loader:
    if settings.views != (views.digest if views else ""):
        raise TrainingError("this run learns from other views: give those that it began with")
    if views is None:
        loader = Loader(to_learn, device, settings.batch, settings.seed)
    elif settings.votes:
        loader = ViewLoader(to_learn, all_training(data), views, device, settings.batch, settings.seed)
    else:
        raise SettingsError("teachers predict FER+ votes as well: train a student with a FER+ head", votes=0.5)
    if not loader.steps(settings.oversample):
        message = f"there are fewer training images than a batch of {settings.batch}: use a smaller batch"
        raise SettingsError(message, batch=max(2, min(16, settings.batch // 2)))
    return loader


def _optimiser(model: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    weights = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim <= 1]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if settings.optimiser == "adam":
        return torch.optim.AdamW(groups, lr=settings.learning_rate)
    if settings.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    raise TrainingError(f"there is no optimiser {settings.optimiser!r}: choose adam or sgd")


def _begin_with(init: Trained | None, state: State, loader: Loader, settings: Settings, learned: str) -> None:
    """Give a run at its beginning the weights of a trained network."""
    if settings.init != (init.digest if init else ""):
        raise TrainingError("this run began with other weights: give the model that it began with")
    if init is None or state.history:
        return
    if (init.settings.network, init.settings.votes > 0) != (settings.network, settings.votes > 0):
        other = f"{init.settings.network} {'with' if init.settings.votes else 'without'} a FER+ head"
        raise TrainingError(f"the model to begin with is a {other}: choose a recipe for such a network")
    if init.may_have_seen(settings.held_out, learned):
        raise TrainingError(
            "the model to begin with may have learned from what this run would hold out: hold out PublicTest"
        )
    first = unfold_batch_norm(init.net, loader.images[:FACES, None].float().cpu() / 255)
    for net in (state.model, state.average):
        net.load_state_dict(first.state_dict())


def _another_epoch(history: list[dict[str, float]], settings: Settings, limit: TimeLimit) -> bool:
    """Whether there is another epoch to train, and time for it."""
    last = history[-1]["seconds"] if history else 0.0
    limit.longest = max(limit.longest, last)
    if len(history) >= settings.epochs or (settings.patience and epochs_since_best(history) >= settings.patience):
        return False
    # The first epoch of a run is expected to take as long as the longest of the runs before it; where there were none
    # it begins in any case.
    return not limit.longest or limit.allows(last or limit.longest)


def _finish(out: Path, validation: Loader) -> None:
    """Put a calibration for each head beside the kept weights, unless it is there.

    The logits of what was held out, averaged over each face and its mirror image, get a file of their own.
    """
    kept = checkpoint.load_checkpoint(out / WEIGHTS)
    if "calibration" in kept and (out / HELD_OUT).exists():
        return
    model = load_trained(out).net.to(validation.device)
    found = [of_head._asdict() for of_head in calibrated(model, validation)]
    checkpoint.write(out / WEIGHTS, {**kept, "calibration": found})
    everything: Tensor = torch.arange(len(validation.images), device=validation.device)
    logits = flip_tta(model, validation.images, everything).cpu().numpy()
    buffer = io.BytesIO()
    labels = validation.labels.cpu().numpy().astype(np.uint8)
    np.savez(buffer, rows=validation.source, labels=labels, logits=logits)
    with WholeFile(out / HELD_OUT) as file:
        file.write(buffer.getvalue())


def _too_large(settings: Settings) -> TrainingError:
    message = f"too little memory for {settings.network}"
    if settings.batch < 4:
        return TrainingError(f"{message}: end what else takes it")
    half = settings.batch // 2
    return SettingsError(f"{message}: begin another run with a batch of {half}", batch=half)


def _diverged(settings: Settings, epoch: int) -> TrainingError:
    lower = settings.learning_rate / 10
    message = f"the loss is NaN or infinite in epoch {epoch}: begin another run with a learning rate of {lower:g}"
    return SettingsError(message, learning_rate=lower)
