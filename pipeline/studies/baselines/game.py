"""Stage: the game of each explained picture's areas, planned before anything is evaluated.

The plan lists the pictures in the store and erases nothing that is still good; after it, any
partition of the pictures may be evaluated anywhere.
"""

import logging
from pathlib import Path

import numpy as np

from pipeline.core.files import write_json
from pipeline.core.stage import run
from pipeline.models import devices
from pipeline.store import plan
from pipeline.studies.baselines.explained import input_digest, predict, read_explained
from pipeline.studies.baselines.params import PictureGameParams, PicturesParams

log = logging.getLogger(__name__)


def main(
    *,
    model: str,
    weights: Path,
    pictures: PicturesParams,
    params: PictureGameParams,
    store: Path,
    out: Path,
    device: str = "auto",
    threads: int = 1,  # noqa: ARG001  set for torch by the runner
) -> None:
    """Make the store at ``store`` list the pictures; ``out`` says of which game it is now.

    ``model`` is classifier or distance, ``weights`` the checkpoint of the classifier or of the
    embedding.
    """
    explained = read_explained(model, weights, pictures, params, devices.resolve(device))
    targets = np.zeros(len(explained.instances), dtype=np.int64)
    if explained.seconds is None:
        targets = predict(explained)
    planned = plan(
        store,
        explained.record,
        explained.instances,
        [input_digest(explained, i, int(target)) for i, target in enumerate(targets)],
        output_classes=targets[:, None] if explained.seconds is None else None,
    )
    done = int(planned.done().sum())
    log.info("%s: %d of %d pictures are evaluated already", store, done, len(planned))
    identity = planned.record.identity
    write_json(out, {"store": str(store), "identity": identity, "instances": len(planned)})


if __name__ == "__main__":
    run(main)
