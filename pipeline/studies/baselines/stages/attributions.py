"""Stage: what each pixel and area of the explained pictures adds to a model's score.

Integrated Gradients from usual baselines beside Shapley Integrated Gradients (Algorithm 2), and
values of areas: Effective Shapley values, permutation sampling, exact ones. Algorithm 1 looks its
coalitions up in the store that the receipt vouches for; only gradients are evaluated here. The
coalitions that it kept are written beside the attributions.
"""

from pathlib import Path

import numpy as np
import torch

from pipeline.core.progress import progress
from pipeline.models import devices
from pipeline.shapley import shapley_values
from pipeline.shapley.coalitions import Masks
from pipeline.store.evaluation import StoredGame
from pipeline.store.vouching import believing
from pipeline.studies.baselines.explained import (
    batch_size,
    load_pictures,
    mean_picture,
    read_explained,
    refuse_other,
    score_of,
    targets_of,
    unit_of,
)
from pipeline.studies.baselines.params import AttributionsParams, PictureGameParams, PicturesParams
from pipeline.studies.baselines.picture_attributions import (
    EXACT,
    Attributions,
    One,
    attribute_at_random,
    gather,
    gather_sampled,
    integrated_once,
    write_attributions,
)

VERSION = 1


def main(
    *,
    model: str,
    weights: Path,
    receipt: Path,
    pictures: PicturesParams,
    game: PictureGameParams,
    params: AttributionsParams,
    out: Path,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Write the attributions of all pictures in the store of ``receipt`` to ``out`` (HDF5).

    ``game`` are the parameters that the store was evaluated with.
    """
    target = devices.resolve(device)
    explained = read_explained(model, weights, pictures, game, target)
    train = load_pictures(pictures, "train")
    training = torch.from_numpy(train.pixels)
    mean = mean_picture(train)[None].to(target)
    baselines = {"ig_zero": torch.zeros_like(mean), "ig_mean": mean}
    at_once = batch_size(explained.scores, explained.pictures[0], gradients=True)
    count = len(explained.instances)
    found: list[list[dict[str, One]]] = [[] for _ in range(params.repeats)]
    sampled: list[list[list[Masks]]] = [[] for _ in range(params.repeats)]
    with (
        believing(receipt) as store,
        progress(f"baselines_attributions {model}", count * params.repeats, "pictures") as advance,
    ):
        refuse_other(store, explained)
        targets = targets_of(store)
        for i in range(count):
            stored = StoredGame(store, i)
            score = score_of(explained, i, int(targets[i]))
            picture = explained.pictures[i]
            for repeat in range(params.repeats):
                seed = np.random.SeedSequence([params.seed, repeat, int(explained.numbers[i])])
                one, kept = attribute_at_random(
                    score,
                    stored,
                    picture,
                    explained.areas,
                    explained.absent,
                    training,
                    params,
                    seed,
                    at_once,
                )
                if repeat == 0:
                    fixed = integrated_once(score, picture, baselines, params, at_once)
                    exact = shapley_values(store.read(i))[:, 0]
                    all_coalitions = One(exact, 0, store.record.rows, float("nan"))
                    one = {**fixed, **one, EXACT: all_coalitions}
                found[repeat].append(one)
                sampled[repeat].append(kept)
                advance()
        identity = store.record.identity
    seconds = explained.seconds
    write_attributions(
        out,
        Attributions(
            model=model,
            unit=unit_of(explained.record),
            source=pictures.source,
            identity=identity,
            instances=explained.instances,
            classes=explained.classes,
            labels=explained.labels,
            targets=targets if explained.second_labels is None else explained.second_labels,
            pictures=explained.pictures.cpu().numpy(),
            seconds=None if seconds is None else seconds.cpu().numpy(),
            areas=explained.areas,
            methods=gather(found),
            sampled=gather_sampled(sampled),
        ),
    )
