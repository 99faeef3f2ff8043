"""Networks in the shapes of public ones, with random weights: a ViT-S with a DPT head, and a U-Net on MobileNetV3.

    python -m lab.public_shapes vit_s vit_s.pth
    mde-export lab.public_shapes:vit_s --weights vit_s.pth ...

`vit_s_518` is the same at Depth Anything's own size, `mobile_unet` the U-Net. The last layer is scaled so that depth
varies as in a scene; without that a certificate would have nothing to tell from a constant.
"""

import math
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mde_train.data.synth.frames import make_frame
from mde_train.torchvision_ops import import_torchvision

SEED = 0
NUM_SETTLING = 12  # rendered pictures
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VIT_SIZE, LARGE_VIT_SIZE, UNET_SIZE = (252, 336), (518, 686), (192, 256)  # the networks' inputs, height and width
MIDDLE_M, VARIATION_M = 8.0, 1.5  # of the depth over the settling pictures
PATCH_PX, DIM, NUM_HEADS, NUM_BLOCKS = 14, 384, 6, 12  # ViT-S/14
TAPS = (2, 5, 8, 11)  # the blocks that the DPT head reads
WIDTHS, FUSED = (48, 96, 192, 384), 64  # channels of the four levels, and of the fused ones


class Block(nn.Module):
    """A transformer block with LayerScale, as in DINOv2."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM, eps=1e-6), nn.LayerNorm(DIM, eps=1e-6)
        self.qkv, self.out = nn.Linear(DIM, 3 * DIM), nn.Linear(DIM, DIM)
        self.mlp = nn.Sequential(nn.Linear(DIM, 4 * DIM), nn.GELU(), nn.Linear(4 * DIM, DIM))
        self.scale1, self.scale2 = nn.Parameter(torch.full((DIM,), 0.3)), nn.Parameter(torch.full((DIM,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, DIM) to the same."""
        batch, tokens, _ = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(batch, tokens, 3, NUM_HEADS, DIM // NUM_HEADS).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        weights = (query @ key.transpose(-2, -1) / math.sqrt(DIM // NUM_HEADS)).softmax(-1)
        x = x + self.scale1 * self.out((weights @ value).transpose(1, 2).reshape(batch, tokens, DIM))
        added: Tensor = self.scale2 * self.mlp(self.norm2(x))
        return x + added


class Residual(nn.Module):
    """DPT's residual unit."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(FUSED, FUSED, 3, padding=1), nn.Conv2d(FUSED, FUSED, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, FUSED, h, w) to the same."""
        added: Tensor = self.second(self.first(x.relu()).relu())
        return x + added


class VitWithDpt(nn.Module):
    """(N, 3, h, w) to (N, 1, h, w), sides multiples of 14: the shape of Depth Anything V2 Small with metric depth."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.grid = (height // PATCH_PX, width // PATCH_PX)
        self.patch = nn.Conv2d(3, DIM, PATCH_PX, PATCH_PX)
        self.token = nn.Parameter(0.02 * torch.randn(1, 1, DIM))
        self.place = nn.Parameter(0.02 * torch.randn(1, 1 + self.grid[0] * self.grid[1], DIM))
        self.blocks = nn.ModuleList(Block() for _ in range(NUM_BLOCKS))
        self.norm = nn.LayerNorm(DIM, eps=1e-6)
        self.project = nn.ModuleList(nn.Conv2d(DIM, width, 1) for width in WIDTHS)
        resize = [
            nn.ConvTranspose2d(WIDTHS[0], WIDTHS[0], 4, 4),
            nn.ConvTranspose2d(WIDTHS[1], WIDTHS[1], 2, 2),
            nn.Identity(),
            nn.Conv2d(WIDTHS[3], WIDTHS[3], 3, 2, 1),
        ]
        self.resize = nn.ModuleList(resize)
        self.narrow = nn.ModuleList(nn.Conv2d(width, FUSED, 3, padding=1, bias=False) for width in WIDTHS)
        self.before, self.after = (nn.ModuleList(Residual() for _ in WIDTHS) for _ in range(2))
        self.out = nn.ModuleList(nn.Conv2d(FUSED, FUSED, 1) for _ in WIDTHS)
        self.head1 = nn.Conv2d(FUSED, FUSED // 2, 3, padding=1)
        self.head2 = nn.Sequential(nn.Conv2d(FUSED // 2, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 1, 1))

    @property
    def last(self) -> nn.Conv2d:
        """The layer that makes the map."""
        layer = self.head2[-1]
        assert isinstance(layer, nn.Conv2d)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        """Depth, metres."""
        size = x.shape[-2:]
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.place
        levels: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index in TAPS:
                level = len(levels)
                plane = self.norm(tokens)[:, 1:].transpose(1, 2).reshape(len(x), DIM, *self.grid)
                levels.append(self.narrow[level](self.resize[level](self.project[level](plane))))
        fused: Tensor | None = None
        for level in reversed(range(len(levels))):
            here = self.before[level](levels[level])
            fused = self.after[level](here if fused is None else here + fused)
            target = levels[level - 1].shape[-2:] if level else (2 * fused.shape[-2], 2 * fused.shape[-1])
            fused = self.out[level](F.interpolate(fused, target, mode="bilinear", align_corners=True))
        assert fused is not None
        fused = F.interpolate(self.head1(fused), size, mode="bilinear", align_corners=True)
        depth_m: Tensor = self.head2(fused)
        return depth_m


class MobileUnet(nn.Module):
    """(N, 3, h, w) to (N, 1, h, w), sides multiples of 32: torchvision's MobileNetV3 Small and a decoder with skips."""

    SKIPS = (0, 1, 3, 8)  # encoder stages before each halving, 16, 16, 24 and 48 channels

    def __init__(self) -> None:
        super().__init__()
        import_torchvision()
        from torchvision.models import mobilenet_v3_small

        self.encoder = mobilenet_v3_small(weights=None).features
        channels, self.decoder = 576, nn.ModuleList()
        for skip, out in zip((48, 24, 16, 16), (96, 64, 32, 24), strict=True):
            layers = [nn.Conv2d(channels + skip, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.Hardswish()]
            self.decoder.append(nn.Sequential(*layers))
            channels = out
        self.last = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Depth, metres."""
        size, skips = x.shape[-2:], []
        for index, stage in enumerate(self.encoder):
            x = stage(x)
            if index in self.SKIPS:
                skips.append(x)
        for layer in self.decoder:
            skip = skips.pop()
            x = layer(torch.cat([F.interpolate(x, skip.shape[-2:], mode="bilinear"), skip], 1))
        return F.interpolate(self.last(x), size, mode="bilinear")


def vit_s() -> nn.Module:
    """Depth Anything V2 Small's shape at VIT_SIZE."""
    torch.manual_seed(SEED)
    return _settled(VitWithDpt(*VIT_SIZE), VIT_SIZE)


def vit_s_518() -> nn.Module:
    """Depth Anything V2 Small's shape at LARGE_VIT_SIZE."""
    torch.manual_seed(SEED)
    return _settled(VitWithDpt(*LARGE_VIT_SIZE), LARGE_VIT_SIZE)


def mobile_unet() -> nn.Module:
    """A U-Net on MobileNetV3 Small at UNET_SIZE."""
    torch.manual_seed(SEED)
    return _settled(MobileUnet(), UNET_SIZE)


def _settled(network: VitWithDpt | MobileUnet, size: tuple[int, int]) -> nn.Module:
    """The network with its BatchNorms settled on pictures, and its depth around MIDDLE_M."""
    frames = np.stack([make_frame(SEED, index).frame for index in range(NUM_SETTLING)])
    levels = F.interpolate(torch.from_numpy(frames).permute(0, 3, 1, 2) / 255, size, mode="bilinear")
    pictures = (levels - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    with torch.no_grad():
        for norm in network.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.momentum = None  # the plain mean over what follows
        network.train()(pictures)
        depth_m = network.eval()(pictures)
        gain = VARIATION_M / depth_m.std()
        last = network.last
        assert last.bias is not None
        last.weight *= gain
        last.bias.copy_((last.bias - depth_m.mean()) * gain + MIDDLE_M)
    return network


if __name__ == "__main__":
    name, path = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    shapes = {"vit_s": vit_s, "vit_s_518": vit_s_518, "mobile_unet": mobile_unet}
    torch.save(shapes[name]().state_dict(), path)
