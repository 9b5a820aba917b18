"""Small float64 networks in eval mode, with inputs: one `Case` per way of building a model.

Weights are seeded and random, scaled so that activations stay near 1. Every bias is filled and every batch
norm has random statistics, so that a dropped bias or a wrong fold moves the numbers. Batch norm has `eps = 0`, with
the usual eps moved into `running_var`: the same function, and zennit, whose merging leaves `bn.eps` behind,
explains the same model. Inputs are signed, batch 3, with a tenth of the entries exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Case:
    """A network and an input batch for it; both callables return fresh, equal objects each time."""

    name: str
    build: Callable[[], nn.Module]
    inputs: Callable[[], Tensor]
    deep_pools: bool = False

    def blank_inputs(self) -> Tensor:
        """The same batch with an all-zero last sample (max-pool ties, units without any input)."""
        x = self.inputs()
        x[-1] = 0
        return x

    def agreement_inputs(self) -> Tensor:
        """The last two of `blank_inputs`, for comparisons with tools that merge batch norms and so round differently.

        A blank image ties whole windows of a second or third max pool (`deep_pools`), and there the last bit picks
        the winner. For such a network only a corner is blank, which ties windows of the first pool.
        """
        if not self.deep_pools:
            return self.blank_inputs()[1:]
        x = self.inputs()[1:]
        x[-1, :, :8, :8] = 0
        return x


def prepare(model: nn.Module, seed: int) -> nn.Module:
    """Fill a model with seeded random float64 weights and statistics, move `bn.eps` away, put it in eval mode."""
    generator = torch.Generator().manual_seed(seed)

    def normal(like: Tensor, scale: float) -> Tensor:
        return scale * torch.randn(like.shape, generator=generator, dtype=torch.float64)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(like.shape, generator=generator, dtype=torch.float64)

    model.double().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.weight.copy_(uniform(module.weight, 0.6, 1.4))
                module.bias.copy_(normal(module.bias, 0.2))
                module.running_mean.copy_(normal(module.running_mean, 0.3))
                module.running_var.copy_(uniform(module.running_var, 0.5, 2.0) + module.eps)
                module.eps = 0.0
            elif isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
                fan_in = module.weight[0].numel()
                module.weight.copy_(normal(module.weight, (2 / fan_in) ** 0.5))
                if module.bias is not None:
                    module.bias.copy_(normal(module.bias, 0.2))
            elif isinstance(module, (nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.MultiheadAttention)):
                for parameter in module.parameters(recurse=False):
                    parameter.copy_(normal(parameter, parameter.shape[-1] ** -0.5))
                if getattr(module, "padding_idx", None) is not None:
                    module.weight[module.padding_idx] = 0
    return model


def signed(*shape: int, seed: int = 0) -> Tensor:
    """Standard normal float64 numbers, about a tenth of them exactly zero."""
    generator = torch.Generator().manual_seed(1000 + seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x * (torch.rand(shape, generator=generator) > 0.1)


class MLPFunctional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(10, 16), nn.Linear(16, 12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def mlp() -> nn.Module:
    layers = nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4)
    return prepare(nn.Sequential(*layers), seed=1)


def mlp_functional() -> nn.Module:
    """The same weights as `mlp`, under other names, with `F.relu`."""
    return prepare(MLPFunctional(), seed=1)


def conv1d_net() -> nn.Module:
    layers = nn.Conv1d(2, 6, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 8, 3, stride=2), nn.ReLU()
    return prepare(nn.Sequential(*layers, nn.Flatten(), nn.Linear(8 * 7, 5)), seed=2)


def vgg_bn() -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width in (8, 12, "pool", 16, 16, "pool", 24, 24, "pool"):
        if width == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
    head = nn.Linear(24 * 4, 32), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(32, 10)
    return prepare(nn.Sequential(*layers, nn.AdaptiveAvgPool2d((2, 2)), nn.Flatten(), *head), seed=3)


class BasicBlock(nn.Module):
    """The usual ResNet block: one in-place ReLU module used twice, a functional in-place addition.

    Attribute names and their order are torchvision's, so that the peers' canonizers fit it.
    """

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class ResNet(nn.Module):
    """ResNet-18 with narrow layers."""

    def __init__(self, widths: tuple[int, ...] = (8, 16, 32, 64)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages, channels = [], widths[0]
        for stage, width in enumerate(widths):
            blocks = BasicBlock(channels, width, 1 if stage == 0 else 2), BasicBlock(width, width, 1)
            stages.append(nn.Sequential(*blocks))
            channels = width
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def resnet18_small() -> nn.Module:
    return prepare(ResNet(), seed=4)


def conv3d_net() -> nn.Module:
    layers = nn.Conv3d(2, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(6, 8, 2, stride=2)
    return prepare(nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(8 * 8, 4)), seed=5)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: expand, depthwise (dilated or strided), project; one ReLU6 used twice, a functional add."""

    def __init__(self, channels: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        hidden = 3 * channels
        self.expand, self.bn1 = nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride, dilation, dilation, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.project, self.bn3 = nn.Conv2d(hidden, width, 1, bias=False), nn.BatchNorm2d(width)
        self.act = nn.ReLU6(inplace=True)
        self.residual = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        out = self.act(self.bn1(self.expand(x)))
        out = self.act(self.bn2(self.depthwise(out)))
        out = self.bn3(self.project(out))
        return x + out if self.residual else out


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn, self.act = nn.Conv2d(4, 8, 3, 2, 1, groups=2), nn.BatchNorm2d(8), nn.ReLU6(inplace=True)
        self.block1 = InvertedResidual(8, 8, dilation=2)
        self.block2 = InvertedResidual(8, 12, stride=2)
        self.block3 = InvertedResidual(12, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.stem(x)))
        x = self.block3(self.block2(self.block1(x)))
        return self.head(x.mean([2, 3]))


def depthwise_net() -> nn.Module:
    return prepare(Depthwise(), seed=6)


def avgpool_net() -> nn.Module:
    layers = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AvgPool2d(3, 2, padding=1), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
    return prepare(nn.Sequential(*layers, nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(8 * 6, 4)), seed=7)


class ResidualFunctional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.conv1, self.conv2 = nn.Conv2d(6, 10, 3, padding=1), nn.Conv2d(10, 6, 1)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.stem(x))
        x = x + self.conv2(F.gelu(self.conv1(x)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class DepthwiseModules(Depthwise):
    """The same with a module for its average pooling: peers that follow modules alone can follow it."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.stem(x)))
        x = self.block3(self.block2(self.block1(x)))
        return self.head(torch.flatten(self.pool(x), 1))


def depthwise_modules() -> nn.Module:
    return prepare(DepthwiseModules(), seed=6)


def smooth_net() -> nn.Module:
    layers = nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.SiLU(), nn.Conv2d(6, 8, 3, 2, groups=2), nn.GELU(), nn.Flatten()
    head = nn.Linear(32, 12), nn.Sigmoid(), nn.Linear(12, 12), nn.Hardswish(), nn.Linear(12, 8), nn.ELU()
    return prepare(nn.Sequential(*layers, *head, nn.Linear(8, 8), nn.Softplus(), nn.Linear(8, 3)), seed=12)


def norm_first() -> nn.Module:
    """Batch norm on the input, behind a ReLU and behind a pool: nowhere behind a linear layer, so not folded."""
    layers = nn.BatchNorm2d(3), nn.Conv2d(3, 6, 3), nn.ReLU(), nn.BatchNorm2d(6), nn.MaxPool2d(2, 2, 1)
    head = nn.Conv2d(6, 8, 3), nn.ReLU(), nn.AvgPool2d(2, 1), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 2, 4)
    return prepare(nn.Sequential(*layers, *head), seed=11)


def decoder() -> nn.Module:
    """Transposed convolutions: overlapping, grouped, dilated, with output padding; some with a batch norm behind."""
    up = nn.ConvTranspose2d(3, 8, 3, 2, 1, output_padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)
    wide = nn.ConvTranspose2d(8, 6, 4, 2, 1, groups=2), nn.ReLU(), nn.ConvTranspose2d(6, 6, (2, 3), 3, dilation=(1, 2))
    head = nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 90, 5)
    return prepare(nn.Sequential(*up, *wide, *head), seed=10)


def residual_functional() -> nn.Module:
    return prepare(ResidualFunctional(), seed=8)


def bias_free_relu() -> nn.Module:
    layers = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, bias=False)
    head = nn.Linear(8 * 4, 12, bias=False), nn.ReLU(), nn.Linear(12, 4, bias=False)
    return prepare(nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), *head), seed=9)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("mlp", mlp, lambda: signed(3, 10, seed=1)),
        Case("mlp_functional", mlp_functional, lambda: signed(3, 10, seed=1)),
        Case("conv1d_net", conv1d_net, lambda: signed(3, 2, 30, seed=2)),
        Case("vgg_bn", vgg_bn, lambda: signed(3, 3, 32, 32, seed=3), deep_pools=True),
        Case("resnet18_small", resnet18_small, lambda: signed(3, 3, 32, 32, seed=4)),
        Case("conv3d_net", conv3d_net, lambda: signed(3, 2, 8, 8, 8, seed=5)),
        Case("depthwise_net", depthwise_net, lambda: signed(3, 4, 20, 20, seed=6)),
        Case("depthwise_modules", depthwise_modules, lambda: signed(3, 4, 20, 20, seed=6)),
        Case("smooth_net", smooth_net, lambda: signed(3, 2, 8, 8, seed=12)),
        Case("norm_first", norm_first, lambda: signed(3, 3, 9, 11, seed=11)),
        Case("decoder", decoder, lambda: signed(3, 3, 5, 5, seed=10)),
        Case("avgpool_net", avgpool_net, lambda: signed(3, 3, 13, 15, seed=7)),
        Case("residual_functional", residual_functional, lambda: signed(3, 2, 9, 9, seed=8)),
        Case("bias_free_relu", bias_free_relu, lambda: signed(3, 3, 8, 8, seed=9)),
    )
}
