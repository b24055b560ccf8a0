"""The recipe: settings, data, model, optimiser, schedule, loop; and what makes a run survive being killed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.data.prepare import Split
from mien.errors import TrainingError
from mien.learn.checkpoint import WEIGHTS, Machine, Run, load_checkpoint, resume_run, save, start_run, write
from mien.learn.loader import Batch, Loader
from mien.learn.model import OFFICIAL, build
from mien.learn.settings import Settings

Tick = Callable[[int, int, int, float, float], None]
"""Called after every step: epoch, step, steps of the epoch, mean loss so far, images per second."""


def train(
    data: dict[str, Split],
    out: Path,
    settings: Settings,
    *,
    machine: Machine,
    resume: bool = False,
    tick: Tick = lambda *_: None,
    report: Callable[[dict[str, float]], None] = lambda _: None,
) -> list[dict[str, float]]:
    """Train on `data["train"]`, choose on `data["val"]`, and write checkpoint, weights, settings and history to `out`.

    `tick` is called after every step and `report` after every epoch with that epoch's row of the history, which is
    what the call returns. With `resume` it goes on after the last whole epoch, to the numbers of an unbroken run.
    Raises TrainingError where `out` holds another run, the loss is no number or memory runs out.
    """
    torch.manual_seed(settings.seed)
    torch.set_num_threads(machine.threads)
    place = torch.device(machine.device)
    run = resume_run(out, settings, machine) if resume else start_run(out, settings, machine)
    learn = Loader(data["train"], place, settings.batch, settings.seed)
    check = Loader(data["val"], place, settings.batch, settings.seed)
    while len(run.history) < settings.epochs and not (settings.patience and run.waited >= settings.patience):
        began, epoch = time.perf_counter(), len(run.history) + 1
        loss, accuracy = _one_epoch(run, learn, settings, epoch, tick)
        val_loss, val_accuracy = validate(run.average, check)
        row = {
            "epoch": epoch,
            "loss": loss,
            "accuracy": accuracy,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "learning_rate": run.optimiser.param_groups[0]["lr"],
            "seconds": round(time.perf_counter() - began, 2),
        }
        run.history.append(row)
        better = val_accuracy > run.best
        run.best, run.waited = (val_accuracy, 0) if better else (run.best, run.waited + 1)
        save(run, out, settings, keep=better or not settings.patience)
        report(row)
    _calibrate(out, check, settings)
    return run.history


def _one_epoch(run: Run, learn: Loader, settings: Settings, epoch: int, tick: Tick) -> tuple[float, float]:
    """Mean loss and accuracy over the augmented faces of one epoch."""
    torch.manual_seed(
        settings.seed * 100_003 + epoch
    )  # dropout and mixup: a resumed run draws what an unbroken one does
    run.model.train()
    steps = learn.steps(settings.oversample)
    if not steps:
        raise TrainingError(f"there are fewer training images than a batch of {settings.batch}: use --set batch=16")
    total = correct = seen = 0.0
    began = time.perf_counter()
    mix = settings.mixup if epoch <= 0.9 * settings.epochs else 0.0
    for step, batch in enumerate(learn.epoch(epoch, settings.augmentation, settings.oversample), 1):
        done = epoch - 1 + step / steps
        for group in run.optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(done, settings)
        loss, logits = _loss(run.model, batch, settings, mix)
        if not math.isfinite(loss.item()):
            lower = f"{settings.learning_rate / 10:g}"
            raise TrainingError(f"the loss is no number in epoch {epoch}: start again with --set learning_rate={lower}")
        run.optimiser.zero_grad()
        loss.backward()
        run.optimiser.step()
        _follow(run.average, run.model, settings.ema, (epoch - 1) * steps + step)
        total += loss.item()
        correct += float((logits[:, :OFFICIAL].argmax(1) == batch.labels).sum())
        seen += len(batch.labels)
        tick(epoch, step, steps, total / step, seen / (time.perf_counter() - began))
    return total / steps, correct / seen


def _loss(model: nn.Module, batch: Batch, settings: Settings, mix: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy on the official labels, plus the weighted divergence from the FER+ votes where there are any."""
    share, other = 1.0, None
    faces = batch.faces.to(memory_format=torch.channels_last)
    if mix:
        share = float(torch.distributions.Beta(mix, mix).sample())
        other = torch.randperm(len(faces)).to(faces.device)
        faces = share * faces + (1 - share) * faces[other]
    logits = model(faces)

    def against(labels: Tensor, votes: Tensor) -> Tensor:
        loss = F.cross_entropy(logits[:, :OFFICIAL], labels, label_smoothing=settings.smoothing)
        if settings.votes:
            loss = loss + settings.votes * -(votes * logits[:, OFFICIAL:].log_softmax(1)).sum(1).mean()
        return loss

    loss = against(batch.labels, batch.votes)
    if other is not None:
        loss = share * loss + (1 - share) * against(batch.labels[other], batch.votes[other])
    return loss, logits.detach()


def validate(model: nn.Module, check: Loader) -> tuple[float, float]:
    """Loss and accuracy of the official head on faces as they are."""
    model.eval()
    loss = correct = 0.0
    with torch.inference_mode():
        for batch in check.in_order():
            logits = model(batch.faces.to(memory_format=torch.channels_last))[:, :OFFICIAL]
            loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
            correct += float((logits.argmax(1) == batch.labels).sum())
    return loss / len(check.images), correct / len(check.images)


def _calibrate(out: Path, check: Loader, settings: Settings) -> None:
    """Put a temperature for each head beside the kept weights (Guo et al. 2017, arXiv:1706.04599, section 4.2)."""
    saved = load_checkpoint(out / WEIGHTS)
    model = build(settings.network, votes=settings.votes > 0, dropout=settings.dropout)
    model.load_state_dict(saved["model"])
    model.to(check.device).eval()
    with torch.inference_mode():
        logits = torch.cat([model(batch.faces) for batch in check.in_order()]).cpu()
    official = F.one_hot(check.labels.cpu(), OFFICIAL).float()
    heads = [(logits[:, :OFFICIAL], official), (logits[:, OFFICIAL:], check.votes.cpu())]
    write(out / WEIGHTS, {**saved, "temperatures": [temperature(*head) for head in heads if head[0].shape[1]]})


def temperature(logits: Tensor, targets: Tensor) -> float:
    """The divisor of `logits` (n, c) that gives the least cross-entropy to the distributions `targets` (n, c)."""
    steps = torch.linspace(math.log(0.2), math.log(5), 321).exp()  # one per cent apart
    losses = torch.stack([-(targets * (logits / step).log_softmax(1)).sum() for step in steps])
    return round(float(steps[losses.argmin()]), 4)


def _schedule(done: float, settings: Settings) -> float:
    """The share of the learning rate after `done` epochs: a linear rise, then half a cosine down to zero."""
    if done < settings.warmup:
        return done / settings.warmup
    return 0.5 + 0.5 * math.cos(math.pi * (done - settings.warmup) / max(settings.epochs - settings.warmup, 1e-9))


def _follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the model; in the first steps faster, so that it forgets the random start."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:
                mean.copy_(value)
