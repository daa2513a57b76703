"""Functions of studies and models for Python users say which arguments they accept."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.core.arguments import array, finite, one_of, real, whole
from pipeline.core.errors import InputError
from pipeline.models import fastshap, gradients, image_shapnets, shapnets, suffix, units
from pipeline.models.arguments import called
from pipeline.models.shapnet_games import coalition_values
from pipeline.shapley import bandit, pooled
from pipeline.shapley.agreement import agreement
from pipeline.shapley.games import table_game
from pipeline.shapley.methods import METHODS
from pipeline.studies.baselines import areas, effective, estimates, integrated, quality, theorems
from pipeline.studies.baselines.proportional import effective_counts, most_probable, proportions
from pipeline.studies.neurons.removal import largest_first
from pipeline.studies.neurons.values import values_of
from pipeline.studies.shapnets.distance import distances, kernel_shap, non_additive
from pipeline.studies.shapnets.explained import subject_of
from pipeline.studies.shapnets.image_attributions import Explainer
from pipeline.studies.shapnets.image_flips import removed

NAN, RNG = float("nan"), np.random.default_rng(0)


class Sequences(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(x).mean(dim=1)


def spoiled(model):
    found = copy.deepcopy(model)
    with torch.no_grad():
        for each in found.parameters():
            each.fill_(NAN)
    return found


torch.manual_seed(0)
FEATURES, TARGETS = torch.zeros(2, 5, 4), torch.tensor([0, 1])
SEQUENCES = {"module": Sequences(), "features": FEATURES, "target_classes": TARGETS}
PICTURE, AREAS = torch.rand(1, 4, 4), areas.square_areas(4, 4, 2)
MODEL = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
PLAYED = {"scores": MODEL, "picture": PICTURE, "areas": AREAS}
SAMPLED = PLAYED | {"sampled": [np.zeros(1, np.uint64)] * 4}
GAME = table_game(RNG.normal(size=8))
CNN = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).eval()
IMAGES = torch.rand(5, 1, 4, 4)
SITES = units.find_sites(CNN, IMAGES)
INSTEAD = units.replacement(CNN, SITES, IMAGES)
MASKED = units.Masked(CNN, SITES, INSTEAD)
RESAMPLED = units.Masked(CNN, SITES, units.replacement(CNN, SITES, IMAGES, "resample"))
WALKS = {"masked": MASKED, "images": IMAGES, "orders": np.stack([np.arange(2)] * 5)}
WALKS |= {"say": lambda scores, _: scores}
VALUES, ORDERS = RNG.random((2, 2, 4)), np.tile(np.arange(3), (2, 2, 1))
POOLED = {"values": VALUES, "orders": ORDERS, "weights": np.full(2, 0.5)}
PAIRS = np.stack([pooled.pairs_of(0, np.arange(2), r, 4, 3) for r in range(2)], axis=1)
REGRESSED = {"coalitions": PAIRS, "values": RNG.random((2, 2, 8)), "weights": np.full(2, 0.5)}
REGRESSED |= {"nobody": np.zeros(2), "everybody": np.ones(2)}
SOUGHT = {"n_players": 3, "k": 1, "epsilon": 0.1, "delta": 0.1}
COMPARED = SOUGHT | {"values": lambda _, there: there[:, 0] * 1.0, "n_instances": 2, "most": 4000}
TMAB = SOUGHT | {"iterations": [(np.arange(3), np.arange(4.0))] * 3}
ROWS, REFERENCES = torch.rand(5, 4), torch.zeros(4)
NET = shapnets.deep(4, [2, 1], [[3], [3]])
IMAGE_NET = image_shapnets.ImageShapNet(1, [2, 3], [1, 1])
TRAINED = {"network": nn.Linear(4, 2), "features": ROWS, "references": REFERENCES}
TRAINED |= {"n_outputs": 2, "steps": 1, "hidden": 3, "seed": 0}
RATIOS = {"estimated": RNG.random((2, 4, 3)), "exact": RNG.random((2, 3))}
RATIOS |= {"is_null": np.zeros(3, bool)}
DRAWN = {"effective": [1, 2], "population": [4, 4], "drawn": [2, 2]}
CONNECTED = {"network": nn.Linear(3, 1), "membership": torch.zeros(2, 3), "player": 1}
EFFECTIVE = {"game": GAME, "per_size": 2, "n_kept": 4}


def walked(**given):
    return pooled.until(
        lambda _: pooled.PooledEstimate(np.zeros(2), *np.full((2, 2), NAN)), **given
    )


def deleted(**given):
    return removed(IMAGES, **given)


def looked_up(masks):
    return GAME(masks)


REFUSED = [
    (gradients.integrated_gradients, SEQUENCES | {"baseline": torch.zeros(4)}, [
        ({"features": "x"}, "features: of type str; real numbers are needed"),
        ({"features": FEATURES.double()}, "the model .Sequences. does not take features of shape"),
        ({"target_classes": None}, "target classes: of type NoneType"),
        ({"module": spoiled(Sequences())}, "the module's scores hold NaN or Inf"),
        ({"module": lambda x: x}, "module: a function; a Module is needed; wrap"),
        ({"module": nn.Linear(4, 3)}, r"scores of shape \(1, 5, 3\) for one sequence"),
        ({"steps": 2.5}, "steps 2.5: must be at least 1, a whole number"),
    ]),
    (gradients.gradcam, SEQUENCES, [({"internal_batch": "8"}, "internal_batch '8': must be")]),
    (gradients.baseline_features, {"kind": "mean", "rows": ROWS}, [
        ({"rows": ROWS / 0}, "the rows hold NaN or Inf"),
        ({"rows": ROWS.long()}, r"rows of shape \(5, 4\), torch.int64"),
    ]),
    (integrated.integrated_gradients, {k: PLAYED[k] for k in ("scores", "picture")}
     | {"baselines": torch.zeros(1, 1, 4, 4)}, [
        ({"picture": "a.png"}, "picture: of type str"),
        ({"picture": PICTURE.double()}, "does not take pictures of shape"),
        ({"scores": spoiled(MODEL)}, "the model's scores hold NaN"),
        ({"scores": lambda x: x.detach().numpy()}, "gives a ndarray; a tensor is needed"),
        ({"scores": lambda x: x.flatten(1).sqrt(), "picture": PICTURE * 0, "steps": 1},
         "the gradients of the model's scores hold NaN"),
        ({"baselines": None}, "baselines: of type NoneType"),
        ({"target": 0.5}, "output 0.5: must be at least 0"),
    ]),
    (integrated.shapley_integrated_gradients, SAMPLED, [
        ({"scores": None}, "the model is of type NoneType"),
        ({"areas": AREAS + 2**60}, "and have 16 features"),
        ({"sampled": None}, "coalitions: is a NoneType"),
        ({"baseline": "zero"}, "the baseline: of type str"),
    ]),
    (integrated.baseline_pictures, {"kind": "random", "pictures": torch.rand(3, 1, 4, 4)}, [
        ({"seed": 1.5}, "seed 1.5"), ({"count": 1.5}, "random baselines 1.5: must be from 1 to 3"),
        ({"pictures": torch.full((3, 4), NAN)}, "pictures hold NaN"),
    ]),
    (areas.picture_game, PLAYED, [
        ({"scores": spoiled(MODEL)}, "scores hold NaN"), ({"batch_size": 1.5}, "batch size 1.5"),
        ({"outputs": 2}, "outputs 2: give a list of names"),
    ]),
    (areas.as_membership, {"masks": [1], "n_players": 4}, [
        ({"masks": [[1], [1, 2]]}, "coalitions: not an"), ({"n_players": -3}, "n_players -3"),
    ]),
    (effective.effective_shapley, EFFECTIVE, [
        ({"game": np.zeros(8)}, "the game is of type ndarray; .*table_game makes a game"),
        ({"n_kept": 1.5}, "n_kept 1.5"), ({"seed": None}, "seed None"), ({"bins": 2.5}, "bins 2.5"),
        ({"tolerance": "a"}, "tolerance 'a': must be a number"), ({"output": 0.5}, "output 0.5"),
    ]),
    (quality.ratio_agreement, {"estimated": np.ones(3), "exact": np.ones(3)}, [
        ({"exact": "a"}, "exact: of type str"), ({"estimated": [[1], [1, 2]]}, "estimated: not an"),
        ({"exact": np.ones(3) * 1j}, "exact: of type complex128"),
    ]),
    (quality.normalised, {"values": np.ones(3)}, [({"axis": 5}, "axis 5: must be from -1 to 0")]),
    (quality.curves, {"game": GAME, "values": np.ones(3)}, [({"game": None}, "type NoneType")]),
    (estimates.sampled_both_ways, EFFECTIVE | {"tolerance": 0.0, "bins": None}, [
        ({"seed": "a"}, "seed 'a'"),
    ]),
    (estimates.estimates, {"game": GAME, "sampled": {}, "seed": 0}, [
        ({}, "sampled: is no result of sampled_both_ways for a game of 3 players"),
    ]),
    (estimates.errors, RATIOS, [
        ({"exact": RATIOS["exact"][:1]}, r"exact of \(1, 3\)"), ({"is_null": np.zeros(3)}, "bool"),
        ({"estimated": RATIOS["estimated"] * NAN}, "estimated: .* with NaN or Inf"),
    ]),
    (effective_counts, {"table": np.zeros(8)}, [
        ({"table": np.full(8, NAN)}, "NaN"), ({"table": "abcdefgh"}, "the table: of type str"),
        ({"tolerance": NAN}, "tolerance nan"),
    ]),
    (proportions, DRAWN | {"population": 4, "simulations": 9, "seed": 0}, [
        ({"drawn": 2}, "drawn 2: give a list"), ({"effective": [1.5]}, "effective 1.5"),
        ({"simulations": 1.5}, "repeats 1.5"), ({"seed": -1}, "seed -1"),
    ]),
    (most_probable, DRAWN | {"population": 4, "size": 2}, [({"size": -1}, "size -1")]),
    (theorems.printed_count, DRAWN, [({"effective": "ab"}, "effective 'ab': give a list")]),
    (theorems.simulated_frequency, DRAWN | {"repeats": 9}, [
        ({"population": [2**70, 4]}, "numpy draws from at most 999999999"),
    ]),
    (theorems.connection, CONNECTED, [
        ({"membership": torch.zeros(2, 5)}, "does not take membership"),
        ({"output": 5}, "output 5"),
        ({"network": lambda x: torch.zeros(len(x), 1)}, "do not depend on membership"),
        ({"network": spoiled(nn.Linear(3, 1))}, "the network's values hold NaN"),
    ]),
    (METHODS["permutation"].estimate, {"game": GAME, "budget": 8}, [
        ({"game": lambda c: c}, "the game is of type function"), ({"seed": -1}, "seed -1"),
        ({"budget": 7.5}, "budget 7.5"), ({"tolerance": "a"}, "tolerance 'a'"),
    ]),
    (looked_up, {}, [({"masks": [9]}, "masks from 0 to 7 is needed")]),
    (pooled.orders_of, {"seed": 0, "instances": np.arange(2), "number": 0, "n": 3}, [
        ({"seed": 1.5}, "seed 1.5"), ({"instances": [-1]}, "counted from 0"), ({"n": 0}, "n 0"),
    ]),
    (pooled.from_walks, POOLED, [
        ({"orders": ORDERS * 0}, "each player, .* once in a row"),
        ({"orders": ORDERS - 1}, "once in a row"), ({"weights": [NAN, 1]}, "weights: .* NaN"),
        ({"values": VALUES[:, :0]}, "each at least 1"),
    ]),
    (pooled.regress, REGRESSED, [
        ({"coalitions": PAIRS[:1]}, r"coalitions of shape \(1, 2, 8, 3\)"),
        ({"coalitions": PAIRS & False}, "the empty or the full one is among them"),
        ({"nobody": 0.0}, r"nobody of shape \(\)"), ({"everybody": [NAN, 1]}, "everybody: .* NaN"),
    ]),
    (walked, {"tolerance": 0.5}, [({}, "standard errors of 2 rounds are NaN")]),
    (bandit.tmab, TMAB, [
        ({"epsilon": NAN}, "epsilon nan"), ({"delta": 0}, "delta 0"), ({"k": 1.5}, "k 1.5"),
        ({"iterations": []}, "no iterations"), ({"iterations": [1, 2]}, "pairs of arrays"),
        ({"iterations": [(np.zeros(3, int), np.zeros(4))]}, "each of 3 players once"),
    ]),
    (bandit.compared, COMPARED, [
        ({"values": lambda _, there: 10.0 * there[:, 0]}, "marginal contributions are 10 apart"),
        ({"values": lambda _, there: np.full(len(there), NAN)}, "the values: .* NaN"),
        ({"batch": 0}, "batch 0"), ({"spread": 0}, "spread 0"), ({"bound": "x"}, "bound 'x'"),
        ({"before": 3}, "start without before"),
    ]),
    (agreement, {"estimated": np.ones(3), "exact": np.ones(3)}, [
        ({"exact": np.ones(2)}, "cannot be broadcast"), ({"axis": 7}, "axis 7"),
    ]),
    (units.find_sites, {"network": CNN, "example": IMAGES}, [
        ({"network": None}, "network: a NoneType; a Module is needed"), ({"kind": "x"}, "kind 'x'"),
        ({"example": IMAGES / 0}, "the images hold NaN"),
        ({"modules": "0"}, "give a list of names"),
    ]),
    (units.replacement, {"network": CNN, "sites": SITES, "references": IMAGES}, [
        ({"sites": (units.Site("nope", 2, "filters"),)}, "has no module 'nope'"),
        ({"sites": ["0"]}, "sites: a str; a Site is needed"), ({"absent": "x"}, "absent 'x'"),
        ({"references": IMAGES[:0]}, "of at least one needed"),
        ({"network": spoiled(CNN)}, "the outputs of 0 hold NaN"),
    ]),
    (units.Masked, {"network": CNN, "sites": SITES, "replaced_by": INSTEAD}, [
        ({"replaced_by": units.Replacement("mean", {})}, "holds nothing for the 2 units of 0"),
        ({"sites": ()}, "sites: none are given"),
    ]),
    (RESAMPLED, {"images": IMAGES, "present": torch.zeros(5, 2).bool()}, [
        ({"references": torch.full((5,), 9)}, "a reference image, 0 to 4, is needed"),
        ({}, "give the reference image of each sample"),
    ]),
    (suffix.suffixes_of, {"network": CNN, "sites": SITES, "image": IMAGES[:1]}, [
        ({"image": IMAGES.double()}, "does not take images"),
    ]),
    (suffix.walks, WALKS, [
        ({"masked": CNN}, "masked: a Sequential; a Masked is needed"),
        ({"orders": np.zeros((5, 2))}, "each row must name players by number"),
        ({"say": lambda scores, _: scores[:1]}, "say gives .1, 3. for"),
        ({"masked": RESAMPLED}, "give the reference image"),
    ]),
    (shapnets.deep, {"n_players": 4, "widths": [2, 1], "hidden": [[3], [3]]}, [
        ({"n_players": "a"}, "n_players 'a'"), ({"widths": 2}, "widths 2: give a list"),
        ({"widths": [0, 1]}, "widths 0"), ({"hidden": [3, 3]}, "hidden layers 3: give a list"),
    ]),
    (NET, {}, [({"features": ROWS.double()}, "the network is torch.float32 on cpu; bring one")]),
    (NET.pruned, {"features": ROWS, "threshold": 0.0}, [
        ({"features": ROWS * NAN}, "features hold NaN"), ({"threshold": -1}, "threshold -1"),
    ]),
    (shapnets.from_state, {}, [({"state": "a.pt"}, "a str: this is no state of a network")]),
    (coalition_values, {"network": NET, "features": ROWS[0]}, [
        ({"network": nn.Linear(4, 1)}, "a Linear; a ShapNet is needed"),
        ({"features": ROWS}, r"\(4,\) are needed"),
    ]),
    (image_shapnets.ImageShapNet, {"channels": 1, "widths": [2], "dilations": [1]}, [
        ({"channels": "a"}, "channels 'a'"), ({"window": (2,)}, r"give \(height, width\)"),
        ({"widths": 3}, "widths 3: give a list"),
    ]),
    (IMAGE_NET.pruned, {"images": IMAGES, "threshold": 0.0}, [
        ({"images": IMAGES / 0}, "images hold NaN"), ({"images": IMAGES[:0]}, "no images"),
    ]),
    (fastshap.train, TRAINED, [
        ({"network": None}, "the model is of type NoneType"), ({"seed": 1.5}, "seed 1.5"),
        ({"features": ROWS.long()}, "floats are needed"), ({"batch": 1.5}, "batch 1.5"),
        ({"references": REFERENCES.double()}, "references are torch.float64"),
    ]),
    (distances, {"exact": np.ones((4, 2)), "found": np.ones((4, 2)), "scores": np.ones(2)}, [
        ({"found": np.ones((2, 2))}, r"found of \(2, 2\)"),
        ({"scores": [NAN, 1]}, "scores: .* NaN"),
    ]),
    (kernel_shap, {"game": GAME, "samples": 9, "seed": 0}, [({"samples": 0}, "samples 0")]),
    (non_additive, {}, [({"table": np.ones((7, 2))}, r"table of shape \(7, 2\)")]),
    (subject_of, {"name": "a"}, [({"network": nn.ReLU()}, "ReLU are not those of a linear")]),
    (Explainer(IMAGE_NET, IMAGES, 3).attributions, {"method": "shapnet", "images": IMAGES}, [
        ({"method": "x", "targets": [0] * 5}, "method 'x': must be one of"),
        ({"targets": [9] * 5}, "a class from 0 to 2"),
    ]),
    (deleted, {"importance": torch.ones(5, 4, 4), "most": 3}, [
        ({"importance": torch.full((5, 4, 4), NAN)}, "importance hold NaN"), ({"most": -1}, "most"),
    ]),
    (largest_first, {}, [({"scores": [NAN, 1.0]}, "scores: .* NaN"), ({"scores": "a"}, "str")]),
    (values_of, {"coalitions": PAIRS, "said": np.zeros((2, 2, 8, 3)), "players": "abc"}, [
        ({"metrics": [], "targets": None}, "3 players and 0 metrics"),
    ]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        pytest.param(
            function, usual | changed, message, id=f"{getattr(function, '__name__', '')} {message}"
        )
        for function, usual, changes in REFUSED
        for changed, message in changes
    ],
)
def test_unusable_arguments_are_named(function, given, message):
    with pytest.raises(InputError, match=message):
        function(**given)


def test_arrays_and_lists_are_taken_for_tensors():
    given = {**SEQUENCES, "features": FEATURES.numpy().astype(float), "target_classes": [0, 1]}
    found = gradients.integrated_gradients(**given, baseline=np.zeros(4))
    assert found.values.shape == (2, 5)
    sampled = [[0], [], [0], [0]]
    by_list = integrated.shapley_integrated_gradients(
        MODEL, PICTURE.numpy(), AREAS.tolist(), sampled, baseline=0.5
    )
    assert by_list.values.shape == PICTURE.shape
    assert torch.equal(MASKED(IMAGES.numpy(), np.ones((5, 2), bool)), CNN(IMAGES))
    assert torch.equal(NET(ROWS.numpy()), NET(ROWS))
    explainer = fastshap.train(**TRAINED | {"features": ROWS.numpy(), "references": [0.0] * 4})
    with pytest.raises(InputError, match="explainer: a Linear; a Explainer is needed"):
        fastshap.explain(nn.Linear(4, 2), TRAINED["network"], ROWS, REFERENCES)
    told = fastshap.explain(explainer, TRAINED["network"], ROWS.numpy(), np.zeros(4))
    assert told.values.shape == (5, 4, 2)
    assert np.isnan(effective.ratios([NAN, 1])).all()
    np.testing.assert_array_equal(largest_first(np.array([0, 2, 1], np.uint8)), [1, 2, 0])


def test_which_types_count_as_numbers():
    assert [whole("n", each) for each in (3, np.uint64(3), torch.tensor(3))] == [3, 3, 3]
    assert real("x", np.float32(0.5)) == 0.5
    assert array("x", [True, False]).shape == (2,)
    for refused in (True, 2.0, None, "3", [3]):
        with pytest.raises(InputError, match="must be at least 1, a whole number"):
            whole("n", refused)
    for refused in (True, None, "3", [1.0, 2.0], NAN):
        with pytest.raises(InputError, match="must be a number at least 0"):
            real("x", refused, least=0)
    with pytest.raises(InputError, match="must be one of"):
        one_of("kind", ["zero"], gradients.BaselineKind)
    with pytest.raises(InputError, match="with NaN or Inf"):
        finite("x", [np.inf])


def test_too_little_memory_is_not_blamed_on_the_inputs():
    def full(inputs):
        raise torch.OutOfMemoryError("no memory")

    with pytest.raises(torch.OutOfMemoryError):
        called(full, torch.zeros(1))
