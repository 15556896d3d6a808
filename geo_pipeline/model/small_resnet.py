"""`small_resnet`: our own network for small pictures.

The one idea: the network of the bundled world, made for what two CPU cores can do in some minutes. It needs nothing of
torchvision, whose import takes seconds.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2016); the shortcut averages before it strides (ResNet-D)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        nn.init.zeros_(self.norm2.weight)  # a block begins as its shortcut
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            pool = nn.AvgPool2d(stride) if stride != 1 else nn.Identity()
            project = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.shortcut = nn.Sequential(pool, project, nn.BatchNorm2d(out_channels))

    def forward(self, features: Tensor) -> Tensor:
        """float32[n, in, h, w] -> float32[n, out, h / stride, w / stride]."""
        inner = functional.relu(self.norm1(self.conv1(features)), inplace=True)
        return functional.relu(self.norm2(self.conv2(inner)) + self.shortcut(features), inplace=True)


class SmallResNet(nn.Module):
    """`small_resnet`: a ResNet-10 for pictures of about 64 pixels, 1.2 M parameters without the heads.

    A 3x3 stem of stride 2, four stages of one block with 16, 64, 128 and 256 channels, the mean over the last
    feature map (4x4 for 64 pixels). Narrow where the maps are large: that is where a CPU's time goes.
    """

    stage_widths = (16, 64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        width = self.stage_widths[0]
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        blocks = []
        for stage, out_channels in enumerate(self.stage_widths):
            blocks.append(ResidualBlock(width, out_channels, stride=1 if stage == 0 else 2))
            width = out_channels
        self.stages = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """float32[n, 3, h, w] -> float32[n, 256]."""
        features = functional.relu(self.norm(self.stem(images)), inplace=True)
        pooled: Tensor = self.stages(features).mean(dim=(2, 3))
        return pooled
