"""The recipe: settings, data, model, optimiser, schedule, loop."""

from __future__ import annotations

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
from mien.learn.calibrate import calibrated
from mien.learn.checkpoint import (
    HELD_OUT,
    WEIGHTS,
    Machine,
    Run,
    digest_of,
    enough_memory,
    load_checkpoint,
    resume_run,
    save,
    start_run,
    write,
)
from mien.learn.distil import ViewLoader, Views, both_ways, distance
from mien.learn.folds import parts, whole
from mien.learn.limit import TimeLimit
from mien.learn.loader import Batch, Loader
from mien.learn.model import OFFICIAL, half
from mien.learn.settings import Settings
from mien.learn.trained import Trained, load_trained, unfolded

Tick = Callable[[int, int, int, float, float], None]
"""Called as an epoch proceeds: epoch, step, steps of the epoch, mean loss so far, images per second."""

LOOK = 25  # steps between two looks at the loss on a GPU, which it would have to stop for
SAVE = 20.0  # seconds between two checkpoints on a GPU, where an epoch of a large network is shorter than its saving
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
    """Train on `data["train"]`, choose on `data["val"]`, and write checkpoint, weights, settings and history to `out`.

    `settings.held_out` may divide the data otherwise; `views` are what a student's teachers said, `init` is what it
    begins with. `tick` is called as an epoch proceeds and `report` after every epoch with that epoch's row of the
    history, which is what the call returns. With `resume` it goes on after the last whole epoch, on a CPU to the
    numbers of an unbroken run; with a `limit` it stops after the epoch that leaves too little time for another. Raises
    TrainingError where `out` holds another run or a network, the loss is no number or memory runs out.
    """
    torch.manual_seed(settings.seed)
    torch.set_num_threads(machine.threads)
    torch.backends.cudnn.benchmark = True  # a network's batches are of one size, so that the search for a kernel pays
    limit = limit or TimeLimit()
    smaller = f"begin another run, with --set batch={settings.batch // 2}"
    with enough_memory(settings.network, smaller if settings.batch >= 4 else "end what else takes it"):
        learn, check = _loaders(data, settings, views, torch.device(machine.device))
        if not learn.steps(settings.oversample):
            raise TrainingError(f"there are fewer training images than a batch of {settings.batch}: use --set batch=16")
        begin = resume_run if resume else start_run
        run = begin(out, settings, machine, digest_of(learn.images.cpu().numpy()))
        _begin_with(init, run, learn, settings)
        more, saved = _goes_on(run, settings, limit), time.perf_counter()
        while more:
            row = _one_epoch(run, learn, check, settings, tick)
            run.history.append(row)
            better, more = not waited(run.history), _goes_on(run, settings, limit)
            keep = better or not settings.patience
            waits = machine.device == "cuda" and time.perf_counter() - saved < SAVE
            if not more or not waits or (better and settings.patience):
                save(run, out, settings, keep)
                saved = time.perf_counter()
            report(row)
        if not limit.over:
            _finish(out, check)
    return run.history


def _loaders(
    data: dict[str, Split], settings: Settings, views: Views | None, device: torch.device
) -> tuple[Loader, Loader]:
    """What the run learns from and what it is checked on."""
    learn, check = parts(data, settings)
    checker = Loader(check, device, settings.batch, settings.seed)
    if settings.views != (views.digest if views else ""):
        raise TrainingError("this run learns from other views: give the file that it began with as --views")
    if views is None:
        return Loader(learn, device, settings.batch, settings.seed), checker
    if not settings.votes:
        raise TrainingError("teachers judge FER+ votes as well: train a student with --set votes=0.5")
    return ViewLoader(learn, whole(data), views, device, settings.batch, settings.seed), checker


def _begin_with(init: Trained | None, run: Run, learn: Loader, settings: Settings) -> None:
    """Give a run that has not begun the weights of a trained network."""
    if settings.init != (init.digest if init else ""):
        raise TrainingError("this run began with other weights: give the model file that it began with as --init")
    if init is None or run.history:
        return
    if (init.settings.network, init.settings.votes > 0) != (settings.network, settings.votes > 0):
        other = f"{init.settings.network} {'with' if init.settings.votes else 'without'} a FER+ head"
        raise TrainingError(f"the model to begin with is a {other}: choose a recipe for such a network")
    if init.may_know(settings.held_out, run.learned):
        raise TrainingError(
            "the model to begin with may have learned from what this run would hold out: hold out PublicTest, "
            "with --set held_out=public and without --fold and --members"
        )
    first = unfolded(init.net, learn.images[:FACES, None].float().cpu() / 255)
    for net in (run.model, run.average):
        net.load_state_dict(first.state_dict())


def _goes_on(run: Run, settings: Settings, limit: TimeLimit) -> bool:
    """Whether there is another epoch to train, and time for it."""
    last = run.history[-1]["seconds"] if run.history else 0.0
    limit.longest = max(limit.longest, last)
    if len(run.history) >= settings.epochs or (settings.patience and waited(run.history) >= settings.patience):
        return False
    # The first epoch of a run is expected to take as long as the longest of the members before it took, and begun
    # where there were none.
    return not limit.longest or limit.allows(last or limit.longest)


def waited(history: list[dict[str, float]]) -> int:
    """Epochs since that of the lowest validation loss, which is a steadier guide than the accuracy."""
    losses = [row["val_loss"] for row in history]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def _one_epoch(run: Run, learn: Loader, check: Loader, settings: Settings, tick: Tick) -> dict[str, float]:
    """The next row of the history."""
    began, epoch = time.perf_counter(), len(run.history) + 1
    loss, accuracy = _learn(run, learn, settings, epoch, tick)
    val_loss, val_accuracy = validate(run.average, check)
    if not math.isfinite(val_loss):
        raise _no_number(settings, epoch)
    return {
        "epoch": epoch,
        "loss": loss,
        "accuracy": accuracy,
        "val_loss": val_loss,
        "val_accuracy": val_accuracy,
        "learning_rate": run.optimiser.param_groups[0]["lr"],
        "seconds": round(time.perf_counter() - began, 2),
    }


def _learn(run: Run, learn: Loader, settings: Settings, epoch: int, tick: Tick) -> tuple[float, float]:
    """Mean loss and accuracy over the augmented faces of one epoch."""
    torch.manual_seed(settings.seed * 100_003 + epoch)  # dropout, mixup: a resumed run draws what an unbroken one does
    run.model.train()
    steps = learn.steps(settings.oversample)
    total = torch.zeros((), dtype=torch.float64, device=learn.device)
    correct = torch.zeros((), dtype=torch.int64, device=learn.device)
    look = LOOK if learn.device.type == "cuda" else 1
    began = time.perf_counter()
    mix = settings.mixup if epoch <= 0.9 * settings.epochs else 0.0
    for step, batch in enumerate(learn.epoch(epoch, settings.augmentation, settings.oversample), 1):
        done = epoch - 1 + step / steps
        for group in run.optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(done, settings)
        loss, logits = _step(run, batch, settings, mix)
        total += loss
        correct += (logits[:, :OFFICIAL].argmax(1) == batch.labels).sum()
        if step % look == 0 or step == steps:
            mean = total.item() / step
            if not math.isfinite(mean):
                raise _no_number(settings, epoch)
            tick(epoch, step, steps, mean, step * settings.batch / (time.perf_counter() - began))
        _follow(run.average, run.model, settings.ema, (epoch - 1) * steps + step)
    return total.item() / steps, correct.item() / (steps * settings.batch)


def _step(run: Run, batch: Batch, settings: Settings, mix: float) -> tuple[Tensor, Tensor]:
    """One step of the optimiser; the loss where it began, and the logits."""
    loss, logits = _loss(run.model, batch, settings, mix)
    run.optimiser.zero_grad()
    loss.backward()
    run.optimiser.step()
    return loss.detach(), logits


def _no_number(settings: Settings, epoch: int) -> TrainingError:
    lower = f"{settings.learning_rate / 10:g}"
    return TrainingError(f"the loss is no number in epoch {epoch}: begin another run, with --set learning_rate={lower}")


def _loss(model: nn.Module, batch: Batch, settings: Settings, mix: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy on the official labels, the weighted divergence from the FER+ votes, and that from teachers."""
    share, other = 1.0, None
    faces = batch.faces.to(memory_format=torch.channels_last)
    if mix:
        share = float(torch.distributions.Beta(mix, mix).sample())
        other = torch.randperm(len(faces)).to(faces.device, non_blocking=True)
        faces = share * faces + (1 - share) * faces[other]
    with half(faces.device):
        logits = model(faces)
    logits = logits.float()

    def against(labels: Tensor, votes: Tensor, teachers: Tensor | None) -> Tensor:
        loss = F.cross_entropy(logits[:, :OFFICIAL], labels, label_smoothing=settings.smoothing)
        if settings.votes:
            loss = loss + settings.votes * -(votes * logits[:, OFFICIAL:].log_softmax(1)).sum(1).mean()
        if teachers is not None:
            official, ferplus = distance(logits, teachers, settings.temperature)
            loss = (1 - settings.distil) * loss + settings.distil * (official + settings.votes * ferplus)
        return loss

    loss = against(batch.labels, batch.votes, batch.teachers)
    if other is not None:
        theirs = None if batch.teachers is None else batch.teachers[other]
        loss = share * loss + (1 - share) * against(batch.labels[other], batch.votes[other], theirs)
    return loss, logits.detach()


def validate(model: nn.Module, check: Loader) -> tuple[float, float]:
    """Loss and accuracy of the official head on faces as they are."""
    model.eval()
    loss = correct = 0.0
    with torch.inference_mode(), half(check.device):
        for batch in check.in_order():
            logits = model(batch.faces.to(memory_format=torch.channels_last))[:, :OFFICIAL].float()
            loss += float(F.cross_entropy(logits, batch.labels, reduction="sum"))
            correct += float((logits.argmax(1) == batch.labels).sum())
    return loss / len(check.images), correct / len(check.images)


def _finish(out: Path, check: Loader) -> None:
    """Put a calibration for each head beside the kept weights, unless it is there.

    The logits of what was held out, each the mean of a face's and its mirror image's, get a file of their own.
    """
    kept = load_checkpoint(out / WEIGHTS)
    if "calibration" in kept and (out / HELD_OUT).exists():
        return
    model = load_trained(out).net.to(check.device)
    found = [of_head._asdict() for of_head in calibrated(model, check)]
    write(out / WEIGHTS, {**kept, "calibration": found})
    everything = torch.arange(len(check.images), device=check.device)
    averaged = both_ways(model, check.images, everything).cpu().numpy()
    buffer = io.BytesIO()
    np.savez(buffer, rows=check.source, labels=check.labels.cpu().numpy().astype(np.uint8), logits=averaged)
    with WholeFile(out / HELD_OUT, "wb") as file:
        file.write(buffer.getvalue())


def _schedule(done: float, settings: Settings) -> float:
    """The share of the learning rate after `done` epochs: a linear rise, then half a cosine down to zero."""
    if done < settings.warmup:
        return done / settings.warmup
    return 0.5 + 0.5 * math.cos(math.pi * (done - settings.warmup) / max(settings.epochs - settings.warmup, 1e-9))


def _follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the average towards the model; in the first steps faster, so that it forgets the random start."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
        for mean, value in zip(average.buffers(), model.buffers(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, weight)
            else:
                mean.copy_(value)
