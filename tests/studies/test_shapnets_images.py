"""Image networks of the study of Shapley explanation networks, in tiny sizes."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from pipeline.core.errors import InputError
from pipeline.core.plotting import figure_style
from pipeline.data.pictures import Pictures
from pipeline.models.image_shapnets import ImageShapNet
from pipeline.studies.shapnets import (
    image_attributions,
    image_claims,
    image_data,
    image_explained,
    image_flips,
    image_networks,
    image_paths,
    image_pruning,
    image_removal,
    image_report,
)
from pipeline.studies.shapnets.figures import images as figures
from pipeline.studies.shapnets.params import (
    ImageExplainedParams,
    ImageNetworksParams,
    ImagesParams,
)
from pipeline.studies.shapnets.stages import draw_images
from pipeline.studies.shapnets.stages import image_explained as explained_stage
from pipeline.studies.shapnets.stages import image_networks as networks_stage

IMAGES = ImagesParams(source="digits", root=None, download=False, train=60, test=40)
NETWORKS = ImageNetworksParams(
    channels=[3],
    dilations=[1, 2],
    windows=[(1, 2), (2, 1)],
    epochs=1,
    batch=20,
    learning_rate=0.01,
    schedule="one_cycle",
    l1=0.01,
    l_infinity=0.1,
    repeats=2,
    seed=0,
)
EXPLAINED = ImageExplainedParams(
    flips=[(9, 1), (4, 1), (8, 3)],
    flipped=0.2,
    images=12,
    steps=4,
    baselines=3,
    random_orders=2,
    thresholds=[0.0, 0.3],
    drawn=2,
    seed=0,
)


def changed(params, **values):
    return params.model_copy(update=values)


@pytest.fixture(scope="module")
def images():
    return image_data.read_images(IMAGES)


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ImageShapNet(1, [4, 10], [1, 2], [(2, 2), (1, 2)]).eval()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The files that the stages write."""
    folder = tmp_path_factory.mktemp("images")
    for name in image_paths.IMAGE_MODELS:
        networks_stage.main(
            image_model=name,
            images=IMAGES,
            params=NETWORKS,
            out=folder / f"{name}.pt",
            numbers=folder / f"{name}.json",
            device="cpu",
        )
    explained_stage.main(
        checkpoints=[folder / f"{name}.pt" for name in image_paths.IMAGE_MODELS],
        numbers=[folder / f"{name}.json" for name in image_paths.IMAGE_MODELS],
        images=IMAGES,
        params=EXPLAINED,
        out=folder / "images.json",
        table=folder / "images.csv",
        arrays=folder / "images.h5",
        device="cpu",
    )
    return folder


@pytest.fixture(scope="module")
def content(results):
    return json.loads((results / "images.json").read_bytes())


def test_training_images_are_padded_moved_and_then_normalised(images):
    rng = np.random.default_rng(0)
    rows = np.arange(20)
    found = images.trained_on(rows, rng)
    shown = images.preparation.shown(found).numpy()
    assert found.dtype == torch.float32
    moves = set()
    for own, other in zip(images.train.pixels[rows, 0], shown[:, 0], strict=True):
        padded = np.pad(own, 1)
        fits = [
            (y, x)
            for y in range(3)
            for x in range(3)
            if np.allclose(padded[y : y + 8, x : x + 8], other, atol=1e-6)
        ]
        assert fits
        moves.add(fits[0])
    assert len(moves) > 4
    every = images.preparation.normalised(torch.from_numpy(images.train.pixels))
    assert abs(float(every.mean())) < 1e-5
    assert abs(float(every.std()) - 1) < 1e-3
    torch.testing.assert_close(images.tested(slice(2)), images.tested()[:2])


def test_the_papers_preparations():
    rng = np.random.default_rng(0)
    grey = rng.random((3, 1, 28, 28)).astype(np.float32)
    labels = np.arange(3)
    part = Pictures(grey, labels, ("a", "b", "c"), "train")
    mnist = image_data.Images(part, part, image_data.PREPARATIONS["mnist"])
    shown = mnist.tested()
    assert shown.shape == (3, 1, 32, 32)
    # The background is not at the reference.
    assert float(shown[0, 0, 0, 0]) == pytest.approx(-0.1307 / 0.3081, abs=1e-6)
    np.testing.assert_allclose(shown[:, :, 2:-2, 2:-2], (grey - 0.1307) / 0.3081, atol=1e-5)
    assert mnist.trained_on(labels, rng).shape == (3, 1, 32, 32)
    assert mnist.own_pixels == 784
    colour = np.arange(3 * 32 * 32, dtype=np.float32).reshape(1, 3, 32, 32) / 4000
    part = Pictures(colour.repeat(40, 0), np.zeros(40, np.int64), ("a",), "train")
    cifar = image_data.Images(part, part, image_data.PREPARATIONS["cifar10"])
    assert cifar.tested().shape == (40, 3, 32, 32)
    found = cifar.preparation.shown(cifar.trained_on(np.arange(40), rng)).numpy()
    # Pixels increase to the right; in mirrored images they increase to the left.
    middle = found[:, 0, 10:20, 10:20]
    steps = np.sign(np.diff(middle, axis=2)).mean(axis=(1, 2))
    assert 8 < (steps == 1).sum() < 32
    assert (np.abs(steps) == 1).all()


def test_files_that_rules_wait_for():
    params = changed(IMAGES, source="fashion_mnist", root="data")
    assert image_paths.picture_files(params) == ["data/FashionMNIST"]
    assert image_paths.picture_files(changed(params, download=True)) == []
    assert image_paths.picture_files(IMAGES) == []


def test_the_cnn_has_the_parameters_of_the_shapnet(images):
    structure = image_networks.structure_of(images, NETWORKS)
    sizes = [
        sum(each.numel() for each in image_networks.built(kind, structure).parameters())
        for kind in ("plain", "cnn")
    ]
    assert sizes[0] == sizes[1]
    cnn = image_networks.built("cnn", structure)
    x = torch.randn(2, 1, 8, 8)
    y = torch.nn.functional.pad(x, (0, 1, 0, 0))
    y = torch.nn.functional.leaky_relu(cnn.stages[0](y), 0.01)
    y = cnn.stages[1](torch.nn.functional.pad(y, (0, 0, 1, 1)))
    torch.testing.assert_close(cnn(x), y.sum(dim=(2, 3)))


def test_training_is_repeatable_and_the_terms_are_their_norms(images):
    one, again, other = (
        image_networks.trained("l1", images, NETWORKS, seed, torch.device("cpu")).state_dict()
        for seed in (0, 0, 1)
    )
    for name, value in one.items():
        torch.testing.assert_close(value, again[name], rtol=0, atol=0)
    assert not torch.equal(one["stages.0.weight"], other["stages.0.weight"])
    values = torch.randn(3, 4, 5, 6)
    by_hand = [
        (float(values[i, c].abs().sum()), float(values[i, c].abs().max()))
        for i in range(3)
        for c in range(4)
    ]
    l1, l_infinity = np.mean(by_hand, axis=0)
    assert float(image_networks.l1(values)) == pytest.approx(l1, rel=1e-5)
    assert float(image_networks.l_infinity(values)) == pytest.approx(l_infinity, rel=1e-5)


def test_regularisation_lowers_the_norms_of_explanations(images):
    kinds, strong = ("plain", "l1", "l_infinity"), {"l1": 0.3, "l_infinity": 3.0, "epochs": 3}
    found = {
        kind: image_networks.trained(
            kind, images, changed(NETWORKS, **strong), 0, torch.device("cpu")
        )
        for kind in kinds
    }
    norms = {
        kind: image_attributions.explanations_of(net, images.tested())[-1]
        for kind, net in found.items()
    }
    assert image_networks.l1(norms["l1"]) < image_networks.l1(norms["plain"])
    assert image_networks.l_infinity(norms["l_infinity"]) < image_networks.l_infinity(
        norms["plain"]
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dilations": [1, 2, 3]}, r"3 dilations and 2 windows for 1 channels; there is one"),
        ({"dilations": [1, 8]}, r"window of 2 × 1 with dilation 8 does not fit into .* 8 × 8"),
        ({"windows": [(3, 3)]}, "a window has 1 to 8 pixels"),
    ],
)
def test_networks_that_do_not_fit_are_refused(images, values, message):
    with pytest.raises(InputError, match=message):
        image_networks.trained("plain", images, changed(NETWORKS, **values), 0, torch.device("cpu"))


def test_impossible_flips_are_refused(images):
    for pair, message in (((3, 10), "names an unknown class"), ((3, 3), "into itself")):
        with pytest.raises(InputError, match=message):
            image_flips.checked([pair], images.classes)


def test_a_class_without_images_is_refused():
    with pytest.raises(InputError, match="no train image is of class 5; ask for more"):
        image_data.read_images(changed(IMAGES, train=5))


def test_files_of_another_kind_are_refused(results, tmp_path):
    with pytest.raises(InputError, match="no checkpoint of an image network"):
        torch.save({"weight": torch.zeros(2)}, tmp_path / "x.pt")
        image_networks.load(tmp_path / "x.pt")
    with pytest.raises(InputError, match="lack l1, l1_all"):
        plain = image_networks.load(results / "plain.pt")[1]
        image_explained.shapnets_of({"plain": plain, "l_infinity": plain})
    (tmp_path / "x.h5").write_bytes(b"nothing")
    with pytest.raises(InputError, match="holds no explanations of images"):
        image_explained.read_drawn(tmp_path / "x.h5")


def explainer_of(network, images):
    return image_attributions.Explainer(network, images.references(3, 0), 60)


def test_every_method_explains_the_score(network, images):
    x, targets = images.tested(slice(6)), torch.tensor([0, 4, 4, 9, 2, 1])
    explainer = explainer_of(network, images)
    with torch.no_grad():
        scores = network(x).gather(1, targets[:, None])[:, 0]
        others = network(explainer.references).mean(dim=0)[targets]
    found = {m: explainer.attributions(m, x, targets) for m in image_attributions.METHODS}
    for values in found.values():
        assert values.shape == (6, 8, 8)
    for method in ("shapnet", "deep_lift"):
        torch.testing.assert_close(found[method].sum(dim=(1, 2)), scores, rtol=0, atol=1e-4)
    torch.testing.assert_close(
        found["integrated_gradients"].sum(dim=(1, 2)), scores, rtol=0.02, atol=0.05
    )
    torch.testing.assert_close(
        found["deep_shap"].sum(dim=(1, 2)), scores - others, rtol=0, atol=1e-4
    )
    x = x.clone().requires_grad_()
    gradient = torch.autograd.grad(network(x).gather(1, targets[:, None]).sum(), x)[0][:, 0]
    torch.testing.assert_close(found["saliency"], gradient.abs())
    torch.testing.assert_close(found["input_x_gradient"], (gradient * x[:, 0]).detach())


def test_flips_by_a_loop(network, images):
    x = images.tested(slice(7))
    explainer = explainer_of(network, images)
    found = image_flips.changes_by(explainer, "shapnet", x, (9, 1), 5)
    for image, change in zip(x, found, strict=True):
        with torch.no_grad():
            values = network.explain(image[None]).stages[-1][0]
            difference = (values[9] - values[1]).flatten().tolist()
            order = sorted(range(64), key=lambda p: -difference[p])
            gone = [p for p in order[:5] if difference[p] > 0]
            other = image.clone().flatten()
            other[gone] = 0
            before, after = (
                network(each.reshape(1, 1, 8, 8))[0] for each in (image.flatten(), other)
            )
        expected = float(before[9] - before[1]) - float(after[9] - after[1])
        assert change == pytest.approx(expected, abs=1e-5)
    importance = torch.tensor([[[0.5, -1.0], [0.0, 0.25]]])
    left = image_flips.removed(torch.ones(1, 2, 2, 2), importance, 3)
    assert left.tolist() == [[[[0, 1], [1, 0]]] * 2]


def test_t_scores_are_those_of_a_paired_test():
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 1, 30), rng.normal(0, 2, 30)
    found = image_flips.Paired.of(first, second)
    expected = stats.ttest_rel(first, second)
    assert found.t == pytest.approx(expected.statistic)
    assert found.degrees == expected.df
    assert np.isnan(image_flips.Paired.of(first, first).t)
    assert np.isnan(image_flips.Paired.of(first[:1], second[:1]).t)
    rows = image_flips.rows_of(("9", "1"), {"shapnet": first, "saliency": second})
    assert rows[1]["t"] == pytest.approx(expected.statistic)
    assert rows[1]["own_more"] == pytest.approx((first - second).mean())


def test_removal_by_a_loop(network, images):
    x = images.tested(slice(4))
    order = torch.stack([torch.randperm(64) for _ in x])
    found = image_removal.outputs_along(network, x, order)
    assert found.shape == (len(image_removal.SHARES), 4, 10)
    for place, share in enumerate(image_removal.SHARES):
        for image, own, scores in zip(x, order, found[place], strict=True):
            other = image.clone().flatten()
            for pixel in own[: round(64 * share)]:
                other[pixel] = 0
            with torch.no_grad():
                expected = network(other.reshape(1, 1, 8, 8))[0]
            np.testing.assert_allclose(scores, expected, atol=1e-4)
    again = image_removal.random_order(x, 1, 5)
    assert again.sort(dim=1).values.tolist() == [list(range(64))] * 4
    torch.testing.assert_close(again, image_removal.random_order(x, 1, 5))


def test_what_is_left_and_what_changes(network, images):
    x = images.tested(slice(5))
    found = image_removal.removal(explainer_of(network, images), x, EXPLAINED)
    with torch.no_grad():
        scores, explanation = network(x), network.explain(x).stages[-1]
    targets = scores.argmax(dim=1)
    share = image_removal.SHARES[3]
    for kind, direction in (("top", -1), ("least", 1)):
        expected = []
        for i, target in enumerate(targets):
            values = explanation[i, target].flatten()
            key = values.abs() if kind == "least" else values
            order = sorted(range(64), key=lambda p: direction * float(key[p]))
            other = x[i].clone().flatten()
            other[order[: round(64 * share)]] = 0
            with torch.no_grad():
                output = float(network(other.reshape(1, 1, 8, 8))[0, target])
            whole = float(scores[i, target])
            expected.append(abs(output - whole) if kind == "least" else output)
        (row,) = (
            row
            for row in found["curves"]
            if (row["kind"], row["method"], row["share"]) == (kind, "shapnet", share)
        )
        size = float(scores.amax(dim=1).abs().mean())
        assert row["value"] == pytest.approx(np.mean(expected) / size, abs=1e-4)
    own = [row for row in found["areas"] if row["method"] == "shapnet"]
    assert [row["difference"] for row in own] == [0, 0]


def test_pruning_by_a_loop(network, images):
    x, labels = images.tested(slice(8)), images.test.labels[:8]
    found = image_pruning.right_along(network, x, labels)
    share = image_removal.SHARES[6]
    for stage in range(2):
        for i, image in enumerate(x):
            with torch.no_grad():
                values = image[None]
                for number, each in enumerate(network.stages):
                    values = each(values)
                    if number == stage:
                        norms = values[0].abs().sum(dim=0).flatten().tolist()
                        order = sorted(range(64), key=lambda p: norms[p])
                        values = values.flatten(2)
                        values[..., order[: round(64 * share)]] = 0
                        values = values.unflatten(2, (8, 8))
            right = int(values.sum(dim=(2, 3)).argmax()) == labels[i]
            assert found[stage][6, i] == right
    # With threshold 0 only pixels at their reference are skipped.
    at = image_pruning.at_threshold(network, x, labels, 0.0)
    assert at["accuracy"] == found[0][0].mean()
    assert at["windows"] == pytest.approx([1, 1])
    assert image_pruning.at_threshold(network, x, labels, 1e6)["windows"] == [0, 0]


def test_how_explanations_are_spread():
    values = np.array([[1.0, 1, 1, 1], [0, 0, 0, 2], [0, 0, 0, 0]])
    found = image_explained.variations(values)
    assert found[:2].tolist() == pytest.approx([0, np.sqrt(3)])
    assert np.isnan(found[2])


def test_what_the_stages_write(content, results):
    assert {row["network"]: row["networks"] for row in content["accuracies"]} == {
        "plain": 2,
        "l1": 1,
        "l1_all": 1,
        "l_infinity": 1,
        "cnn": 2,
    }
    assert content["images"] == 12
    assert content["local_accuracy"]["largest_gap"] < 1e-4
    assert content["flips"]["most"] == 13
    assert len(content["flips"]["rows"]) == 3 * 6
    lines = (results / "images.csv").read_text().splitlines()
    assert lines[0] == "experiment,network,of,method,share,value,standard_error"
    points = len(image_removal.SHARES)
    assert len(lines) == 1 + 18 + points * (2 * 7 + 3 * 4 + 2 * 4)
    drawn = image_explained.read_drawn(results / "images.h5")
    assert drawn.explanations.shape == (4, 2, 10, 8, 8)
    assert drawn.stages.shape == (4, 2, 2, 8, 8)
    assert drawn.networks == image_paths.SHAPNETS
    _, plain = image_networks.load(results / "plain.pt")
    chosen = image_data.in_turns(image_data.read_images(IMAGES).test.labels)[:2]
    scores = plain(image_data.read_images(IMAGES).tested(chosen))
    np.testing.assert_allclose(drawn.explanations[0].sum(axis=(2, 3)), scores.detach(), atol=1e-4)


def test_figures_are_drawn(content, results, tmp_path):
    names = [*draw_images.CURVES, *draw_images.PICTURES]
    draw_images.main(
        numbers=results / "images.json",
        arrays=results / "images.h5",
        figures=[tmp_path / f"{name}.png" for name in names],
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        f"{name}.{end}" for name in names for end in ("png", "svg")
    )


def test_many_stages_and_colours_are_drawn(results):
    drawn = image_explained.read_drawn(results / "images.h5")
    wide = replace(
        drawn, images=drawn.images.repeat(3, 1), stages=np.zeros((4, 2, 15, 8, 8), np.float32)
    )
    with figure_style():
        figure = figures.draw_layers(wide)
        assert len(figure.axes) == 4 * 16 + 1
        figures.plt.close(figure)


def test_tables_for_documents(content):
    table = image_report.image_accuracies_table(content)
    assert "| comparable CNN |" in table
    flips = image_report.image_flips_table(content).splitlines()
    assert len(flips) == 2 + 3
    assert "9 → 1" in flips[2]


def decided(content):
    found = {one.claim: one.shows for one in image_claims.image_claims(content)}
    assert len(found) == len(image_claims.image_claims(content)) == 16
    return found


def test_claims_follow_the_numbers(content):
    found = decided(content)
    assert set(found.values()) <= {"yes", "no", "in part"}
    for sign, expected in ((1, "yes"), (-1, "no")):
        other = copy.deepcopy(content)
        for row in other["flips"]["rows"]:
            row.update(own_more=sign * 1.0, own_more_error=0.1)
        for row in other["removal"]["areas"]:
            of_own = row["method"] == "shapnet"
            row.update(difference=sign * (not of_own), difference_error=0.1)
            row["area"] = 0.5 if of_own else 0.5 + 0.1 * sign
        for row in other["pruning"]["areas"]:
            row.update(difference=-sign * 1.0, difference_error=0.1)
        for row in other["pruning"]["spared"]:
            row.update(difference=sign * 1.0, standard_error=0.1)
        for row in other["pruning"]["curves"]:
            row["value"] = 0.9 if row["share"] <= (0.7 if sign > 0 else 0.3) else 0.1
        for row in other["regularised"]["areas"]:
            row.update(difference=-sign * 1.0, difference_error=0.1)
        spread = {"plain": 1.0, "l1": 1 + sign, "l_infinity": 1 - 0.5 * sign}
        for row in other["concentration"]:
            value = spread.get(row["network"], 1.0)
            row.update(variation=value, sparsity=value, variation_error=0, sparsity_error=0)
        for row in other["accuracies"]:
            better = 0.97 if (row["network"] == "plain") == (sign > 0) else 0.9
            row.update(accuracy=better, standard_error=0.001)
        other["local_accuracy"]["largest_gap"] = 1e-6 if sign > 0 else 1.0
        assert set(decided(other).values()) == {expected}


def test_small_numbers_are_not_written_as_none(content):
    small = copy.deepcopy(content)
    for number, row in enumerate(small["pruning"]["areas"]):
        row["area"] = 1e-4 * (1 + number / 1000)
    for row in small["pruning"]["spared"]:
        row.update(difference=1.25e-4, standard_error=1.1e-5)
    said = {one.claim: one.measured for one in image_claims.image_claims(small)}
    plain = [row["area"] for row in small["pruning"]["areas"] if row["network"] == "plain"]
    told = said["pruning values of earlier stages hurts at least as much as of later ones"]
    found = [float(text) for text in told.partition(": ")[2].split(", ")]
    assert found == pytest.approx(plain, rel=1e-3)
    assert len(set(found)) == len(plain)
    assert (
        "shares 0.000125 ± 0.000011 less"
        in said["ℓ1 regularisation makes a network more robust to pruning"]
    )
