"""Compares stages that explain pictures, on tiny parameters, with slow and obvious code."""

import csv
import json
from dataclasses import replace
from itertools import pairwise, product

import h5py
import numpy as np
import oracle
import pytest
import stages
import torch
from matplotlib import pyplot as plt
from PIL import Image
from scipy import stats
from tiny import merged, tiny_params

from pipeline.core.errors import InputError
from pipeline.data import pictures as datasets
from pipeline.models import checkpoints
from pipeline.models import pictures as networks
from pipeline.shapley.methods import METHODS
from pipeline.store import open_store
from pipeline.store.evaluation import read_receipt
from pipeline.store.stored_game import StoredGame
from pipeline.studies.baselines import (
    agreement,
    attribution_files,
    attributions,
    chosen,
    estimates,
    explained,
    picture_networks,
    resnets,
    runtime,
    sizes,
    timing,
)
from pipeline.studies.baselines.areas import square_areas
from pipeline.studies.baselines.figures import pictures as drawing_pictures
from pipeline.studies.baselines.integrated import (
    counted_both_ways,
    integrated_gradients,
    shapley_integrated_gradients,
)
from pipeline.studies.baselines.params import Params

MODELS = ("classifier", "distance")
WEIGHTS = {"classifier": "classifier.pt", "distance": "embedding.pt"}


def params(**sections):
    content = tiny_params().baselines.model_dump()
    return Params.model_validate(merged(content, sections))


def make_network(root, name, of):
    stages.run(
        f"baselines_{name}",
        root,
        pictures=of.pictures,
        params=getattr(of, name),
        out=root / f"{name}.pt",
        numbers=root / f"{name}.json",
        device="cpu",
    )


def make_networks(root, of=None):
    for name in ("classifier", "embedding"):
        make_network(root, name, of or params())


def given(root, model, of):
    weights = [root / WEIGHTS[model]]
    return {"weights": weights, "coalitions": of.coalitions, "pictures": of.pictures}


def make_game(root, model, of=None):
    stages.plan(root, "baselines", model, **given(root, model, of or params()))


def make_coalitions(root, model, of=None, out=None, **partition):
    opened = given(root, model, of or params())
    return stages.evaluate(root, "baselines", model, out, **partition, **opened)


def store_of(root, model):
    return open_store(stages.stored(root, "baselines", model))


def make_attributions(root, model, of=None, out=None):
    of = of or params()
    path = out or root / f"attributions_{model}.h5"
    stages.run(
        "baselines_attributions",
        root,
        pictured=model,
        weights=root / WEIGHTS[model],
        receipt=root / f"receipt_{model}.json",
        pictures=of.pictures,
        coalitions=of.coalitions,
        params=of.attributions,
        out=path,
        device="cpu",
    )
    return attribution_files.read_attributions(path)


def make_agreement(root, models=MODELS, out=None, **changes):
    out = out or root
    files = {
        "attributions": [root / f"attributions_{model}.h5" for model in models],
        "receipts": [root / f"receipt_{model}.json" for model in models],
        "out": out / "agreement.json",
        "table": out / "agreement.csv",
        "pictures": out / "agreement_pictures.csv",
    }
    stages.run("baselines_agreement", root, params=params().agreement, **files | changes)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    make_networks(root)
    for model in MODELS:
        make_game(root, model)
        make_coalitions(root, model)
        make_attributions(root, model)
    make_agreement(root)
    return root


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


# Which pictures


def test_chosen_pictures_take_turns_among_classes_and_stay_when_more_are_asked_for():
    labels = np.random.default_rng(0).integers(0, 4, 60)
    everything = chosen.choose(labels, 60)
    assert sorted(everything) == list(range(60))
    assert labels[everything[:8]].tolist() == [0, 1, 2, 3] * 2
    for count in (1, 5, 30):
        np.testing.assert_array_equal(chosen.choose(labels, count), everything[:count])
    # The first four of a class are at the beginnings of its four quarters.
    for label in range(4):
        of_class = np.flatnonzero(labels == label)
        first = np.searchsorted(of_class, everything[labels[everything] == label][:4])
        assert sorted(first) == [k * len(of_class) // 4 for k in range(4)]
    for count in (0, 61):
        with pytest.raises(InputError, match=f"explained: {count} pictures; the test split has 60"):
            chosen.choose(labels, count)


def test_pairs_are_half_of_one_class_and_do_not_depend_on_other_pictures():
    labels = np.random.default_rng(1).integers(0, 5, 80)
    some = chosen.choose(labels, 20)
    partners = chosen.pair(labels, some)
    assert (partners != some).all()
    same = labels[partners] == labels[some]
    assert same.sum() == 10
    for label in range(5):
        assert 0 < same[labels[some] == label].sum() < 4
    np.testing.assert_array_equal(chosen.pair(labels, some[:7]), partners[:7])
    np.testing.assert_array_equal(chosen.pair(np.zeros(2, int), np.array([1, 0])), [0, 1])
    assert chosen.pair(np.array([0, 1]), np.array([0])).tolist() == [1]
    with pytest.raises(InputError, match="a distance needs two"):
        chosen.pair(np.zeros(1, int), np.array([0]))


def test_too_many_areas_are_refused_with_what_to_do():
    pictures = datasets.Pictures(np.zeros((1, 1, 28, 30), np.float32), np.zeros(1, int), ("a",), "")
    with pytest.raises(
        InputError, match=r"pictures.area: 4: .* 28 × 30 are 56 players; 2 to 20 .*area to 7 to 29"
    ):
        chosen.players_of(pictures, params(pictures={"area": 4}).pictures)
    with pytest.raises(InputError, match="are 25 players"):
        chosen.players_of(pictures, params(pictures={"area": 6}).pictures)
    assert chosen.players_of(pictures, params(pictures={"area": 7}).pictures).max() + 1 == 20


# Networks


def test_networks_and_their_numbers(study):
    found = json.loads((study / "classifier.json").read_text())
    test = datasets.digits("test")
    network = networks.load(study / "classifier.pt", networks.PictureClassifier)
    assert found["test_accuracy"] == networks.accuracy(network, test.pixels, test.labels)
    assert 0 < found["training_accuracy"] <= 1
    assert found["training_pictures"] + found["test_pictures"] < 1797
    found = json.loads((study / "embedding.json").read_text())
    network = networks.load(study / "embedding.pt", networks.PictureEmbedding)
    right = networks.triplet_accuracy(network, test.pixels, test.labels)
    assert found["test_triplet_accuracy"] == right
    assert found["outputs"] == 4


def test_given_checkpoints_are_taken_as_they_are(study, tmp_path):
    of = params(
        classifier={"weights": str(study / "classifier.pt"), "width": 9},
        embedding={"weights": str(study / "embedding.pt"), "seed": 5},
    )
    make_networks(tmp_path, of)
    for name in WEIGHTS.values():
        first, second = (checkpoints.load(root / name)[1] for root in (study, tmp_path))
        assert all(torch.equal(value, second[key]) for key, value in first.items())
    swapped = params(classifier={"weights": str(study / "embedding.pt")})
    with pytest.raises(
        InputError, match="checkpoint of a PictureEmbedding; a PictureClassifier is needed"
    ):
        make_networks(tmp_path, swapped)
    few = networks.PictureClassifier(1, 3, 2, 2)
    networks.save(tmp_path / "few.pt", few)
    with pytest.raises(InputError, match="has 3 classes; these pictures have 10"):
        make_networks(tmp_path, params(classifier={"weights": str(tmp_path / "few.pt")}))
    networks.save(tmp_path / "rgb.pt", networks.PictureEmbedding(3, 3, 2, 2))
    with pytest.raises(InputError, match="takes pictures of 3 channels; these have 1"):
        make_networks(tmp_path, params(embedding={"weights": str(tmp_path / "rgb.pt")}))


@pytest.fixture
def coloured(tmp_path):
    """Two classes of coloured pictures in files, and random weights of a ResNet-18."""
    rng = np.random.default_rng(0)
    for split, name, number in product(("train", "test"), ("cat", "dog"), range(2)):
        folder = tmp_path / "files" / split / name
        folder.mkdir(parents=True, exist_ok=True)
        array = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"{number}.png")
    torch.manual_seed(0)
    network = resnets.Resnet("resnet18", 2)
    torch.save(network.trunk.state_dict(), tmp_path / "given.pth")
    return tmp_path


def test_a_resnet_with_given_weights_plays(coloured):
    of = params(
        pictures={"source": "folder", "root": str(coloured / "files"), "size": 16, "area": 8},
        classifier={"architecture": "resnet18", "weights": str(coloured / "given.pth")},
        coalitions={"explained": 2},
    )
    make_network(coloured, "classifier", of)
    accuracy = json.loads((coloured / "classifier.json").read_text())["test_accuracy"]
    assert 4 * accuracy in range(5)
    make_game(coloured, "classifier", of)
    make_coalitions(coloured, "classifier", of)
    store = store_of(coloured, "classifier")
    network = resnets.load(coloured / "classifier.pt")
    shown = torch.from_numpy(chosen.load_pictures(of.pictures, "test").pixels)[[0, 2]]
    assert shown.shape == (2, 3, 16, 16)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.no_grad():
        expected = network.trunk((shown - mean) / std).softmax(dim=1)
        grey = network(shown[:, :1])
        torch.testing.assert_close(grey, network(shown[:, :1].repeat(1, 3, 1, 1)))
    for i, row in enumerate(expected):
        assert store.output_classes[i, 0] == row.argmax()
        assert store.read(i)[-1, 0] == pytest.approx(float(row.max()), abs=1e-5)


def test_unusable_resnets_are_refused(coloured, monkeypatch):
    given = str(coloured / "given.pth")
    with pytest.raises(InputError, match="does not fit a ResNet"):
        resnets.given("resnet50", given)
    with pytest.raises(InputError, match="architecture 'vgg'"):
        resnets.Resnet("vgg", 3)
    torch.save({"weight": torch.zeros(3)}, coloured / "other.pth")
    with pytest.raises(InputError, match=r"has no fc\.weight"):
        resnets.given("resnet18", str(coloured / "other.pth"))
    networks.save(coloured / "small.pt", networks.PictureClassifier(3, 2, 2, 2))
    with pytest.raises(InputError, match="checkpoint of a PictureClassifier"):
        resnets.given("resnet18", str(coloured / "small.pt"))
    with pytest.raises(InputError, match="no checkpoint of a Resnet"):
        resnets.load(coloured / "small.pt")

    def fails(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fails)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fails)
    with pytest.raises(InputError, match=r"imagenet: there is no .*resnet18.*no route to host"):
        resnets.given("resnet18", "imagenet")


# Games


def slow_value(model, network, picture, second, areas, players, absent, target):
    """The score of a picture that shows only some players."""
    shown = absent.clone()
    for y, x in product(*map(range, areas.shape)):
        if areas[y, x] in players:
            shown[:, y, x] = picture[:, y, x]
    with torch.no_grad():
        if model == "distance":
            first, other = network(torch.stack([shown, second])).double()
            return float(((first - other) ** 2).sum())
        return float(network(shown[None]).double().softmax(dim=1)[0, target])


@pytest.mark.parametrize("absent", ["zero", "mean"])
@pytest.mark.parametrize("model", MODELS)
def test_stored_values_are_scores_of_masked_pictures(study, tmp_path, model, absent):
    root = study
    if absent == "mean":
        root = tmp_path
        for name in WEIGHTS.values():
            (root / name).write_bytes((study / name).read_bytes())
        make_game(root, model, params(coalitions={"absent": "mean"}))
        make_coalitions(root, model, params(coalitions={"absent": "mean"}))
    store = store_of(root, model)
    split = datasets.digits("test")
    pixels = torch.from_numpy(split.pixels)
    shown = torch.zeros(1, 8, 8)
    if absent == "mean":
        shown = torch.from_numpy(datasets.digits("train").pixels.mean(axis=0))
    kind = networks.PictureClassifier if model == "classifier" else networks.PictureEmbedding
    network = networks.load(root / WEIGHTS[model], kind)
    areas = square_areas(8, 8, 4)
    assert len(store) == 3
    for i, name in enumerate(store.instances):
        numbers = [int(part.removeprefix("test-")) for part in name.split("_")]
        assert len(numbers) == (2 if model == "distance" else 1)
        picture, second = pixels[numbers[0]], pixels[numbers[-1]]
        assert store.coordinates["number"][i] == numbers[0]
        assert store.coordinates["true_class"][i] == split.labels[numbers[0]]
        target = int(network(picture[None]).argmax())
        if model == "classifier":
            assert store.output_classes[i].tolist() == [target]
        for mask, players in enumerate([[p for p in range(4) if m >> p & 1] for m in range(16)]):
            expected = slow_value(model, network, picture, second, areas, players, shown, target)
            assert store.read(i)[mask, 0] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_evaluated_twice(study, tmp_path, model):
    (tmp_path / WEIGHTS[model]).write_bytes((study / WEIGHTS[model]).read_bytes())
    few, more = params(coalitions={"explained": 2}), params(coalitions={"explained": 5})
    make_game(tmp_path, model, few)
    first = make_coalitions(tmp_path, model, few)
    assert (first.evaluations_made, first.evaluations_reused) == (2 * 16, 0)
    make_game(tmp_path, model, few)
    again = make_coalitions(tmp_path, model, few)
    assert (again.evaluations_made, again.evaluations_reused) == (0, 2 * 16)
    with pytest.raises(InputError, match="is planned for other instances"):
        make_coalitions(tmp_path, model, more)
    make_game(tmp_path, model, more)
    parts = [tmp_path / f"part_{number}.json" for number in range(2)]
    made = [
        make_coalitions(tmp_path, model, more, out, part=number, parts=2)
        for number, out in enumerate(parts)
    ]
    assert sum(receipt.evaluations_made for receipt in made) == 3 * 16
    of_game = {"study": "baselines", "game": model, "given": {}}
    merged_receipt = tmp_path / "merged.json"
    stages.run("baselines_merge", tmp_path, **of_game, partitions=parts, receipt=merged_receipt)
    assert read_receipt(merged_receipt).instances_reused == 2
    # Pictures in both stores have exactly the same values, whatever else was evaluated.
    found, other = (store_of(root, model) for root in (tmp_path, study))
    assert found.instances[:3] == other.instances
    for i in range(3):
        np.testing.assert_array_equal(found.read(i), other.read(i))


def test_what_does_not_fit_the_store_is_refused(study, tmp_path):
    with pytest.raises(InputError, match="planned for another game"):
        make_coalitions(study, "classifier", params(coalitions={"score": "logit"}))
    with pytest.raises(InputError, match="planned for another game"):
        make_attributions(study, "classifier", params(pictures={"area": 3}), tmp_path / "a.h5")
    with pytest.raises(InputError, match="model 'regression': must be one of classifier, distance"):
        explained.read_explained(
            "regression",
            study / "no.pt",
            params().pictures,
            params().coalitions,
            torch.device("cpu"),
        )
    # The distance does not depend on `score`.
    receipt = make_coalitions(study, "distance", params(coalitions={"score": "logit"}))
    assert receipt.evaluations_made == 0


# Attributions


@pytest.mark.parametrize("model", MODELS)
def test_attributions(study, model):
    found = attribution_files.read_attributions(study / f"attributions_{model}.h5")
    store = store_of(study, model)
    assert found.instances == store.instances
    assert found.unit == {"classifier": "probability", "distance": "squared distance"}[model]
    for i in range(3):
        table = store.read(i).astype(float)
        exact = oracle.shapley_values(lambda players, t=table: t[oracle.mask_of(players)], 4)
        np.testing.assert_allclose(found.of_areas("exact")[0, i], exact[:, 0], atol=1e-6)
        # From zero, an empty picture, to the picture.
        whole = found.methods["ig_zero"]
        gap = whole.largest_gap[0, i] + 1e-6
        assert whole.values[0, i].sum() == pytest.approx(table[15, 0] - table[0, 0], abs=gap)
    for name, method in found.methods.items():
        once = ("ig_zero", "ig_mean", "exact", "sig_baselines_smaller")
        repeats = 1 if name in once else 2
        assert method.values.shape[:2] == (repeats, 3)
        assert np.isfinite(method.values).all()
        of_areas = name in attribution_files.OF_AREAS
        assert method.values.shape[2:] == ((4,) if of_areas else (1, 8, 8))
        assert method.values.dtype == (np.float64 if of_areas else np.float32)
        assert ((method.gradient_evaluations == 0) == of_areas).all()
        assert np.isnan(method.largest_gap).all() == of_areas
    both, first, second = (found.methods[f"sig_{n}"] for n in ("both", "baselines", "inputs"))
    np.testing.assert_allclose(both.values, first.values + second.values, atol=1e-6)
    np.testing.assert_array_equal(
        both.gradient_evaluations, first.gradient_evaluations + second.gradient_evaluations
    )
    assert (first.gradient_evaluations % params().attributions.steps == 0).all()
    assert (found.methods["ig_zero"].gradient_evaluations == 5).all()
    assert (found.methods["ig_random"].gradient_evaluations == 2 * 5).all()
    assert (first.model_evaluations <= 16).all()
    np.testing.assert_array_equal(
        found.methods["effective"].model_evaluations, first.model_evaluations
    )
    # Pixels as dark as absent areas get no value.
    dark = found.pictures == 0
    for method in (whole, first, second):
        assert (method.values[:, dark] == 0).all()
    assert (found.methods["ig_mean"].values[:, dark] != 0).any()


@pytest.mark.parametrize("model", MODELS)
def test_attributions_can_be_made_again_from_the_coalitions_that_are_kept(study, model):
    found = attribution_files.read_attributions(study / f"attributions_{model}.h5")
    kept = found.sampled
    assert kept.counts.shape == (2, 3, 4)
    assert kept.coalitions.shape == (2, 3, 4, 3)
    assert set(kept.counts.ravel()) <= {0, 3}
    assert not np.array_equal(kept.coalitions[0], kept.coalitions[1])
    past = np.arange(3) >= kept.counts[..., None]
    assert (kept.coalitions[past] == 0).all()
    kind = networks.PictureClassifier if model == "classifier" else networks.PictureEmbedding
    network = networks.load(study / WEIGHTS[model], kind)
    repeat, i = 1, 2
    picture = torch.from_numpy(found.pictures[i])

    def scores(pictures):
        if model == "classifier":
            return network(pictures).softmax(dim=1)[:, found.targets[i], None]
        second = torch.from_numpy(found.seconds[i])[None]
        return ((network(pictures) - network(second)) ** 2).sum(dim=1, keepdim=True)

    methods = {
        "sig_baselines": ("baselines", "all"),
        "sig_inputs": ("inputs", "all"),
        "sig_both": ("both", "all"),
        "sig_baselines_own": ("baselines", "own"),
    }
    for name, (proposal, counted) in methods.items():
        again = shapley_integrated_gradients(
            scores,
            picture,
            found.areas,
            kept.of(repeat, i),
            proposal=proposal,
            counted=counted,
            steps=params().attributions.steps,
        )
        stored = found.methods[name].values
        np.testing.assert_allclose(again.values, stored[repeat, i], atol=1e-6)
        assert np.abs(stored[repeat, i] - stored[0, i]).max() > 1e-5
        assert again.gradient_evaluations == found.methods[name].gradient_evaluations[repeat, i]


def test_coalitions_of_different_numbers_are_kept_as_they_are():
    rng = np.random.default_rng(0)
    given = [
        [[rng.integers(1, 99, n).astype(np.uint64) for n in row] for row in ((2, 0), (1, 4))]
        for _ in range(3)
    ]
    kept = attributions.gather_sampled(given)
    assert kept.coalitions.shape == (3, 2, 2, 4)
    for repeat, picture in np.ndindex(3, 2):
        for found, masks in zip(kept.of(repeat, picture), given[repeat][picture], strict=True):
            np.testing.assert_array_equal(found, masks)
    none = np.zeros(0, dtype=np.uint64)
    assert attributions.gather_sampled([[[none]]]).of(0, 0)[0].shape == (0,)


def test_areas_are_valued_as_utility_functions_are(study):
    """Same names mean the same methods: single orders, and orders with their reverses."""
    found = attribution_files.read_attributions(study / "attributions_distance.h5")
    of = params().attributions
    stored = store_of(study, "distance")
    number = int(stored.instances[1].split("_")[0].removeprefix("test-"))
    seed = np.random.SeedSequence([of.seed, 1, number])
    of_coalitions, _, of_orders = seed.spawn(3)
    playable = StoredGame(stored, 1)
    sample = sizes.sample_coalitions(playable, of, of_coalitions)
    budget = max(sample.evaluations, 8)
    expected = {
        "effective": sample.values,
        "effective_unsampled": sample.unsampled,
        "permutation": estimates.permutation_values(playable, budget=budget, seed=of_orders).values[
            :, 0
        ],
        "permutation_pairs": METHODS["permutation"]
        .estimate(playable, budget=budget, seed=of_orders)
        .values[:, 0],
    }
    assert set(expected) <= {*estimates.EFFECTIVE, *estimates.PLAIN}
    for name, values in expected.items():
        np.testing.assert_allclose(found.methods[name].values[1, 1], values, atol=1e-9)


def test_sums_over_areas(study):
    found = attribution_files.read_attributions(study / "attributions_classifier.h5")
    sums = found.of_areas("ig_random")
    for repeat, picture, area in np.ndindex(sums.shape):
        pixels = found.methods["ig_random"].values[repeat, picture, 0]
        expected = sum(pixels[y, x] for y, x in np.argwhere(found.areas == area))
        assert sums[repeat, picture, area] == pytest.approx(expected, abs=1e-6)


def test_attributions_are_repeatable_and_do_not_depend_on_other_pictures(study, tmp_path):
    path = tmp_path / "again.h5"
    again = make_attributions(study, "classifier", out=path)
    assert path.read_bytes() == (study / "attributions_classifier.h5").read_bytes()
    for name, repeats in (("ig_random", 2), ("sig_baselines", 2)):
        values = again.methods[name].values
        assert len(values) == repeats
        assert not np.array_equal(values[0], values[1])
    (tmp_path / "classifier.pt").write_bytes((study / "classifier.pt").read_bytes())
    fewer = params(coalitions={"explained": 2}, attributions={"counted": "own"})
    make_game(tmp_path, "classifier", fewer)
    make_coalitions(tmp_path, "classifier", fewer)
    found = make_attributions(tmp_path, "classifier", fewer)
    values = {name: method.values for name, method in found.methods.items()}
    drawn = ("ig_random", "effective", "permutation", "permutation_pairs")
    for name in (*drawn, "exact", "ig_mean"):
        np.testing.assert_array_equal(values[name], again.methods[name].values[:, :2])
    # The names depend on which coalitions count.
    np.testing.assert_array_equal(
        values["sig_baselines_all"], again.methods["sig_baselines"].values[:, :2]
    )
    np.testing.assert_array_equal(
        values["sig_baselines"], again.methods["sig_baselines_own"].values[:, :2]
    )


def test_both_rules_of_counting_from_the_same_gradients():
    torch.manual_seed(0)
    network = networks.PictureClassifier(1, 3, 4, 4).eval()
    picture, absent, areas = torch.rand(1, 6, 6), torch.rand(1, 6, 6), square_areas(6, 6, 2)
    rng = np.random.default_rng(0)
    sampled = [
        rng.integers(0, 1 << 9, rng.integers(0, 6)).astype(np.uint64) & ~np.uint64(1 << player)
        for player in range(9)
    ]
    settings = {"baseline": absent, "target": 2, "steps": 3, "batch_size": 7}
    found = counted_both_ways(network, picture, areas, sampled, **settings)
    assert set(found) == {"all", "own"}
    for counted, one in found.items():
        expected = shapley_integrated_gradients(
            network, picture, areas, sampled, counted=counted, **settings
        )
        torch.testing.assert_close(one.values, expected.values)
        assert one.gradient_evaluations == expected.gradient_evaluations == 3 * one.lines
        assert one.largest_gap == pytest.approx(expected.largest_gap)
    assert not torch.allclose(found["all"].values, found["own"].values)


def test_a_file_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no attributions"):
        attribution_files.read_attributions(tmp_path / "none.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["values"] = [1]
    with pytest.raises(InputError, match="holds no attributions"):
        attribution_files.read_attributions(tmp_path / "other.h5")


def test_a_file_without_coalitions_is_refused(study, tmp_path):
    path = tmp_path / "old.h5"
    path.write_bytes((study / "attributions_classifier.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        del file["sampled"]
    with pytest.raises(
        InputError, match=r"holds no attributions of pictures .*run baselines_attributions"
    ):
        attribution_files.read_attributions(path)


# Agreement


@pytest.mark.parametrize("model", MODELS)
def test_measures_of_pictures(study, model):
    found = attribution_files.read_attributions(study / f"attributions_{model}.h5")
    store = store_of(study, model)
    rows = {
        (row["picture"], row["method"]): row
        for row in rows_of(study / "agreement_pictures.csv")
        if row["model"] == model
    }
    assert len(rows) == 3 * len(found.methods)
    exact = found.of_areas("exact")[0]
    for name, (i, instance) in product(found.methods, enumerate(found.instances)):
        row, of_areas = rows[instance, name], found.of_areas(name)[:, i]
        pearson = np.mean([np.corrcoef(values, exact[i])[0, 1] for values in of_areas])
        assert float(row["pearson"]) == pytest.approx(pearson, abs=1e-5)
        kendall = np.mean([stats.kendalltau(values, exact[i])[0] for values in of_areas])
        assert float(row["kendall"]) == pytest.approx(kendall, abs=1e-5)
        distance = np.mean(
            [
                sum(abs(a / abs(values).sum() - b / abs(exact[i]).sum()) for a, b in pairs)
                for values, pairs in ((v, list(zip(v, exact[i], strict=True))) for v in of_areas)
            ]
        )
        assert float(row["ratio_distance"]) == pytest.approx(distance, abs=1e-5)
        table = store.read(i)[:, 0]
        insertion = []
        for values in of_areas:
            order = sorted(range(4), key=lambda p, v=values: -v[p])
            curve = [table[oracle.mask_of(order[:k])] for k in range(5)]
            insertion.append(sum((a + b) / 2 for a, b in pairwise(curve)) / 4)
        assert float(row["insertion"]) == pytest.approx(np.mean(insertion), abs=1e-5)
        assert bool(row["spread"]) == (len(of_areas) > 1)
        assert bool(row["ratio_distance_negative"]) <= (model == "distance")
        if name in attribution_files.OF_AREAS:
            assert row["ink"] == ""
            continue
        pixels = found.methods[name].values[:, i].astype(float)
        bright = found.pictures[i] > 0.5
        share = np.mean([abs(p[bright]).sum() / abs(p).sum() for p in pixels])
        assert float(row["ink"]) == pytest.approx(share, abs=1e-5)
    best = rows[found.instances[0], "exact"]
    assert (float(best["pearson"]), float(best["ratio_distance"])) == (1, 0)


def test_summaries_and_differences(study):
    content = json.loads((study / "agreement.json").read_text())
    of_pictures = rows_of(study / "agreement_pictures.csv")

    def column(model, method, measure):
        return np.array(
            [
                float(row[measure] or "nan")
                for row in of_pictures
                if (row["model"], row["method"]) == (model, method)
            ]
        )

    table = rows_of(study / "agreement.csv")
    assert len(table) == len(content["rows"]) == 2 * 13
    for row in table:
        values = column(row["model"], row["method"], "deletion")
        assert float(row["deletion"]) == pytest.approx(values.mean(), abs=1e-5)
        error = values.std(ddof=1) / 3**0.5
        assert float(row["deletion_se"]) == pytest.approx(error, abs=1e-5)
    seen = set()
    assert {row["model"] for row in content["differences"]} == set(MODELS)
    for row in content["differences"]:
        ours, theirs = (column(row["model"], row[m], row["measure"]) for m in ("method", "against"))
        paired = ours - theirs
        known = paired[~np.isnan(paired)]
        assert row["pictures"] == len(known) > 0
        assert row["difference"] == pytest.approx(known.mean(), abs=1e-5)
        seen.add((row["method"], row["against"]))
        if len(known) < 3:
            continue
        assert row["standard_error"] == pytest.approx(paired.std(ddof=1) / 3**0.5, abs=1e-5)
    ours = ("sig_baselines", "sig_inputs", "sig_both", "sig_baselines_own")
    assert seen == set(product(ours, attributions.IG)) | {
        ("sig_baselines", "sig_inputs"),
        ("sig_both", "sig_baselines"),
        ("sig_both", "sig_inputs"),
        ("sig_baselines_smaller", "sig_baselines"),
    }
    curve = next(row for row in content["curves"] if row["method"] == "exact")
    assert curve["insertion"][0] == pytest.approx(curve["deletion"][-1])
    assert curve["insertion"][-1] == pytest.approx(curve["deletion"][0])


@pytest.mark.parametrize("model", MODELS)
def test_proposals_beside_each_other(study, model):
    found = attribution_files.read_attributions(study / f"attributions_{model}.h5")
    content = json.loads((study / "agreement.json").read_text())["between"]
    (row,) = (row for row in content if row["model"] == model)
    names = ("sig_baselines", "sig_inputs")
    assert (row["method"], row["against"]) == names
    assert (row["pictures"], row["repeats"]) == (3, 2)
    pixels = [found.methods[name].values.astype(float).reshape(2, 3, -1) for name in names]
    areas = [found.of_areas(name) for name in names]
    shares = [values / np.abs(values).sum(axis=-1, keepdims=True) for values in areas]
    expected = {name: np.zeros((2, 3)) for name in ("ratio_distance", "pearson", "pearson_pixels")}
    for place in np.ndindex(2, 3):
        expected["ratio_distance"][place] = np.abs(shares[0][place] - shares[1][place]).sum()
        expected["pearson"][place] = np.corrcoef(areas[0][place], areas[1][place])[0, 1]
        expected["pearson_pixels"][place] = np.corrcoef(pixels[0][place], pixels[1][place])[0, 1]
    expected["ratio_distance_repeats"] = np.abs(shares[0][:1] - shares[0][1:]).sum(axis=-1)
    for name, values in expected.items():
        of_pictures = values.mean(axis=0)
        assert row[name] == pytest.approx(of_pictures.mean(), abs=1e-6)
        assert row[f"{name}_se"] == pytest.approx(of_pictures.std(ddof=1) / 3**0.5, abs=1e-6)


def few_measures(players, differ=0.0):
    """Measures of two pictures by methods that differ only as given."""
    return [
        agreement.Compared(
            method=name,
            repeats=2,
            measures={
                measure: np.array([0.5, 0.6]) + differ * (name == "sig_baselines")
                for measure in agreement.MEASURES
            },
            insertion=np.zeros(players + 1),
            deletion=np.zeros(players + 1),
        )
        for name in ("ig_zero", "sig_baselines")
    ]


def test_a_game_of_one_player_gives_no_verdicts():
    assert agreement.differences("classifier", few_measures(1, 0.1)) == []
    found = agreement.differences("classifier", few_measures(2, 0.1))
    assert {row["verdict"] for row in found} == {"better", "worse"}
    found = agreement.differences("classifier", few_measures(2))
    assert {row["verdict"] for row in found} == {"equal"}


def test_verdicts():
    verdict = agreement.verdict
    assert verdict(0.3, 0.1, "high") == "better"
    assert verdict(0.3, 0.1, "low") == "worse"
    assert verdict(-0.3, 0.1, "low") == "better"
    assert verdict(-0.3, 0.1, "high") == "worse"
    assert verdict(0.2, 0.1, "high") == "equal"
    assert verdict(0.0, 0.0, "low") == "equal"
    assert verdict(0.2, float("nan"), "high") is None
    assert verdict(float("nan"), 0.1, "low") is None


def test_attributions_of_another_game_are_refused(study, tmp_path):
    receipts = [study / "receipt_distance.json"]
    with pytest.raises(InputError, match="other pictures or another game"):
        make_agreement(study, ["classifier"], tmp_path, receipts=receipts)
    with pytest.raises(InputError, match="1 files of attributions and 0 receipts"):
        make_agreement(study, ["classifier"], tmp_path, receipts=[])
    assert not list(tmp_path.iterdir())


# Figures


def test_figures_are_drawn(study):
    figures = study / "figures"
    of_pictures = (
        "pictures_classifier",
        "pictures_distance_positive",
        "pictures_distance_negative",
    )
    stages.run(
        "baselines_figures",
        attributions=[study / f"attributions_{model}.h5" for model in MODELS],
        params=params().figures,
        figures=[figures / f"{name}.png" for name in of_pictures],
        out=study / "figures.json",
    )
    measures = ("agreement", "insertion")
    stages.run(
        "baselines_draw_agreement",
        numbers=study / "agreement.json",
        figures=[figures / f"{name}.png" for name in measures],
    )
    found = {path.name for path in figures.iterdir()}
    expected = product((*of_pictures, *measures), ("png", "svg"))
    assert found == {f"{name}.{kind}" for name, kind in expected}
    drawn = json.loads((study / "figures.json").read_text())["pictures"]
    assert [len(drawn[model]) for model in MODELS] == [2, 2]


def test_what_a_figure_of_pictures_shows(study):
    found = attribution_files.read_attributions(study / "attributions_distance.h5")
    figure = drawing_pictures.draw_attributions(found, [0, 2], "negative")
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 2 * (2 + 7)
    np.testing.assert_array_equal(panels[9].images[0].get_array(), found.pictures[2, 0])
    np.testing.assert_array_equal(panels[10].images[0].get_array(), found.seconds[2, 0])
    exact = np.maximum(-found.of_areas("exact")[0, 2], 0)[found.areas]
    np.testing.assert_allclose(panels[11].images[0].get_array(), exact, atol=1e-9)
    zero = np.maximum(-found.methods["ig_zero"].values[0, 2, 0], 0)
    np.testing.assert_allclose(panels[12].images[0].get_array(), zero, atol=1e-9)
    assert panels[11].images[0].get_clim() == (0, pytest.approx(exact.max()))
    assert [text.get_text() for text in panels[11].texts] == [f"{exact.max():.2g}"]
    ((low, high),) = {panel.images[0].get_clim() for panel in panels[12:18]}
    assert low == 0 and high == max(panel.images[0].get_array().max() for panel in panels[12:18])
    plt.close(figure)


def test_a_few_pixels_of_large_pictures_are_beyond_the_scale(study):
    found = attribution_files.read_attributions(study / "attributions_classifier.h5")
    values = np.random.default_rng(0).normal(size=(1, 1, 1, 40, 40)).astype(np.float32) * 1e-5
    values[..., 0, 0] = 1.0
    n_areas = found.areas.max() + 1
    areas = np.arange(1600).reshape(40, 40) * n_areas // 1600
    methods = {
        name: replace(method, values=method.values[:1, :1] if name == "exact" else values)
        for name, method in found.methods.items()
        if name in ("exact", "ig_zero", "sig_both")
    }
    large = replace(
        found, pictures=np.zeros((1, 1, 40, 40), dtype=np.float32), areas=areas, methods=methods
    )
    figure = drawing_pictures.draw_attributions(large, [0])
    *_, first, second = (axes for axes in figure.axes if axes.images)
    low, high = first.images[0].get_clim()
    beyond = np.abs(first.images[0].get_array()) > high
    assert low == -high and 0 < beyond.mean() < 0.01 and beyond[0, 0]
    assert second.images[0].get_clim() == (low, high)
    (bar,) = (axes for axes in figure.axes if "per pixel" in axes.get_ylabel())
    assert bar.get_ylabel().startswith("$10^{-5}$ probability")
    np.testing.assert_allclose(high, np.quantile(np.abs(values), 0.995) * 1e5, rtol=1e-3)
    plt.close(figure)


def test_pictures_of_nothing_can_be_drawn(study):
    found = attribution_files.read_attributions(study / "attributions_classifier.h5")
    methods = {
        name: replace(method, values=np.zeros_like(method.values))
        for name, method in found.methods.items()
    }
    figure = drawing_pictures.draw_attributions(replace(found, methods=methods), [0])
    panels = [axes for axes in figure.axes if axes.images]
    assert {panel.images[0].get_clim() for panel in panels[1:]} == {(-1, 1)}
    plt.close(figure)


# Runtime


def test_runtimes(study):
    of = params()
    stages.run(
        "baselines_runtime",
        classifier=study / "classifier.pt",
        embedding=study / "embedding.pt",
        pictures=of.pictures,
        coalitions=of.coalitions,
        attributions=of.attributions,
        params=of.runtime,
        out=study / "runtime.json",
        table=study / "runtime.csv",
        device="cpu",
    )
    content = json.loads((study / "runtime.json").read_text())
    rows = {(row["model"], row["method"]): row for row in content["rows"]}
    assert set(rows) == set(product(MODELS, [*timing.METHODS, *timing.TOGETHER]))
    assert len(rows_of(study / "runtime.csv")) == len(rows)
    for model in MODELS:
        points = {rows[model, name]["gradient_evaluations"] for name in ("sig", "ig", "captum")}
        assert len(points) == 1
        assert points.pop() > 0
        assert 0 < rows[model, "algorithm_1"]["model_evaluations"] <= 16
        alone, inputs, both, whole = (
            rows[model, f"sig{name}"] for name in ("", "_inputs", "_both", "_with_algorithm_1")
        )
        count = alone["gradient_evaluations"] + inputs["gradient_evaluations"]
        assert both["gradient_evaluations"] == count > alone["gradient_evaluations"]
        assert whole["gradient_evaluations"] == alone["gradient_evaluations"]
        assert whole["model_evaluations"] == rows[model, "algorithm_1"]["model_evaluations"]
        assert whole["fastest"] >= alone["fastest"] + rows[model, "algorithm_1"]["fastest"]
        ratios = content["ratios"][model]
        for name, row in (("sig", alone), ("sig_with_algorithm_1", whole)):
            assert row["ratio_to_plain"] == ratios[f"{name}_to_plain"]["median"]
        assert rows[model, "plain"]["ratio_to_plain"] == 1
        assert all(rows[model, name]["ratio_to_plain"] > 0 for name in timing.METHODS)
        for row in rows.values():
            assert 0 < row["fastest"] <= row["seconds"] <= row["slowest"]
        assert set(content["ratios"][model]) == set(runtime.RATIOS)


def test_ratios_of_runtimes():
    taken = {
        "sig": np.array([[1.0, 3], [2, 2], [9, 3]]),
        "algorithm_1": np.array([[1.0, 1], [0, 2], [1, 1]]),
        "ig": np.array([[1.0, 1], [2, 2], [1, 2]]),
    }
    found = timing.ratio(taken, ("sig",), "ig")
    assert found == {"median": 2, "lowest": 1, "highest": 4}
    assert timing.ratio(taken, ("sig", "algorithm_1"), "ig")["lowest"] == 1.5


@pytest.mark.parametrize("rule", ["gauss-legendre", "midpoint"])
def test_captum_agrees(rule):
    torch.manual_seed(0)
    network = networks.PictureClassifier(1, 3, 4, 4).eval()
    picture, baselines = torch.rand(1, 8, 8), torch.rand(5, 1, 8, 8)

    def scores(pictures):
        return network(pictures)[:, :1]

    ours = integrated_gradients(scores, picture, baselines, steps=6, rule=rule).values
    captum = timing.captum_values(scores, picture, baselines, 6, rule)
    torch.testing.assert_close(captum, ours, atol=1e-6, rtol=1e-5)


def test_batches_are_powers_of_two_and_smaller_for_larger_pictures():
    network = networks.PictureClassifier(1, 3, 4, 4)
    sizes = [
        picture_networks.batch_size(network, torch.zeros(1, side, side), gradients=gradients)
        for side in (8, 64, 2048)
        for gradients in (False, True)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[2] > sizes[3] >= sizes[4] == sizes[5] == 1
    assert all(size & (size - 1) == 0 for size in sizes)
