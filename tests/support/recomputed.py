"""Recomputes results of the study of frames slowly from stores, features and models."""

import csv
import json
from itertools import combinations
from math import comb, sqrt

import h5py
import numpy as np
import oracle
import pytest
import torch
from small_networks import make_game
from study import DRAWN, MODELS

from pipeline.models import gradients as attributions
from pipeline.store import open_store
from pipeline.studies.frames import coalition_scores, gradients, sampling
from pipeline.studies.frames import discard as discarding
from pipeline.studies.frames.feature_files import read_features
from pipeline.studies.frames.priors import empty_score, read_priors
from pipeline.studies.frames.trained import load_model
from pipeline.studies.frames.values import read_values
from pipeline.studies.frames.whole_model import WholeModel


def loaded(study, name):
    """A stage's JSON; NaN is refused."""

    def refuse(text):
        raise AssertionError(f"{name}: holds {text}")

    return json.loads((study.folder / name).read_text(), parse_constant=refuse)


def rows_of(study, name):
    return list(csv.DictReader((study.folder / name).open()))


def number(text):
    return None if text in ("", None) else float(text)


def close(expected, rel=1e-5):
    """The number up to the rounding to seven digits; None for NaN, which files leave out."""
    return (
        None
        if expected is None or np.isnan(expected)
        else pytest.approx(expected, rel=rel, abs=2e-7)
    )


def mean_error(values):
    values = np.asarray(values, dtype=float)
    error = values.std(ddof=1) / sqrt(len(values)) if len(values) > 1 else np.nan
    return values.mean(), error


def tables(study, model):
    """The tables of the true class by video, as v of a tuple of players."""
    store, known = open_store(study.store(model)), read_values(study.values(model))
    for video in range(len(store)):
        table = store.read(video).astype(float)
        true = known.true_class[video] if store.output_classes is None else 0
        yield video, table, lambda players, t=table, c=true: t[oracle.mask_of(players), c]


def network_of(study, model):
    """The model, its features and v(∅)."""
    counts, score = read_priors(study.priors)[1], study.params.coalitions.score
    network = load_model(model, study.weights(model))
    return network, read_features(study.features(model, "validation")), empty_score(counts, score)


def check_figures(study, stage):
    for name in DRAWN[stage]:
        picture = study.figure(name)
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert b"</svg>" in picture.with_suffix(".svg").read_bytes()


def check_gradients(study):
    """Check the videos and classes of gradients, and that Integrated Gradients are complete."""
    n, score = study.params.coalitions.n, study.params.coalitions.score
    for model in MODELS:
        network, features, _ = network_of(study, model)
        known = read_values(study.values(model))
        videos = [features.uids.index(uid) for uid in known.uids]
        inputs = features.gather(np.array(videos), sampling.spread(features.lengths[videos], n))
        train = read_features(study.features(model, "train")).rows
        zero = study.params.gradients.baseline == "zero"
        baseline = np.zeros(train.shape[1]) if zero else train.astype(float).mean(axis=0)
        found = gradients.read_gradients(study.gradients(model))
        assert found.uids == known.uids
        with h5py.File(study.gradients(model)) as file:
            assert [name.decode() for name in file["outputs"]] == ["true class", "predicted class"]
            assert [d.label for d in file["gradcam"].dims] == ["video", "frame", "output"]
            assert (file.attrs["baseline"], file.attrs["steps"]) == (
                study.params.gradients.baseline,
                study.params.gradients.steps,
            )
            classes, gap = file["classes"][:], file["gap"][:]
        np.testing.assert_array_equal(classes[:, 0], known.true_class)
        np.testing.assert_array_equal(classes[:, 1], known.predicted_class)
        assert found.gradcam.shape == found.integrated_gradients.shape == (len(videos), n, 2)
        everyone = tuple(range(n))
        for video in range(len(videos)):
            whole, nothing = (
                make_game(model)(network, rows, np.zeros(6), score)(everyone)
                for rows in (inputs[video], np.tile(baseline, (n, 1)))
            )
            gained = (whole - nothing)[classes[video]]
            total = found.integrated_gradients[video].sum(axis=0)
            np.testing.assert_allclose(total - gap[video], gained, atol=5e-6)
        whole = WholeModel(network, score)
        for which in range(2):
            some = torch.from_numpy(inputs[:2]), torch.from_numpy(classes[:2, which])
            direct = attributions.integrated_gradients(
                whole, *some, baseline=torch.from_numpy(baseline).float(), steps=4
            ).values
            np.testing.assert_allclose(
                found.integrated_gradients[:2, :, which], direct, rtol=1e-5, atol=1e-6
            )
            direct = attributions.gradcam(whole, *some)
            np.testing.assert_allclose(found.gradcam[:2, :, which], direct, rtol=1e-5, atol=1e-6)


def expected_orders(study, model):
    """(video, draw) orders by name, as lists of frames, sorted by the frames' attributions."""
    known = read_values(study.values(model))
    other = gradients.read_gradients(study.gradients(model))
    n = known.esv_true.shape[1]
    orders = {}
    for name, of_frames in (
        ("esv", known.esv_true),
        ("gc", other.gradcam[:, :, 0]),
        ("ig", other.integrated_gradients[:, :, 0]),
    ):
        for direction, sign in (("ascending", 1), ("descending", -1)):
            orders[f"{name}_{direction}"] = [
                [sorted(range(n), key=lambda i, phi=phi, sign=sign: sign * phi[i])]
                for phi in of_frames
            ]
    drawn = study.params.discard
    orders["random"] = discarding.random_orders(len(known.uids), n, drawn.random_orders, drawn.seed)
    for name in discarding.PLAIN_ORDERS:
        orders[name] = [[discarding.plain_order(name, n)]] * len(known.uids)
    return orders


def check_discard(study):
    """Check curves and areas, looking up each coalition separately."""
    curves = {
        (r["model"], r["order"], int(r["discarded"])): r for r in rows_of(study, "discard.csv")
    }
    areas = {(r["model"], r["order"]): r for r in rows_of(study, "discard_areas.csv")}
    as_json = loaded(study, "discard.json")
    n = study.params.coalitions.n
    for model in MODELS:
        orders = expected_orders(study, model)
        assert set(as_json[model]) == set(orders)
        known = read_values(study.values(model))
        holds_all = study.params.coalitions.outputs == "all"
        for order, of_videos in orders.items():
            score, right = [], []
            for video, table, v in tables(study, model):
                left = [[tuple(o[k:]) for k in range(n)] for o in map(list, of_videos[video])]
                score.append(np.mean([[v(kept) for kept in draw] for draw in left], axis=0))
                hits = [
                    [
                        table[oracle.mask_of(kept)].argmax() == known.true_class[video]
                        for kept in draw
                    ]
                    for draw in left
                ]
                right.append(np.mean(hits, axis=0))
            for name, curve in (("class_score", score), ("accuracy", right)):
                exists = name == "class_score" or holds_all
                for k in range(n):
                    row = curves[model, order, k]
                    mean, error = mean_error([of_video[k] for of_video in curve])
                    assert number(row[name]) == (close(mean) if exists else None)
                    assert number(row[f"{name}_error"]) == (close(error) if exists else None)
                under = [np.trapezoid(c) / (n - 1) if n > 1 else c[0] for c in curve]
                mean, error = mean_error(under)
                for found in (areas[model, order], as_json[model][order]):
                    value, spread = found[name], found[f"{name}_error"]
                    value, spread = (number(x) for x in (value, spread))
                    assert value == (close(mean) if exists else None)
                    assert spread == (close(error) if exists else None)
            assert as_json[model][order]["score_of_all"] == close(np.mean(score, axis=0)[0])
            assert as_json[model][order]["score_at_best"] == close(np.mean(score, axis=0).max())
    assert len(curves) == 2 * len(orders) * n
    assert len(areas) == 2 * len(orders)


def check_contributions(study):
    n, found = study.params.coalitions.n, loaded(study, "patterns.json")["contributions"]
    written = rows_of(study, "patterns/contributions.csv")
    for model in MODELS:
        by_size = [[] for _ in range(n)]
        of_videos = [[] for _ in range(n)]
        for _, _, v in tables(study, model):
            for size in range(n):
                gained = [
                    v((*coalition, i)) - v(coalition)
                    for coalition in combinations(range(n), size)
                    for i in set(range(n)) - set(coalition)
                ]
                assert len(gained) == (n - size) * comb(n, size)
                by_size[size] += gained
                of_videos[size].append(np.mean(gained))
        rows = [row for row in written if row["model"] == model]
        assert [row["size"] for row in found[model]] == list(range(n))
        for size, (row, text) in enumerate(zip(found[model], rows, strict=True)):
            assert row["contributions"] == len(by_size[size])
            for name, expected in (
                ("mean", np.mean(by_size[size])),
                ("median", np.median(by_size[size])),
                ("lower_quartile", np.quantile(by_size[size], 0.25)),
                ("upper_quartile", np.quantile(by_size[size], 0.75)),
                ("mean_of_frames", np.mean(of_videos[size])),
                ("mean_of_frames_error", mean_error(of_videos[size])[1]),
            ):
                assert row[name] == close(expected)
                assert number(text[name]) == close(expected)


def check_positions(study):
    """Check maps over the videos that both models have."""
    found = loaded(study, "patterns.json")["positions"]
    known = {model: read_values(study.values(model)) for model in MODELS}
    names, _ = read_priors(study.priors)
    n, maps, shared = (
        study.params.coalitions.n,
        {},
        set.intersection(*(set(v.uids) for v in known.values())),
    )
    for model, values in known.items():
        maps[model] = np.full((len(names), n, n), np.nan)
        for c in range(len(names)):
            of_videos = zip(values.uids, values.esv_true, values.true_class, strict=True)
            of_class = [phi for uid, phi, true in of_videos if true == c and uid in shared]
            for i in range(n):
                for j in range(n):
                    if of_class and i != j:
                        maps[model][c, i, j] = 100 * np.mean([phi[i] > phi[j] for phi in of_class])
        written = np.array(found["maps"][model], dtype=float)
        np.testing.assert_allclose(written, maps[model])
    apart = {
        name: np.nan if np.isnan(d).all() else np.nanmean(d)
        for name, d in zip(names, np.abs(maps["trn"] - maps["tsn"]), strict=True)
    }
    rows = found["classes"]
    assert {row["class"]: row["difference"] for row in rows} == {
        k: close(v) for k, v in apart.items()
    }
    known = [row for row in rows if row["difference"] is not None]
    ranked = [row["difference"] - row["by_chance"] for row in known]
    assert ranked == sorted(ranked)
    assert [r["difference"] is None for r in rows] == sorted(r["difference"] is None for r in rows)
    text = rows_of(study, "patterns/positions.csv")
    assert [row["class"] for row in text] == [row["class"] for row in rows]
    assert [number(row["p_value"]) for row in text] == [
        None if row["p_value"] is None else close(row["p_value"]) for row in rows
    ]
    return found


def check_confusions(study):
    found = loaded(study, "patterns.json")["confusions"]
    names, _ = read_priors(study.priors)
    written, pairs = rows_of(study, "patterns/confusions.csv"), 0
    for model in MODELS:
        known = read_values(study.values(model))
        of_pair, delta = {}, []
        for video, (true, predicted) in enumerate(
            zip(known.true_class, known.predicted_class, strict=True)
        ):
            if true != predicted:
                delta.append(known.esv_true[video].astype(float) - known.esv_predicted[video])
                of_pair.setdefault((names[true], names[predicted]), []).append(delta[-1])
        summary = found[model]
        assert summary["videos"] == len(delta)
        if delta:
            assert summary["mean_absolute"] == close(np.mean(np.abs(delta)))
            assert summary["for_true"] == close(100 * np.mean(np.array(delta) > 0))
            np.testing.assert_allclose(summary["by_position"], np.mean(delta, axis=0), rtol=1e-6)
            assert summary["some_for_true"] == close(100 * np.mean([d.max() > 0 for d in delta]))
        else:
            assert summary["mean_absolute"] is summary["for_true"] is None
        rows = [row for row in written if row["model"] == model]
        assert {(row["true_class"], row["predicted_class"]) for row in rows} == set(of_pair)
        for row in rows:
            of_videos = of_pair[row["true_class"], row["predicted_class"]]
            assert int(row["videos"]) == len(of_videos)
            assert number(row["mean_total"]) == close(np.mean([d.sum() for d in of_videos]))
            assert number(row["for_true"]) == close(100 * np.mean(np.array(of_videos) > 0))
        pairs += len(rows)
    assert len(written) == pairs
    return found


def check_patterns(study):
    check_contributions(study)
    check_positions(study)
    check_confusions(study)


def spread_frames(length, n):
    return [min(int((i + 0.5) * length / n), length - 1) for i in range(n)]


def check_lengths(study):
    """Check against exact values and models computed by their definitions."""
    found, written = loaded(study, "lengths.json"), rows_of(study, "lengths.csv")
    asked = study.params.lengths
    assert found["frames"] == list(range(1, asked.max_frames + 1))
    for model in MODELS:
        network, features, empty = network_of(study, model)
        count = min(asked.clips or 99, len(features))
        videos = np.linspace(0, len(features) - 1, count).round().astype(int)
        assert found[model]["videos"] == count
        for n in found["frames"]:
            shares = []
            for video in videos:
                frames = spread_frames(features.lengths[video], n)
                rows = features.rows[features.starts[video] + np.array(frames)]
                v = make_game(model)(network, rows, empty, study.params.coalitions.score)
                known = {m: v(m) for size in range(n + 1) for m in oracle.subsets(n, size)}
                phi = oracle.shapley_values(known.__getitem__, n)[:, features.labels[video]]
                shares.append(100 * np.mean(phi > 0))
            mean, error = mean_error(shares)
            assert found[model]["supporting_percent"][n - 1] == close(mean)
            assert found[model]["standard_error"][n - 1] == close(error)
            row = next(r for r in written if (r["model"], r["frames"]) == (model, str(n)))
            assert number(row["supporting_percent"]) == close(mean)
            assert number(row["standard_error"]) == close(error)
            assert int(row["videos"]) == count
    assert len(written) == 2 * asked.max_frames


def check_shift(study):
    """Check changes by replacing one frame and enumerating coalitions, sequence by sequence."""
    found, written = loaded(study, "shift.json"), rows_of(study, "shift.csv")
    asked, game = study.params.shift, study.params.coalitions
    for model in MODELS:
        network, features, empty = network_of(study, model)

        def values(rows, true, network=network, empty=empty):
            sequence = torch.from_numpy(rows)[None]
            table = coalition_scores.table(network, sequence, empty, game.score)[0].double().numpy()
            return oracle.shapley_values(lambda c: table[oracle.mask_of(c), true], game.n)

        long_enough = [i for i, length in enumerate(features.lengths) if length >= game.n]
        count = min(asked.clips or 99, len(long_enough))
        places = np.linspace(0, len(long_enough) - 1, count).round().astype(int) if count else []
        changes, differences = {}, []
        for video in (long_enough[p] for p in places):
            length, true = features.lengths[video], features.labels[video]
            start, frames = features.starts[video], spread_frames(features.lengths[video], game.n)
            phi = values(features.rows[[start + f for f in frames]], true)
            differences.append(
                [abs(a - b) for i, a in enumerate(phi) for j, b in enumerate(phi) if i != j]
            )
            for i, frame in enumerate(frames):
                for k in range(-asked.furthest, asked.furthest + 1):
                    others = frames[:i] + frames[i + 1 :]
                    before = sum(f < frame for f in others)
                    after = sum(f < frame + k for f in others)
                    moves = (asked.crossing or before == after) and frame + k not in others
                    if k == 0 or not 0 <= frame + k < length or not moves:
                        continue
                    sequence = [*others[:after], frame + k, *others[after:]]
                    changed = values(features.rows[[start + f for f in sequence]], true)
                    changes.setdefault(abs(k), []).append(abs(changed[after] - phi[i]))
        rows = [row for row in written if row["model"] == model]
        assert [int(row["shift"]) for row in rows] == sorted(changes)
        assert [row["shift"] for row in found[model]["by_shift"]] == sorted(changes)
        spread = np.mean(differences) if np.size(differences) else np.nan
        assert found[model]["spread"] == close(spread)
        for row, of_json in zip(rows, found[model]["by_shift"], strict=True):
            of_shift = changes[int(row["shift"])]
            assert int(row["changes"]) == of_json["changes"] == len(of_shift)
            for name, expected in (
                ("mean", np.mean(of_shift)),
                ("median", np.median(of_shift)),
                ("upper_quartile", np.quantile(of_shift, 0.75)),
                ("relative", np.mean(of_shift) / spread),
            ):
                # A difference of float32 values has fewer digits than the values.
                assert of_json[name] == close(expected, rel=2e-4)
                assert number(row[name]) == close(of_json[name])
