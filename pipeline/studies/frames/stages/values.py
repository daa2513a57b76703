"""Stage: Element Shapley Values of every frame, read from the coalition store.

Nothing is evaluated here. The result is HDF5 for programs and, for the true and the predicted class
alone, a table (CSV) for people.
"""

from pathlib import Path

import numpy as np

from pipeline.core.files import replacing
from pipeline.store.vouching import believing
from pipeline.studies.frames import sampling
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.values import (
    IN_FEATURES,
    IN_VIDEO,
    read_values,
    stored_values,
    write_csv,
    write_hdf5,
)

VERSION = 1


def main(
    *, receipt: Path, features: Path, out: Path, table: Path, label: str | None = None
) -> None:
    """Values of all videos in the store that ``receipt`` vouches for.

    ``features`` says the true classes and which frames of the video file the players are. If the
    store does not hold what the receipt says, the receipt is removed: then the next run evaluates
    what is missing.
    """
    with believing(receipt) as store:
        arrays = stored_values(store)
    known = read_features(features, label=label)
    number = {uid: i for i, uid in enumerate(known.uids)}
    videos = np.array([number[uid] for uid in store.instances])
    frames = sampling.spread(known.lengths[videos], store.record.n_players)
    numbered = known.frame_indices is not None
    if known.frame_indices is not None:
        frames = known.frame_indices[known.starts[videos][:, None] + frames]
    arrays["frames"] = frames
    arrays["true_class"] = known.labels[videos]
    if store.output_classes is not None:
        arrays["predicted_class"] = store.output_classes[:, 1].astype(np.int64)
    else:
        arrays["predicted_class"] = arrays["whole"].argmax(axis=1)
    with replacing(out) as temporary:
        write_hdf5(temporary, store, arrays, IN_VIDEO if numbered else IN_FEATURES)
        values = read_values(temporary)
        with replacing(table) as temporary_table:
            write_csv(temporary_table, values)
