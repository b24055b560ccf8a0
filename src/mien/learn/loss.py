"""What a network learns by: the official labels, the FER+ votes and its teachers' predictions, each with its weight."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.learn.loader import Batch
from mien.learn.model import OFFICIAL
from mien.learn.settings import Settings


def loss_of(logits: Tensor, batch: Batch, settings: Settings) -> Tensor:
    """The mean loss of a batch whose faces got `logits` (n, 7 or 15).

    Cross-entropy on the official labels, plus the cross-entropy of the FER+ votes times `settings.votes`. Where
    teachers predicted, they get `settings.distil` of the loss and the labels the rest; a face that no teacher has
    predicted (`batch.taught`) learns from its labels alone.
    """
    some = batch.taught is not None  # a loss for each face, since their weights differ
    official, ferplus = logits[:, :OFFICIAL], logits[:, OFFICIAL:]
    loss = F.cross_entropy(
        official, batch.labels, label_smoothing=settings.smoothing, reduction="none" if some else "mean"
    )
    if settings.votes:
        each = -(batch.votes * ferplus.log_softmax(1)).sum(1)
        loss = loss + settings.votes * (each if some else each.mean())
    if batch.teachers is None:
        return loss
    theirs = batch.teachers.split((OFFICIAL, logits.shape[1] - OFFICIAL), 1)
    first, second = (
        distance(mine, other, settings.temperature, "none" if some else "batchmean")
        for mine, other in zip((official, ferplus), theirs, strict=True)
    )
    weight = settings.distil * batch.taught if batch.taught is not None else settings.distil
    return ((1 - weight) * loss + weight * (first + settings.votes * second)).mean()


def distance(logits: Tensor, teachers: Tensor, temperature: float, reduction: str = "batchmean") -> Tensor:
    """How far a head is from its teachers': of all faces the mean, or (n,) with the reduction "none".

    The divergence of the softened distributions (Hinton et al. 2015, arXiv:1503.02531), times the temperature squared,
    which keeps the size of its gradients.
    """
    mine, theirs = ((each / temperature).log_softmax(1) for each in (logits, teachers))
    divergence = F.kl_div(mine, theirs, reduction=reduction, log_target=True)
    return (divergence.sum(1) if reduction == "none" else divergence) * temperature**2


def mixup(batch: Batch, alpha: float) -> tuple[Batch, Batch, float]:
    """Mix each face with another of its batch (Zhang et al. 2018, arXiv:1710.09412).

    Returns the batch with mixed faces, the batch of the others, and the share that the first has in the mixture, drawn
    from the beta distribution of `alpha`. The random numbers come from the CPU, so that no step waits for a GPU.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    order = torch.randperm(len(batch.faces)).to(batch.faces.device, non_blocking=True)
    other = Batch(*(None if column is None else column[order] for column in batch))  # type: ignore[arg-type]
    return batch._replace(faces=share * batch.faces + (1 - share) * other.faces), other, share
