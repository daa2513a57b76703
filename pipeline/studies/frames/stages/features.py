"""Stage: features of every sampled frame of a split's clips, for both models."""

import csv
from contextlib import ExitStack
from pathlib import Path

import torch

from pipeline.core.errors import InputError
from pipeline.core.files import replacing
from pipeline.data.something import read_split, require_videos
from pipeline.models import checkpoints, devices
from pipeline.studies.frames.backbone import load_backbone
from pipeline.studies.frames.feature_files import feature_writer
from pipeline.studies.frames.features import extract
from pipeline.studies.frames.params import DecodingParams
from pipeline.studies.frames.paths import MODELS

VERSION = 2


def main(
    *,
    root: Path,
    split: str,
    backbones: list[Path],
    decoding: DecodingParams,
    trn: Path,
    tsn: Path,
    skipped: Path,
    clips: int | None = None,
    device: str = "auto",
    threads: int = 1,
) -> None:
    """Decode every clip of a split once and write its features of both models.

    ``backbones`` are those of TRN and TSN, in this order. ``skipped`` becomes a table (CSV) of the
    clips that cannot be decoded completely, with the reason and whether they are used. ``clips``
    limits the split to its first clips.
    """
    target = devices.resolve(device)
    networks = {}
    for model, path in zip(MODELS, backbones, strict=True):
        network, trained_with = load_backbone(path)
        if trained_with != decoding:
            raise InputError(
                f"{path}: was trained on frames decoded with {trained_with}, not {decoding}"
            )
        networks[model] = network.to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]
    chosen = read_split(root, split)[:clips]
    require_videos(chosen, root, split)
    with ExitStack() as stack:
        writers = {
            model: stack.enter_context(
                feature_writer(path, backbone_sha256=checkpoints.state_digest(networks[model]))
            )
            for model, path in (("trn", trn), ("tsn", tsn))
        }
        troubles = extract(chosen, networks, writers, decoding, target, threads, split)
        if not any(each.is_used for each in troubles) and len(troubles) == len(chosen):
            raise InputError(f"{root}: none of the {len(chosen)} {split} clips can be decoded")
    with replacing(skipped) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["split", "id", "used", "reason"])
        for each in troubles:
            table.writerow((split, each.clip.id, "yes" if each.is_used else "no", each.reason))
