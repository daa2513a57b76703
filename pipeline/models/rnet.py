"""RNet, the second network of MTCNN: whether a picture of 24 × 24 pixels shows a face.

Zhang, Zhang, Li and Qiao (2016), "Joint face detection and alignment using multitask cascaded
convolutional networks". The modules have the names of facenet-pytorch's weights.
"""

import torch
from torch import Tensor, nn

SIDE = 24
"""Height and width of the pictures in pixels."""


class RNet(nn.Module):
    """Three convolutions (28, 48 and 64 filters) and a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)
        # Convolutions of few channels take half the time with the channels last in memory.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 3, 24, 24) in 0…1 → (batch, 2) logits of "no face" and "face".

        The position of the face (``dense5_2``) is not computed.
        """
        x = (images * 255 - 127.5) / 128
        x = self.pool1(self.prelu1(self.conv1(x)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x))
        # The weights were trained with the width first and the channels last.
        x = self.prelu4(self.dense4(torch.flatten(x.permute(0, 3, 2, 1), 1)))
        scores: Tensor = self.dense5_1(x)
        return scores
