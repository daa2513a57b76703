"""Explanations of an image ShapNet: its own, and those of other methods for the same network.

Deep SHAP takes training images as references; all other methods take the image of zeros. A pixel's
attribution is the sum over its channels. For saliency it is the largest absolute gradient.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.core.errors import InputError
from pipeline.models.arguments import check_kind, finite, tensor, weight_of
from pipeline.models.image_shapnets import ImageShapNet

SHAPNET = "shapnet"
OTHERS = (
    "integrated_gradients",
    "input_x_gradient",
    "deep_lift",
    "deep_shap",
    "saliency",
)
"""In the order of Table 7."""

METHODS = (SHAPNET, *OTHERS)

ROWS = 32
"""Images, with their references, that the network evaluates at once."""


@dataclass(frozen=True, eq=False)
class Explainer:
    """A network and what methods need to explain it."""

    network: ImageShapNet
    references: Tensor
    """(reference, channel, height, width) of Deep SHAP"""
    steps: int
    """of Integrated Gradients"""

    def attributions(self, method: str, images: Tensor, targets: Tensor) -> Tensor:
        """Attributions of pixels by a method.

        Args:
            method: one of ``METHODS``.
            images: (image, channel, height, width)
            targets: (image,) the class of each.

        Returns:
            (image, height, width), on the CPU.

        Raises:
            InputError: an unknown method, no image, NaN or Inf, targets that are not classes.
        """
        if method not in METHODS:
            raise InputError(f"method {method!r}: must be one of {', '.join(METHODS)}")
        images, targets = checked(self.network, images), tensor("targets", targets)
        n_classes = self.network.n_outputs
        whole = not (targets.is_floating_point() or targets.dtype == torch.bool)
        fit = whole and targets.shape == images.shape[:1]
        if not fit or not ((targets >= 0) & (targets < n_classes)).all():
            raise InputError(
                f"targets of shape {tuple(targets.shape)}, {targets.dtype}: a class from 0 to "
                f"{n_classes - 1} for each of {len(images)} images is needed"
            )
        device = next(self.network.parameters()).device
        attribute, each = self._method(method)
        size = max(1, ROWS // each)
        parts = zip(images.split(size), targets.split(size), strict=True)
        with warnings.catch_warnings():
            # captum warns that it sets hooks and removes them.
            warnings.filterwarnings("ignore", "Setting forward, backward hooks")
            warnings.filterwarnings("ignore", "Input Tensor .* did not already require gradients")
            found = [attribute(x.to(device), target.to(device)).cpu() for x, target in parts]
        return torch.cat(found).detach()

    def _method(self, name: str) -> tuple[Callable[[Tensor, Tensor], Tensor], int]:
        """A method as a function of images and targets, and its number of evaluations per image."""
        if name == SHAPNET:
            return self._own, 1
        from captum import attr  # noqa: PLC0415  takes seconds to load

        network, references = self.network, self.references.to(next(self.network.parameters()))
        summed: dict[str, tuple[Any, dict[str, Any], int]] = {
            "integrated_gradients": (
                attr.IntegratedGradients,
                {"n_steps": self.steps, "method": "gausslegendre"},
                self.steps,
            ),
            "input_x_gradient": (attr.InputXGradient, {}, 1),
            "deep_lift": (attr.DeepLift, {}, 2),
            "deep_shap": (attr.DeepLiftShap, {"baselines": references}, 2 * len(references)),
            "saliency": (attr.Saliency, {}, 1),
        }
        kind, more, each = summed[name]

        def attribute(images: Tensor, targets: Tensor) -> Tensor:
            found: Tensor = kind(network).attribute(images, target=targets, **more)
            return found.amax(dim=1) if name == "saliency" else found.sum(dim=1)

        return attribute, each

    @torch.no_grad()
    def _own(self, images: Tensor, targets: Tensor) -> Tensor:
        explanation = self.network.explain(images).stages[-1]
        return explanation[torch.arange(len(images), device=images.device), targets]


def checked(network: ImageShapNet, images: Tensor) -> Tensor:
    """Images as a tensor. Raises InputError for another network, no image, NaN or Inf."""
    check_kind("network", network, ImageShapNet)
    given = tensor("images", images, weight_of(network))
    if given.ndim != 4 or 0 in given.shape:
        raise InputError(
            f"images of shape {tuple(given.shape)}: (image, channel, height, width), each at "
            "least 1, is needed"
        )
    return finite("images", given)


@torch.no_grad()
def explanations_of(network: ImageShapNet, images: Tensor) -> list[Tensor]:
    """Representations of all stages: one tensor (image, channel, …) per stage, on the CPU.

    The last one is the explanation. Raises InputError for another network, no image, NaN or Inf.
    """
    images = checked(network, images)
    device = next(network.parameters()).device
    parts = [network.explain(part.to(device)).stages for part in images.split(ROWS)]
    return [torch.cat(each).cpu() for each in zip(*parts, strict=True)]
