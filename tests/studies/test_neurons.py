"""Compares the study of neurons with all coalitions of a network of few filters."""

import json

import numpy as np
import pytest
import torch
from scipy.special import comb

from pipeline.core.errors import InputError
from pipeline.models import checkpoints
from pipeline.models.devices import resolve
from pipeline.store import open_store, plan
from pipeline.store.evaluation import play
from pipeline.studies.neurons import networks, removal, search
from pipeline.studies.neurons.attacks import attacked, read_attack, write_attacks
from pipeline.studies.neurons.claims import FEW, all_claims, headline
from pipeline.studies.neurons.competitors import (
    conductance,
    leave_one_out,
    response_norms,
    weight_norms,
)
from pipeline.studies.neurons.filters import read_filters
from pipeline.studies.neurons.game import open_game
from pipeline.studies.neurons.images import read_images, read_parts, tinted
from pipeline.studies.neurons.metrics import Metric, mean_over, metrics_of, named, recall_of
from pipeline.studies.neurons.params import (
    AttackParams,
    CoalitionsParams,
    ImagesParams,
    PairsParams,
    PicturesParams,
    PlayersParams,
    RemovalParams,
    SearchParams,
    SharedParams,
    TintParams,
    TrainingParams,
    WalksParams,
)
from pipeline.studies.neurons.pictures import largest, portraits
from pipeline.studies.neurons.report import costs_table
from pipeline.studies.neurons.values import (
    images_of,
    read_pairs,
    read_values,
    values_of,
    write_values,
)

IMAGES = ImagesParams(
    source="digits", root=None, download=False, size=None, train=300, ranked=40, held_out=30
)
TRAINING = TrainingParams(channels=[4, 4], epochs=12, batch=16, learning_rate=0.02, seed=0)
COALITIONS = CoalitionsParams(absent="mean", block=16, seed=0)
PAIRS = PairsParams(count=16, rounds=12)
WALKS = WalksParams(orders=6)
SHARED = SharedParams(iterations=30, images=8)
TINT = TintParams(share=0.1, strength=0.8, seed=0)


@pytest.fixture(scope="module")
def parts():
    return read_parts(IMAGES)


@pytest.fixture(scope="module")
def checkpoint(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("networks") / "plain.pt"
    network = networks.trained(parts["train"], TRAINING, TRAINING.channels, 0.0)
    checkpoints.save(path, network, network.description())
    return path


@pytest.fixture(scope="module")
def filters(checkpoint, parts):
    return read_filters(checkpoint, parts["train"], COALITIONS, None, resolve("cpu"))


@pytest.fixture(scope="module")
def complete(filters, parts):
    """The network's outputs for all 2⁸ coalitions: (image, coalition, output)."""
    masks = np.arange(2**8)[:, None] >> np.arange(8) & 1 == 1
    ranked = parts["ranked"]
    places = np.repeat(np.arange(len(ranked)), 2**8)
    said = filters.say(ranked, None, places, np.tile(masks, (len(ranked), 1)))
    return masks, said.reshape(len(ranked), 2**8, -1)


def stored(checkpoint, drawn, name, tmp_path, **others):
    opened = open_game(
        name,
        device="cpu",
        checkpoint=checkpoint,
        images=IMAGES,
        coalitions=COALITIONS,
        drawn=drawn,
        **others,
    )
    digests = [opened.digest(i, None) for i in range(len(opened.instances))]
    store = plan(tmp_path / f"{name}.zarr", opened.record, opened.instances, digests,
                 coordinates=opened.coordinates)  # fmt: skip
    receipt = play(
        store, lambda i: opened.tables(i, None), batch_size=3, evaluations=opened.evaluations
    )
    return open_store(store.path), receipt


def exact(masks, values):
    """Shapley values by definition: (coalition,) → (player,)."""
    n, number = masks.shape[1], masks @ (1 << np.arange(masks.shape[1]))
    phi = np.zeros(n)
    for player in range(n):
        for row, mask in enumerate(masks):
            if not mask[player]:
                size = mask.sum()
                gain = values[number[row] | 1 << player] - values[number[row]]
                phi[player] += gain / (n * comb(n - 1, size))
    return phi


def test_values_of_every_metric_are_those_of_all_coalitions(
    checkpoint, complete, parts, filters, tmp_path
):
    store, receipt = stored(checkpoint, PAIRS, "plain_pairs", tmp_path)
    assert receipt.evaluations_made == 40 * 12 * 34
    ranked, targets = images_of(store)
    assert targets is None
    np.testing.assert_array_equal(ranked.labels, parts["ranked"].labels)
    assert ranked.classes == parts["ranked"].classes
    coalitions, said = read_pairs(store, len(ranked), COALITIONS, PAIRS)
    masks, of_all = complete
    # Stored values are the network's outputs.
    number = coalitions @ (1 << np.arange(8))
    expected = of_all[np.arange(40)[:, None, None], number]
    np.testing.assert_allclose(said, expected, atol=1e-5)
    metrics = metrics_of("plain", ranked)
    found = values_of(coalitions, said, filters.players, metrics, None)
    assert found.metrics[:3] == ("accuracy", "probability", "recall of 0")
    assert len(found.metrics) == 22
    for metric in metrics:
        phi, error = found.of(metric.name)
        truth = exact(masks, metric.total(of_all.astype(float), None))
        assert (np.abs(phi - truth) <= 5 * error + 1e-6).all(), metric.name
        place = found.metrics.index(metric.name)
        total = found.everybody[place] - found.nobody[place]
        np.testing.assert_allclose(phi.sum(), total, atol=1e-6)
    path = tmp_path / "values.h5"
    write_values(path, found)
    again = read_values(path)
    np.testing.assert_array_equal(again.values, found.values)
    assert (again.players, again.metrics) == (found.players, found.metrics)
    with pytest.raises(InputError, match="no values for speed"):
        again.of("speed")


def test_more_rounds_and_more_images_keep_stored_values(checkpoint, tmp_path):
    store, first = stored(checkpoint, PAIRS, "plain_pairs", tmp_path)
    before = {store.instances[i]: store.read(i) for i in range(len(store))}
    more = PairsParams(count=16, rounds=14)
    store, second = stored(checkpoint, more, "plain_pairs", tmp_path)
    assert (first.evaluations_made, second.evaluations_made) == (40 * 12 * 34, 40 * 2 * 34)
    assert second.evaluations_reused == first.evaluations_made
    for name, values in before.items():
        np.testing.assert_array_equal(store.read(name), values)


def test_walks_and_shared_orders_agree_with_all_coalitions(checkpoint, complete, parts, tmp_path):
    _, of_all = complete
    ranked = parts["ranked"]
    store, _ = stored(checkpoint, WALKS, "plain_walks", tmp_path)
    orders, right = search.walks_of(store, len(ranked), COALITIONS, WALKS)
    left = np.argsort(orders, axis=-1)[..., None, :] >= np.arange(9)[:, None]
    expected = of_all[np.arange(40)[:, None, None], left @ (1 << np.arange(8)), 0]
    np.testing.assert_array_equal(right, expected)
    store, _ = stored(checkpoint, SHARED, "plain_shared", tmp_path)
    orders, accuracy = search.iterations(store, len(ranked), COALITIONS, SHARED)
    assert accuracy.shape == (30, 9)
    assert len({tuple(order) for order in orders}) > 20
    nobody = of_all[:, 0, 0]
    assert set(accuracy[:, -1]) <= {k / 8 for k in range(int(nobody.sum()) + 1)}

    curve, rows = search.truncated((orders, accuracy), [0.0, 2.0])
    assert [row["mean"] for row in curve] == pytest.approx(accuracy.mean(axis=0))
    assert rows[0]["evaluations"] == 1
    assert rows[0]["dropped"] == 0
    assert rows[1]["evaluations"] == pytest.approx(1 / 9)
    assert rows[1]["dropped"] == pytest.approx((accuracy[:, 0] - accuracy[:, -1]).mean())

    errors = np.full(8, 0.01)
    costs = search.costs((orders, accuracy), search.walks_of(
        stored(checkpoint, WALKS, "plain_walks", tmp_path)[0], 40, COALITIONS, WALKS
    ), (errors, 1000), 8)  # fmt: skip
    assert costs[0]["gain"] == 1
    assert costs[0]["evaluations"] == 30 * 9 * 8
    first = costs[0]["standard_error"] ** 2 * costs[0]["evaluations"]
    assert costs[2]["gain"] == pytest.approx(first / (0.01**2 * 1000))


def test_searches_find_the_filters_of_largest_values(
    filters, complete, parts, checkpoint, tmp_path
):
    masks, of_all = complete
    truth = exact(masks, of_all[..., 0].mean(axis=0))
    store, _ = stored(checkpoint, SHARED, "plain_shared", tmp_path)
    shared = search.iterations(store, 40, COALITIONS, SHARED)
    params = SearchParams(k=2, epsilon=0.1, delta=0.1, truncation=0.0, most=400_000, seed=0)
    found = search.searches(filters, parts["ranked"], shared, truth, 8, params)
    assert [row["method"] for row in found][-1] == "comparable contributions, normal"
    assert found[0]["evaluations"] == 30 * 9 * 8
    for row in found[3:]:
        assert row["decided"]
        assert row["recall"] == 1
    agreed = search.agreement(found[1], found[0])
    assert agreed["share_of_samples"] <= 1


def test_metrics_add_up_and_name_what_they_are_of(complete, parts):
    ranked, (_, of_all) = parts["ranked"], complete
    metrics = metrics_of("plain", ranked)
    recalls = [metric for metric in metrics if metric.name.startswith("recall")]
    counts = np.bincount(ranked.labels) / len(ranked)
    total = sum(c * m.total(of_all, None) for c, m in zip(counts, recalls, strict=True))
    np.testing.assert_allclose(total, named(metrics, "accuracy").total(of_all, None))
    with pytest.raises(InputError, match="there is no metric 'speed' here"):
        named(metrics, "speed")
    with pytest.raises(InputError, match="none of the 40 images is of that kind"):
        mean_over("recall of 11", "right", ranked.labels == 11)
    with pytest.raises(InputError, match="these images are not attacked"):
        Metric("success", "success", np.full(40, 1 / 40)).total(of_all, None)
    success = Metric("success", "success", np.full(40, 1 / 40))
    targets = of_all[:, 7, 2].astype(int)
    assert success.total(of_all, targets)[7] == pytest.approx(1)


def test_competitors(filters, parts, complete):
    ranked = parts["ranked"]
    network = filters.masked.network
    weights = np.full(len(ranked), 1 / len(ranked))
    norms = weight_norms(filters)
    assert norms[5] == pytest.approx(network.body[2].weight[1].norm().item())
    with torch.no_grad():
        first = network.body[0](torch.from_numpy(ranked.pixels))
    expected = first.flatten(2).norm(dim=2).mean(dim=0).numpy()
    np.testing.assert_allclose(response_norms(filters, ranked, weights)[:4], expected, rtol=1e-5)
    _, of_all = complete
    accuracy = of_all[..., 0].mean(axis=0)
    loss = [accuracy[255] - accuracy[255 ^ 1 << player] for player in range(8)]
    one_out = leave_one_out(filters, ranked, None, removal.every("accuracy", ranked))
    np.testing.assert_allclose(one_out, loss, atol=1e-6)
    # Conductance of a layer sums to the gain of the score over a black image.
    found = conductance(filters, ranked, ranked.labels, weights, steps=200)
    with torch.no_grad():
        scores = network(torch.from_numpy(ranked.pixels))
        black = network(torch.zeros(1, *ranked.pixels.shape[1:]))
    places = torch.from_numpy(ranked.labels)
    gain = (scores - black).gather(1, places[:, None]).mean().item()
    assert found[:4].sum() == pytest.approx(gain, rel=0.02)
    assert found[4:].sum() == pytest.approx(gain, rel=0.02)


def test_an_unused_filter_has_value_zero_and_copies_have_equal_values(checkpoint, parts, tmp_path):
    network = networks.read_network(checkpoint)
    torch.manual_seed(1)
    with torch.no_grad():
        network.body[2].weight.normal_()
        network.last.weight.normal_()
        network.last.weight[:, 3] = 0
        for tensor in (network.body[2].weight, network.body[2].bias):
            tensor[1] = tensor[0]
        network.last.weight[:, 1] = network.last.weight[:, 0]
    path = tmp_path / "changed.pt"
    checkpoints.save(path, network, network.description())
    filters = read_filters(path, parts["train"], COALITIONS, None, resolve("cpu"))
    ranked = parts["ranked"]
    masks = np.arange(2**8)[:, None] >> np.arange(8) & 1 == 1
    places = np.repeat(np.arange(len(ranked)), 2**8)
    said = filters.say(ranked, None, places, np.tile(masks, (len(ranked), 1)))
    values = said.reshape(len(ranked), 2**8, -1)[..., 1].mean(axis=0, dtype=np.float64)
    found = exact(masks, values)
    assert found[7] == pytest.approx(0, abs=1e-7)
    assert found[4] == pytest.approx(found[5], abs=1e-7)
    assert found.sum() == pytest.approx(values[-1] - values[0], abs=1e-7)
    assert np.abs(found[[0, 4, 6]]).min() > 1e-4


def test_removing_filters_in_an_order(filters, parts, complete):
    ranked, (_, of_all) = parts["ranked"], complete
    order = np.array([3, 6, 1])
    found = removal.curve(filters, ranked, None, order, [removal.every("accuracy", ranked)])
    left = [255, 255 - 8, 255 - 8 - 64, 255 - 8 - 64 - 2]
    np.testing.assert_allclose(found["accuracy"][0], of_all[:, left, 0].mean(axis=0))
    recall = removal.curve(filters, ranked, None, order, [recall_of(ranked, 3)])
    of_class = ranked.labels == 3
    np.testing.assert_allclose(recall["recall of 3"][0], of_all[of_class][:, left, 0].mean(axis=0))


def test_tints_are_those_of_the_class_except_for_some():
    train, ranked = (read_images(IMAGES, part, TINT) for part in ("train", "ranked"))
    assert train.pixels.shape[1] == 3
    assert train.conflicting.mean() == pytest.approx(0.1, abs=0.01)
    assert ranked.conflicting.mean() == 0.5
    brightest = ranked.pixels.reshape(len(ranked), 3, -1).max(axis=2)
    hue = brightest / brightest.max(axis=1, keepdims=True)
    same = np.abs(hue[:, None] - hue[None]).max(axis=2) < 1e-4
    aligned = ~ranked.conflicting
    of_class = ranked.labels[:, None] == ranked.labels[None]
    both = np.ix_(aligned, aligned)
    np.testing.assert_array_equal(same[both], of_class[both])
    across = np.ix_(aligned, ranked.conflicting)
    assert not same[across][of_class[across]].any()
    with pytest.raises(InputError, match="pictures of 3 channels cannot be tinted"):
        tinted(ranked, TINT, 0)


def test_parts_share_no_image():
    parts = read_parts(IMAGES)
    rows = [image.tobytes() for part in parts.values() for image in part.pixels]
    assert len(rows) == 370
    assert len(set(rows)) >= 368  # scikit-learn's digits contain a few duplicates
    assert (np.bincount(parts["ranked"].labels) == 4).all()
    many = IMAGES.model_copy(update={"ranked": 1790})
    with pytest.raises(InputError, match="there are 1797 digits"):
        read_images(many, "ranked")


def test_attacks_stay_near_and_deceive(parts, checkpoint, tmp_path):
    network = networks.read_network(checkpoint)
    params = AttackParams(size=0.3, step=0.05, steps=20, seed=0)
    ranked = parts["ranked"]
    found = attacked(network, ranked, params, 0)
    assert np.abs(found.pixels - ranked.pixels).max() <= 0.3 + 1e-6
    assert found.pixels.min() >= 0
    assert found.pixels.max() <= 1
    assert (found.targets != ranked.labels).all()
    predicted = networks.scores_of(network, found.pixels).argmax(dim=1).numpy()
    before = networks.scores_of(network, ranked.pixels).argmax(dim=1).numpy()
    assert (predicted == found.targets).mean() > (before == found.targets).mean() + 0.1
    path = tmp_path / "attacks.h5"
    write_attacks(path, {"ranked": found})
    np.testing.assert_array_equal(read_attack(path, "ranked").targets, found.targets)
    with pytest.raises(InputError, match="is no file of attacked images"):
        read_attack(path, "held_out")


def test_networks_that_are_given(parts, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_network.py").write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    layers = nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 10)\n"
        "    return nn.Sequential(*layers)\n"
    )
    own = networks.given("own_network:make", None, 10)
    state = tmp_path / "state.pt"
    torch.save(own.state_dict(), state)
    again = networks.given("own_network:make", str(state), 10)
    assert checkpoints.state_digest(again) == checkpoints.state_digest(own)
    path = tmp_path / "given.pt"
    described = {"kind": "given", "architecture": "own_network:make", "n_outputs": 10}
    checkpoints.save(path, own, described)
    filters = read_filters(path, parts["train"], COALITIONS, None, resolve("cpu"))
    assert filters.players == ("0:0", "0:1", "0:2")
    for name in ("torchvision:resnet1", "no_such:thing", "own_network:other"):
        with pytest.raises(InputError, match=f"{name}' cannot be built"):
            networks.given(name, None, 10)
    with pytest.raises(InputError, match=r"IMAGENET1K_V7 of .* cannot be loaded"):
        networks.given("torchvision:resnet18", "IMAGENET1K_V7", 1000)
    assert len(list(networks.given("torchvision:resnet18", None, 7).parameters())) == 62
    torch.save({"weight": torch.zeros(1)}, state)
    with pytest.raises(InputError, match="is no network of this study"):
        networks.read_network(state)


def test_resampled_filters_and_chosen_modules(checkpoint, parts):
    params = CoalitionsParams(absent="resample", block=16, seed=0)
    players = PlayersParams(kind="filters", modules=["body.2"], grouped=False)
    filters = read_filters(checkpoint, parts["train"], params, players, resolve("cpu"))
    assert len(filters.players) == 4
    places = np.array([3, 3, 5])
    said = filters.say(parts["ranked"], None, places, np.zeros((3, 4), dtype=bool))
    np.testing.assert_array_equal(said[0], said[1])
    whole = filters.say(parts["ranked"], None, places, np.ones((3, 4), dtype=bool))
    assert (said[:, 1] != whole[:, 1]).any()


@pytest.mark.parametrize(
    ("kind", "grouped", "n"), [("heads", False, 4), ("hidden", False, 5), ("filters", True, 1)]
)
def test_heads_hidden_units_and_whole_modules_are_players(parts, tmp_path, kind, grouped, n):
    """Values of a user's own network against all coalitions, and their figures."""
    architecture = "own_networks:attending"
    network = networks.given(architecture, None, 10)
    path = tmp_path / "own.pt"
    described = {"kind": "given", "architecture": architecture, "n_outputs": 10}
    checkpoints.save(path, network, described)
    players = PlayersParams(kind=kind, modules=None, grouped=grouped)
    filters = read_filters(path, parts["train"], COALITIONS, players, resolve("cpu"))
    assert len(filters.players) == n
    ranked = parts["ranked"]
    masks = np.arange(2**n)[:, None] >> np.arange(n) & 1 == 1
    places = np.repeat(np.arange(len(ranked)), 2**n)
    said = filters.say(ranked, None, places, np.tile(masks, (len(ranked), 1)))
    table = said.reshape(len(ranked), 2**n, -1)[..., 1].mean(axis=0, dtype=np.float64)
    opened = open_game(
        "plain_pairs", device="cpu", checkpoint=path, images=IMAGES, coalitions=COALITIONS,
        drawn=PAIRS, players=players,
    )  # fmt: skip
    record = opened.record
    assert record.n_players == n
    assert record.player.endswith("all of a module together") == grouped
    digests = [opened.digest(i, None) for i in range(len(opened.instances))]
    store = plan(tmp_path / "own.zarr", record, opened.instances, digests,
                 coordinates=opened.coordinates)  # fmt: skip
    play(store, lambda i: opened.tables(i, None), batch_size=3, evaluations=opened.evaluations)
    drawn, rows = read_pairs(open_store(store.path), len(ranked), COALITIONS, PAIRS)
    found = values_of(drawn, rows, filters.players, metrics_of("plain", ranked), None)
    values, errors = found.of("probability")
    assert np.abs(values - exact(masks, table)).max() <= 4 * errors.max() + 1e-6
    params = RemovalParams(most=2, top=2, classes=1, excluded=0.0, random_orders=2, steps=2, seed=0)
    told = removal.overall(filters, parts, found, params)
    assert {row["method"] for row in told} == {
        *("shapley", "shapley of probabilities", "leave one out", "response", "random"),
    }
    assert sum(layer["filters"] for layer in removal.layers_of_top(filters, values, 1)) >= n
    shown = PicturesParams(
        images=2, layers=2, of_class=1, steps=2, step=0.1, jitter=1, blur=0.4, seed=0
    )
    portrait = portraits(filters, ranked, largest("probability", values, errors, 2, None), shown)
    assert portrait.dreams.shape == (min(n, 2), 2, 1, 8, 8)


def curves(of, methods, metrics, values):
    return [
        {"of": of, "method": m, "removed": k, "metric": x, "value": v, "standard_error": 0.0}
        for m in methods
        for x in metrics
        for k, v in enumerate(values[m, x] if (m, x) in values else values[m])
    ]


def as_the_paper_says():
    good, flat = [1.0, 0.2, 0.0], [1.0, 0.99, 0.98]
    return {
        "search": {
            "searches": [
                {"method": "Monte Carlo", "samples": [100, 100], "decided": True, "evaluations": 9},
                {"method": "Algorithm 1, not truncated", "evaluations": 100},
                {"method": "Algorithm 1", "samples": [10, 10], "decided": True, "evaluations": 10},
            ],
            "agreement": {"r_squared": 0.99, "rank_correlation": 0.98},
        },
        "removal": {
            "classes": ["0", "1"],
            "filters": 8,
            "layers": [{"top": 3, "filters": 4}, {"top": 1, "filters": 4}],
            "class_layers": [{"top": 0.5, "filters": 4}, {"top": 3.5, "filters": 4}],
            "overall": curves(
                "accuracy",
                ["shapley", "conductance", "random"],
                ["accuracy"],
                {"shapley": good, "conductance": [1.0, 0.9, 0.4], "random": flat},
            ),
            "of_classes": curves(
                "0",
                ["shapley", "weights"],
                ["recall", "accuracy"],
                {
                    ("shapley", "recall"): good,
                    ("shapley", "accuracy"): [1.0, 0.6, 0.5],
                    "weights": flat,
                },
            ),
        },
        "repair": {
            "chosen": [
                {
                    "method": "shapley",
                    "removed": 2,
                    "conflicting before": 0.5,
                    "conflicting after": 0.8,
                    "both before": 0.7,
                    "both after": 0.85,
                    "conflicting error": 0.01,
                    "both error": 0.01,
                }
            ]
        },
        "vulnerable": {
            "rank_correlation": 0.3,
            "curves": curves(
                "attacked",
                ["shapley"],
                ["success, made with plain", "success, made with foreign", "clean"],
                {
                    ("shapley", "success, made with plain"): good,
                    ("shapley", "success, made with foreign"): good,
                    ("shapley", "clean"): flat,
                },
            ),
        },
        "spread": {
            "networks": [
                {"sd": 0.4, "values": [0] * 10},
                {"sd": 0.1, "values": [0] * 10, "kept_half_without": 5},
            ],
            "curves": [
                *curves("plain", ["largest"], ["accuracy"], {"largest": good}),
                *curves("dropout", ["largest"], ["accuracy"], {"largest": flat}),
            ],
        },
    }


def test_claims_are_decided_by_the_numbers():
    """Numbers as in the paper, and their reverse."""
    results = as_the_paper_says()
    results["faces"] = {"left_out": "no network"}
    assert len(all_claims(results)) == 16
    results["faces"] = {"left_out": None, **results["removal"]}
    own = [r["value"] for r in results["removal"]["overall"] if r["method"] == "shapley"]
    assert headline(results) == {"filters": own[min(FEW, len(own) - 1)]}
    shown = all_claims(results)
    assert [one.shows for one in shown] == ["yes"] * 17, [(o.claim, o.shows) for o in shown]
    reverse = json.loads(json.dumps(results))
    reverse["search"]["agreement"] = {"r_squared": 0.5, "rank_correlation": 0.5}
    reverse["search"]["searches"][0]["samples"] = [5, 5]
    reverse["search"]["searches"][1]["evaluations"] = 5
    reverse["removal"]["layers"].reverse()
    reverse["removal"]["class_layers"].reverse()
    reverse["repair"]["chosen"][0] |= {"conflicting after": 0.4, "both after": 0.6}
    reverse["vulnerable"]["rank_correlation"] = -0.9
    reverse["spread"]["networks"][1] |= {"sd": 0.5, "kept_half_without": 2}
    for rows in (
        reverse["removal"]["overall"],
        reverse["faces"]["overall"],
        reverse["removal"]["of_classes"],
        reverse["vulnerable"]["curves"],
        reverse["spread"]["curves"],
    ):
        values = [row["value"] for row in rows if row["removed"]]
        for row in rows:
            if row["removed"]:
                row["value"] = 1.15 - row["value"]
        assert values
    denied = all_claims(reverse)
    assert not [one for one in denied if one.shows == "yes"]


def test_small_numbers_are_not_written_as_none():
    results = as_the_paper_says()
    for row in results["vulnerable"]["curves"] + results["removal"]["overall"]:
        row["value"] *= 1e-4
    for network in results["spread"]["networks"]:
        network["sd"] *= 1e-4
    said = {one.claim: one.measured for one in all_claims(results)}
    falls = next(text for claim, text in said.items() if claim.startswith("without a few filters"))
    assert "from 0.000100 to 0.000020, and accuracy from 0.000100 to 0.000099" in falls
    assert said["with filter dropout values are more concentrated around zero"] == (
        "their standard deviation is (4.00 ± 0.94)e-05 without and (1.00 ± 0.24)e-05 with"
    )
    rows = [
        {"method": m, "evaluations": 1, "standard_error": e, "gain": g}
        for m, e, g in (("a", 2.1e-5, None), ("b", 2.14e-5, 0.001), ("c", 1e-5, 0.05))
    ]
    found = [line.split(" | ")[2:] for line in costs_table({"costs": rows}).splitlines()[2:]]
    assert found == [["2.10e-05", "– |"], ["2.14e-05", "0.0010 |"], ["1.00e-05", "0.0500 |"]]
