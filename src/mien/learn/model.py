"""The networks, whole: a gray face in [0, 1] goes in, logits come out."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mien.errors import TrainingError
from mien.labels import EMOTIONS

OFFICIAL = len(EMOTIONS)  # logits of FER2013's own labels
FERPLUS = OFFICIAL + 1  # logits of the FER+ votes: the seven emotions, then contempt


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """Two convolutions and a shortcut around them (He et al. 2016, arXiv:1512.03385, figure 2)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels_in, channels_out, stride=stride)
        norm = nn.BatchNorm2d(channels_out)
        self.second = nn.Sequential(nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False), norm)
        nn.init.zeros_(norm.weight)  # each block begins as its shortcut, which lets deep nets start fast
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(channels_in, channels_out, 1, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) → (n, channels_out, h / stride, w / stride)."""
        return F.relu(self.second(self.first(x)) + self.shortcut(x), inplace=True)


def plain(
    widths: tuple[int, ...], depths: tuple[int, ...], dense: tuple[int, ...], outputs: int, dropout: float
) -> nn.Sequential:
    """Stages of convolutions with max pooling between them, global average pooling, dense layers.

    The stem is 5×5 with stride 2: on a CPU it costs a third of a 3×3 stem at full size and its batch normalisation.
    """
    layers: list[nn.Module] = [ConvBlock(1, widths[0], kernel=5, stride=2)]
    channels = widths[0]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        layers += [nn.MaxPool2d(2)] if stage else []
        for _ in range(depth):
            layers.append(ConvBlock(channels, width))
            channels = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
    for width in dense:
        layers += [nn.Linear(channels, width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        channels = width
    return nn.Sequential(*layers, nn.Linear(channels, outputs))


def resnet(widths: tuple[int, ...], blocks: tuple[int, ...], outputs: int, dropout: float) -> nn.Sequential:
    """A stem that halves the picture, then stages of residual blocks, each stage half the size of the one before."""
    layers: list[nn.Module] = [ConvBlock(1, widths[0]), nn.MaxPool2d(2)]
    channels = widths[0]
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(count):
            layers.append(Residual(channels, width, stride=2 if stage and not block else 1))
            channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, outputs)]
    return nn.Sequential(*layers, *head)


NETWORKS = {
    "baseline": lambda outputs, dropout: plain((32, 64, 128, 256), (1, 2, 2, 2), (128,), outputs, dropout),
    "plain-s": lambda outputs, dropout: plain((32, 64, 128, 256), (1, 2, 2, 2), (), outputs, dropout),
    "resnet-18": lambda outputs, dropout: resnet((64, 128, 256, 512), (2, 2, 2, 2), outputs, dropout),
}


def build(name: str, *, votes: bool, dropout: float) -> nn.Sequential:
    """The network `name`: (n, 1, 48, 48) float in [0, 1] → (n, 7) logits, or (n, 15) with the FER+ head."""
    if name not in NETWORKS:
        raise TrainingError(f"there is no network {name!r}: choose one of {', '.join(NETWORKS)}")
    return NETWORKS[name](OFFICIAL + FERPLUS if votes else OFFICIAL, dropout)
