"""Networks of a user's own, named by ``module:function``."""

import torch
from torch import Tensor, nn


class Attending(nn.Module):
    """Patches of digits, one attention of four heads, and hidden units."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, stride=4)
        self.attention = nn.MultiheadAttention(8, 4, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 5), nn.GELU(), nn.Linear(5, 8))
        self.last = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.last((x + self.mlp(x)).mean(dim=1))


def attending() -> nn.Module:
    torch.manual_seed(0)
    return Attending()
