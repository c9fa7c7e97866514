"""Networks of torch that no library has, each small: built by `model=python`, or exported."""

from __future__ import annotations

import torch
from torch import nn


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


def plain() -> nn.Module:
    """Four convolutions with batch norm and a classifier."""
    body = [_conv(3, 32, 2), _conv(32, 64, 2), _conv(64, 128), _conv(128, 128, 2)]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def group_norm() -> nn.Module:
    """Convolutions with group norm and SiLU."""
    body: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        body += [nn.Conv2d(before, after, 3, 2, 1), nn.GroupNorm(8, after), nn.SiLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


def table() -> nn.Module:
    """Layers of a table's columns with batch norm."""
    return nn.Sequential(
        nn.Linear(40, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 3)
    )


def autoencoder() -> nn.Module:
    """A picture through strided convolutions and back through transposed ones."""
    down = [_conv(3, 32, 2), _conv(32, 64, 2)]
    up = [nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Sigmoid()]
    return nn.Sequential(*down, *up)


def sound_1d() -> nn.Module:
    """A wave through strided 1-D convolutions."""
    body: list[nn.Module] = []
    for before, after, size, stride in ((1, 32, 80, 8), (32, 64, 3, 4), (64, 128, 3, 4)):
        body += [nn.Conv1d(before, after, size, stride, size // 2), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(128, 10))


class Block1d(nn.Module):
    """Dilated, with a way around it."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values + torch.relu(self.norm(self.conv(values)))


def dilated_1d() -> nn.Module:
    """A temporal convolutional network: an answer at each step."""
    return nn.Sequential(nn.Conv1d(8, 48, 1), *(Block1d(48, 2**power) for power in range(4)), nn.Conv1d(48, 5, 1))


def volume() -> nn.Module:
    """3-D convolutions of a short film."""
    body: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32), (32, 64)):
        body += [nn.Conv3d(before, after, 3, 2, 1), nn.BatchNorm3d(after), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, 6))


class Branches(nn.Module):
    """Inception-like: four branches that meet in a Concat."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 32, 2)
        pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), _conv(32, 16))
        wide = nn.Sequential(nn.Conv2d(32, 24, 5, padding=2), nn.LeakyReLU(0.1))
        self.ways = nn.ModuleList([nn.Conv2d(32, 16, 1), _conv(32, 32), wide, pooled])
        self.head = nn.Linear(88, 10)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        stem = self.stem(picture)
        met = torch.cat([way(stem) for way in self.ways], 1)
        answer: torch.Tensor = self.head(met.mean((2, 3)))
        return answer


def branches() -> nn.Module:
    """As of the class."""
    return Branches()


class Gated(nn.Module):
    """Squeeze and excite, then a PReLU, then an arm that is multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.gate = (
            _conv(3, 32, 2),
            nn.Sequential(nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 32), nn.Sigmoid()),
        )
        self.body, self.act, self.head = nn.Conv2d(32, 64, 3, 2, 1), nn.PReLU(64), nn.Linear(64, 10)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        stem = self.stem(picture)
        gated = stem * self.gate(stem.mean((2, 3)))[:, :, None, None]
        answer: torch.Tensor = self.head(self.act(self.body(gated)).amax((2, 3)))
        return answer


def gated() -> nn.Module:
    """As of the class."""
    return Gated()


def segmenter(name: str) -> nn.Module:
    """A segmentation network of torchvision, 5 classes, no weights fetched."""
    from torchvision.models import segmentation

    network: nn.Module = getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=5, aux_loss=False)
    return network


class Raw(nn.Module):
    """What a detector of torchvision answers before boxes are decoded: (scores, offsets of boxes)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        from torchvision.models import detection

        whole = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=4)
        self.backbone, self.head = whole.backbone, whole.head

    def forward(self, picture: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.head(list(self.backbone(picture).values()))
        return tuple(found[name] for name in sorted(found))


class Recognizer(nn.Module):
    """Convolutions to columns, a bidirectional LSTM, letters at each column (CTC)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(1, 32, 2), _conv(32, 64, 2))
        self.lstm, self.head = nn.LSTM(64 * 8, 64, bidirectional=True, batch_first=True), nn.Linear(128, 30)

    def forward(self, line: torch.Tensor) -> torch.Tensor:
        columns = self.body(line).flatten(1, 2).transpose(1, 2)
        letters: torch.Tensor = self.head(self.lstm(columns)[0])
        return letters.softmax(-1)


class Recurrent(nn.Module):
    """A stack of LSTM, GRU or plain layers over a sequence, its last step classified."""

    def __init__(self, kind: str, layers: int = 2, both_ways: bool = False) -> None:
        super().__init__()
        self.body = getattr(nn, kind)(16, 64, layers, batch_first=True, bidirectional=both_ways)
        self.head = nn.Linear(128 if both_ways else 64, 6)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.body(sequence)[0][:, -1])
        return answer


class Mixed(nn.Module):
    """A picture and a table's row, each by its own arm, together to one answer."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Sequential(_conv(3, 32, 2), _conv(32, 64, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.row = nn.Sequential(nn.Linear(12, 64), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 4))

    def forward(self, picture: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(torch.cat([self.eye(picture), self.row(row)], 1))
        return answer


class Pair(nn.Module):
    """Two pictures by one network: their vectors' difference, as verification and tracking ask it."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Sequential(
            _conv(3, 32, 2), _conv(32, 64, 2), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(256, 32)
        )

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        apart: torch.Tensor = self.eye(left) - self.eye(right)
        return apart


class Recommender(nn.Module):
    """Numbers of users and things through tables to a score, beside columns of floats."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.things = nn.Embedding(500, 32), nn.Embedding(800, 32)
        self.head = nn.Sequential(nn.Linear(72, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, user: torch.Tensor, thing: torch.Tensor, more: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(torch.cat([self.users(user), self.things(thing), more], 1))
        return answer


class Attention(nn.Module):
    """A transformer's encoder of PyTorch over a sequence of floats."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True, dropout=0.0)
        self.into, self.head = nn.Linear(16, 64), nn.Linear(64, 6)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.body(self.into(sequence)).mean(1))
        return answer
