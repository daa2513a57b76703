"""What the report shows of videos: frames, values of several methods, and stored tables."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from pipeline.core.embedding import Limits, quantised, rounded, thumbnail
from pipeline.core.errors import InputError
from pipeline.core.plotting import model_name
from pipeline.data.decoding import VideoError, decode_frames
from pipeline.data.something import read_action_intervals, video_files, video_of
from pipeline.shapley import shapley_values
from pipeline.shapley.interactions import interactions
from pipeline.store import CoalitionStore, open_store
from pipeline.studies.frames import paths, sampling
from pipeline.studies.frames.feature_files import FeatureSet, read_features
from pipeline.studies.frames.gradients import read_gradients
from pipeline.studies.frames.interactions import as_matrices
from pipeline.studies.frames.methods import METHODS
from pipeline.studies.frames.params import Params, ViewedParams
from pipeline.studies.frames.priors import read_class_names
from pipeline.studies.frames.values import FrameValues, read_values

MOST_NUMBERS = 1 << 17
"""Numbers of one video's table that are embedded; of larger ones, the true and predicted class."""

LINKS = {
    "Fig. 10": ("accuracy", "accuracy.csv"),
    "Supplement C": ("accuracy", "accuracy.csv"),
    "Figs. 3a, 12a": ("discard_attribution", "discard.csv"),
    "Figs. 3c, 12c": ("discard_methods", "discard_areas.csv"),
    "Fig. 12c": ("discard_methods", "discard_areas.csv"),
    "Figs. 6a, 11a": ("contributions", "patterns/contributions.csv"),
    "Figs. 6b, 11b": ("lengths", "lengths.csv"),
    "Fig. 11b": ("lengths", "lengths.csv"),
    "Figs. 6c, 11c": ("shift", "shift.csv"),
    "Figs. 13, 14": ("most_alike", "patterns/positions.csv"),
    "Alg. 1": ("algorithm_1_trn", "convergence.csv"),
    "Supplement D": (None, "runtime.csv"),
    "Table 1": (None, "runtime.csv"),
}
"""Figure and table of the claims, by their source in the paper."""


def view(section: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """Data of the view of videos, for JSON; ``section`` fits :class:`ViewedParams`."""
    # They are named as in all parameters of the study, of which the paths need no others.
    params = cast(Params, ViewedParams.model_validate(section))
    models = paths.models(params)
    known = {m: read_values(Path(f"{paths.MADE}/values/{m}.h5")) for m in models}
    first = known[models[0]]
    names = read_class_names(Path(class_file(params)))
    lengths = {m: _lengths(m) for m in models if paths.compares(params)}
    chosen = choose(first, names, limits, _looked_up(lengths))
    root = Path(paths.dataset_root(params)) if paths.has_videos(params) else None
    if not first.frames_are_numbered:
        root = None
    intervals = {} if root is None else read_action_intervals(root)
    stores = {m: open_store(f"results/coalitions/frames/{m}.zarr") for m in models}
    methods = _methods(params, known)
    shown = [_video(i, known, stores, methods, intervals) for i in chosen]
    for model, of_model in lengths.items():
        features = read_features(
            Path(paths.feature_file(params, model, "validation")), label=params.features.label
        )
        for video in [each for each in shown if model in each["models"]]:
            numbers = _numbers_of(features, video["id"])
            most = first.frames.shape[1]
            shorter = _shorter(of_model, video["id"], most, numbers)
            video["models"][model]["lengths"] = shorter
    if root is not None:
        add_pictures(shown, root, limits.side)
    return {
        "classes": list(names),
        "models": {m: model_name(m) for m in models},
        "methods": {k: METHODS[k] for k in ("esv", "algorithm_1", "ig", "gc", "leave_one_out")},
        "n": int(first.frames.shape[1]),
        "unit": first.unit,
        "explained": first.explained,
        "numbered": bool(first.frames_are_numbered),
        "of": len(first.uids),
        "videos": shown,
    }


def class_file(params: Params) -> str:
    """The JSON file with the names of the classes."""
    return f"{paths.MADE}/{'clips' if paths.is_own(params) else 'priors'}.json"


def choose(
    values: FrameValues,
    names: Sequence[str],
    limits: Limits,
    preferred: frozenset[str],
) -> list[int]:
    """Videos to show: of every class in turn, preferred ones and wrongly classified ones first.

    Raises InputError if there is no class of a name in ``limits``.
    """
    for name in limits.classes or ():
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0)[0]
            raise InputError(
                f"report.classes: there is no class {name!r}; the nearest is {close!r}"
            )
    allowed = range(len(names)) if limits.classes is None else map(names.index, limits.classes)
    queues: dict[int, list[int]] = {c: [] for c in allowed}
    wrong = values.true_class != values.predicted_class

    def rank(i: int) -> tuple[bool, bool, int]:
        return values.uids[i] not in preferred, not wrong[i], i

    for i in sorted(range(len(values.uids)), key=rank):
        queues.get(int(values.true_class[i]), []).append(i)
    chosen: list[int] = []
    while len(chosen) < limits.videos and any(queues.values()):
        for queue in queues.values():
            if queue and len(chosen) < limits.videos:
                chosen.append(queue.pop(0))
    return sorted(chosen, key=lambda i: (int(values.true_class[i]), i))


def _looked_up(lengths: Mapping[str, Any]) -> frozenset[str]:
    """Videos whose values with fewer frames are stored."""
    found = [of_model[1].keys() for of_model in lengths.values()]
    return frozenset(set.intersection(*map(set, found))) if found else frozenset()


def _lengths(model: str) -> tuple[CoalitionStore, dict[str, dict[int, int]]]:
    """The store of shorter videos, and its instances by video and number of frames."""
    store = open_store(f"results/coalitions/frames/{model}_lengths.zarr")
    places: dict[str, dict[int, int]] = {}
    for i, name in enumerate(store.instances):
        uid, _, n = name.rpartition(" at ")
        places.setdefault(uid, {})[int(n)] = i
    return store, places


def _methods(
    params: Params, known: Mapping[str, FrameValues]
) -> dict[str, dict[str, dict[str, NDArray[Any]]]]:
    """Attributions by model, method and class (``true``, ``predicted``): (video, frame) each."""
    found: dict[str, dict[str, dict[str, NDArray[Any]]]] = {m: {} for m in known}
    if paths.is_own(params):
        return found
    for model in known:
        gradients = read_gradients(Path(f"{paths.MADE}/gradients/{model}.h5"))
        for name, values in (
            ("ig", gradients.integrated_gradients),
            ("gc", gradients.gradcam),
        ):
            found[model][name] = {"true": values[:, :, 0], "predicted": values[:, :, 1]}
    if paths.compares(params):
        with h5py.File(f"{paths.MADE}/attributions.h5", "r") as file:
            for model in known:
                for name in ("algorithm_1", "leave_one_out"):
                    found[model][name] = {"true": file[model][name][:]}
    return found


def _video(
    i: int,
    known: Mapping[str, FrameValues],
    stores: Mapping[str, CoalitionStore],
    methods: Mapping[str, Mapping[str, Mapping[str, NDArray[Any]]]],
    intervals: Mapping[str, tuple[int, int]],
) -> dict[str, Any]:
    """One video's frames, values and tables."""
    first = next(iter(known.values()))
    uid = first.uids[i]
    found: dict[str, Any] = {
        "id": uid,
        "true": int(first.true_class[i]),
        "frames": first.frames[i].tolist(),
        "action": list(intervals[uid]) if uid in intervals else None,
        "models": {},
    }
    for model, values in known.items():
        place = values.uids.index(uid) if uid in values.uids else -1
        # Feature files of two models may hold other frames of a video.
        if place < 0 or not np.array_equal(values.frames[place], first.frames[i]):
            continue
        found["models"][model] = {
            "predicted": int(values.predicted_class[place]),
            **_tables(values, stores[model], place),
            "methods": {
                name: {which: rounded(of_class[place]) for which, of_class in of_method.items()}
                for name, of_method in methods[model].items()
            },
            "lengths": {},
        }
    return found


def _tables(values: FrameValues, store: CoalitionStore, place: int) -> dict[str, Any]:
    """One video's table of coalitions, and what follows from it."""
    table = store.read(place).astype(np.float64)
    true, predicted = int(values.true_class[place]), int(values.predicted_class[place])
    if store.output_classes is not None:
        kept = [true] if true == predicted else [true, predicted]
        table = table[:, : len(kept)]
    elif table.size > MOST_NUMBERS:
        kept = sorted({true, predicted})
        table = table[:, kept]
    else:
        kept = list(range(table.shape[1]))
    return {
        "classes": kept,
        "esv": rounded(shapley_values(table), 7),
        "table": quantised(table) if table.size <= MOST_NUMBERS else None,
        "pairs": rounded(_pairs(table[:, kept.index(true)]), 4),
    }


def _pairs(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interactions (SII) of a video's frames: table (coalition,) → (frame, frame)."""
    n = len(table).bit_length() - 1
    return as_matrices(interactions(table[None, :, None], "SII", min(2, n))[..., 0], n)[0]


def _shorter(
    lengths: tuple[CoalitionStore, dict[str, dict[int, int]]],
    uid: str,
    most: int,
    numbers: NDArray[np.int64],
) -> dict[str, Any]:
    """Tables and values of the true class with fewer than ``most`` frames, by their number.

    ``numbers`` (frame,) are those of all frames of the video's features.
    """
    store, places = lengths
    found = {}
    for n, place in places.get(uid, {}).items():
        if n < most:
            table = store.read(place)[: 2**n].astype(np.float64)
            rows = sampling.spread(np.array([len(numbers)]), n)[0]
            found[str(n)] = {
                "frames": numbers[rows].tolist(),
                "esv": rounded(shapley_values(table)[:, 0], 7),
                "table": quantised(table[:, 0]),
            }
    return found


def _numbers_of(features: FeatureSet, uid: str) -> NDArray[np.int64]:
    """Numbers of all frames of a video's features, in the video or in the features."""
    video = features.uids.index(uid)
    rows = slice(int(features.starts[video]), int(features.starts[video + 1]))
    if features.frame_indices is None:
        return np.arange(rows.stop - rows.start)
    return features.frame_indices[rows].astype(np.int64)


def add_pictures(shown: Sequence[dict[str, Any]], root: Path, side: int) -> None:
    """Add thumbnails of all frames that the views of these videos show, by their numbers."""
    files = video_files(root)
    for video in shown:
        shorter = [of["lengths"].values() for of in video["models"].values()]
        wanted = {*video["frames"], *(n for each in shorter for of in each for n in of["frames"])}
        try:
            found = decode_frames(video_of(video["id"], root, files), sorted(wanted), most=side)
        except VideoError:
            continue  # shown without pictures
        video["pictures"] = {str(n): thumbnail(pixels, side) for n, pixels in found.items()}
