"""The recipe: settings, data, model, optimiser, schedule, loop; and what makes a run survive being killed."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.data.prepare import Split
from mien.errors import OutputError, TrainingError
from mien.files import WholeFile
from mien.learn.loader import Augmentation, Batch, Loader
from mien.learn.model import OFFICIAL, build

CHECKPOINT, WEIGHTS, SETTINGS, HISTORY = "checkpoint.pt", "model.pt", "settings.json", "history.csv"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what a run learns; saved beside every checkpoint."""

    network: str = "baseline"  # a name of model.NETWORKS
    epochs: int = 40
    batch: int = 128
    optimiser: str = "adam"  # adam (AdamW, decoupled decay) or sgd (with Nesterov momentum)
    learning_rate: float = 2e-3  # at its highest, after the warm-up
    weight_decay: float = 5e-4  # of convolution and dense weights, not of biases and normalisation
    warmup: float = 2.0  # epochs
    dropout: float = 0.3
    smoothing: float = 0.1  # of the labels
    oversample: float = 0.4  # 0: classes as they are; 1: every class as often as the largest
    mixup: float = 0.0  # parameter of the beta distribution (Zhang et al. 2018, arXiv:1710.09412); off for the last tenth
    votes: float = 0.0  # weight of the FER+ head; 0: no such head
    ema: float = 0.999  # decay of the averaged weights, which are the ones validated and kept
    patience: int = 10  # epochs without a better validation accuracy before it stops; 0: never, and keep the last
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)


RECIPES = {
    "baseline": Settings(),
    "student-s": Settings(
        network="plain-s",
        epochs=80,
        optimiser="sgd",
        learning_rate=0.1,
        dropout=0.2,
        oversample=0.25,
        votes=0.5,
        patience=0,
        augmentation=Augmentation(light=0.2, erase=0.15, degrade=0.06),
    ),
}


@dataclass(slots=True)
class Run:
    """Where a run stands; what a checkpoint holds."""

    model: nn.Module
    average: nn.Module  # the exponential moving average of the weights
    optimiser: torch.optim.Optimizer
    history: list[dict[str, float]]  # one row an epoch
    best: float = -1.0  # validation accuracy of the weights kept
    waited: int = 0  # epochs since

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        parts = {key: getattr(self, key).state_dict() for key in ("model", "average", "optimiser")}
        return {**parts, "history": self.history, "best": self.best, "waited": self.waited}


def train(
    data: dict[str, Split],
    out: Path,
    settings: Settings,
    *,
    device: str = "cpu",
    resume: bool = False,
    tick: Callable[[int, int, float], None] = lambda epoch, steps, loss: None,
    report: Callable[[dict[str, float]], None] = lambda row: None,
) -> list[dict[str, float]]:
    """Train on `data["train"]`, choose on `data["val"]`, and write checkpoint, weights, settings and history to `out`.

    `tick` is called after every step and `report` after every epoch with that epoch's row of the history, which is
    what the call returns. With `resume` it goes on after the last whole epoch, to the numbers of an unbroken run.
    Raises TrainingError where `out` holds another run, the loss is no number or memory runs out.
    """
    torch.manual_seed(settings.seed)
    place = torch.device(device)
    run = _resume(out, settings, place) if resume else _start(out, settings, place)
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
        _save(run, out, settings, keep=better or not settings.patience)
        report(row)
    _calibrate(out, check, settings)
    return run.history


def _one_epoch(
    run: Run, learn: Loader, settings: Settings, epoch: int, tick: Callable[[int, int, float], None]
) -> tuple[float, float]:
    """Mean loss and accuracy over the augmented faces of one epoch."""
    torch.manual_seed(settings.seed * 100_003 + epoch)  # dropout and mixup: a resumed run draws what an unbroken one does
    run.model.train()
    steps = learn.steps(settings.oversample)
    if not steps:
        raise TrainingError(f"there are fewer training images than a batch of {settings.batch}: use a smaller --batch")
    total = correct = seen = 0.0
    mix = settings.mixup if epoch <= 0.9 * settings.epochs else 0.0
    for step, batch in enumerate(learn.epoch(epoch, settings.augmentation, settings.oversample), 1):
        done = epoch - 1 + step / steps
        for group in run.optimiser.param_groups:
            group["lr"] = settings.learning_rate * _schedule(done, settings)
        loss, logits = _loss(run.model, batch, settings, mix)
        if not math.isfinite(loss.item()):
            raise TrainingError(f"the loss is no number in epoch {epoch}: lower --learning-rate and --resume")
        run.optimiser.zero_grad()
        loss.backward()
        run.optimiser.step()
        _follow(run.average, run.model, settings.ema, (epoch - 1) * steps + step)
        total += loss.item()
        correct += float((logits[:, :OFFICIAL].argmax(1) == batch.labels).sum())
        seen += len(batch.labels)
        tick(epoch, steps, total / step)
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
    """Put a temperature for each head beside the kept weights: the one of least validation loss (Guo et al. 2017)."""
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
    """The number by which to divide `logits` (n, c) for the least cross-entropy to the distributions `targets` (n, c)."""
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


# --- Starting, stopping, going on ------------------------------------------------------------------------------------


def _new(settings: Settings, device: torch.device) -> Run:
    def network() -> nn.Module:
        net = build(settings.network, votes=settings.votes > 0, dropout=settings.dropout)
        return net.to(device).to(memory_format=torch.channels_last)

    model, average = network(), network()
    average.load_state_dict(model.state_dict())
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser: torch.optim.Optimizer
    if settings.optimiser == "adam":
        optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate)
    elif settings.optimiser == "sgd":
        optimiser = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    else:
        raise TrainingError(f"there is no optimiser {settings.optimiser!r}: choose adam or sgd")
    return Run(model, average, optimiser, history=[])


def _start(out: Path, settings: Settings, device: torch.device) -> Run:
    if (out / CHECKPOINT).exists():
        raise TrainingError(f"{out} holds a run: go on with --resume, or give --out another name")
    run = _new(settings, device)
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / SETTINGS).write_text(json.dumps(asdict(settings), indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from None
    return run


def _resume(out: Path, settings: Settings, device: torch.device) -> Run:
    if not (out / CHECKPOINT).exists():
        return _start(out, settings, device)
    saved = load_checkpoint(out / CHECKPOINT)
    if saved["settings"] != asdict(settings):
        other = [key for key, value in asdict(settings).items() if saved["settings"].get(key) != value]
        raise TrainingError(f"{out} was trained with other settings ({', '.join(other)}): resume with the same ones")
    run = _new(settings, device)
    for key in ("model", "average", "optimiser"):
        getattr(run, key).load_state_dict(saved[key])
    return replace(run, **{key: saved[key] for key in ("history", "best", "waited")})


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint that `train` wrote, on the CPU. Raises TrainingError where the file is broken or something else."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist: train with `mien train --out {path.parent}` first") from None
    except Exception as error:  # torch.load raises whatever its unpickler does
        raise TrainingError(f"{path} cannot be read ({type(error).__name__}): is it truncated?") from None
    if not (isinstance(saved, dict) and "settings" in saved):
        raise TrainingError(f"{path} is not a checkpoint of mien train")
    return saved


def _save(run: Run, out: Path, settings: Settings, keep: bool) -> None:
    """Each file is written whole: a kill or a full disk leaves the last epoch's."""
    write(out / CHECKPOINT, {"settings": asdict(settings), **run.state()})
    if keep:
        epoch = run.history[-1]
        write(out / WEIGHTS, {"settings": asdict(settings), "model": run.average.state_dict(), "epoch": epoch})
    with WholeFile(out / HISTORY) as file:
        table = csv.DictWriter(file, list(run.history[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(run.history)


def write(path: Path, content: dict[str, Any]) -> None:
    """Save a checkpoint whole or not at all."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with WholeFile(path, "wb") as file:
        file.write(buffer.getvalue())
