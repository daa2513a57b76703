"""Unusable pictures and networks are refused; other kinds of pictures and networks work."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import stages
import torch
import yaml
from PIL import Image
from tiny import OVERRIDES, defaults, merged

from pipeline.core.errors import InputError
from pipeline.data import pictures as datasets
from pipeline.models import checkpoints
from pipeline.models import pictures as networks
from pipeline.store import open_store
from pipeline.studies.baselines import attribution_files, chosen, explained, resnets
from pipeline.studies.baselines.params import (
    MOST_PLAYERS,
    SIDES,
    Params,
    PictureSourceParams,
)
from pipeline.studies.baselines.paths import SIZES
from pipeline.studies.baselines.picture_networks import read_embedding
from pipeline.workflow.params import read_config

TINY = merged(defaults(), {**OVERRIDES, "studies": ["baselines"]})


def params(**sections):
    return Params.model_validate(merged(TINY["baselines"], sections))


def read(**sections):
    return read_config(merged(TINY, {"baselines": sections}))


def write_pictures(root, split, classes, count=2, size=(8, 8)):
    """Coloured pictures in files; classes differ in their pixels."""
    rng = np.random.default_rng(len(split))
    for name in classes:
        folder = root / split / name
        folder.mkdir(parents=True)
        for number in range(count):
            array = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(array).save(folder / f"{number}.png")


@pytest.fixture
def files(tmp_path):
    for split in ("train", "test"):
        write_pictures(tmp_path / "files", split, ("cat", "dog"))
    return tmp_path / "files"


def of_files(root, **pictures):
    return {"source": "folder", "root": str(root), "size": None, "area": 4, **pictures}


def train(stage, root, of):
    stages.run(
        f"baselines_{stage}",
        pictures=of.pictures,
        params=getattr(of, stage),
        out=root / "network.pt",
        numbers=root / "network.json",
        device="cpu",
    )
    return json.loads((root / "network.json").read_text())


def given(root, of):
    weights = [root / "network.pt"]
    return {"weights": weights, "coalitions": of.coalitions, "pictures": of.pictures}


# Before anything runs


@pytest.mark.parametrize(
    ("pictures", "n_players", "fitting"),
    [
        ({"area": 1}, "64 players", "2 to 7"),
        ({"area": 8}, "1 player;", "2 to 7"),
        ({"area": 9}, "1 player;", "2 to 7"),
        ({"size": 240, "area": 59}, "25 players", "60 to 239"),
        ({"size": 4, "area": 4}, "1 player;", "1 to 3"),
        ({"source": "mnist", "area": 2}, "196 players", "7 to 27"),
        ({"source": "cifar10", "area": 7}, "25 players", "8 to 31"),
    ],
)
def test_areas_that_cannot_be_played_are_refused_early(tmp_path, pictures, n_players, fitting):
    given = {"root": str(tmp_path), **pictures}
    with pytest.raises(
        InputError,
        match=f"baselines.pictures.area: {pictures['area']}: .*{n_players}.*2 to 20.*{fitting}",
    ):
        read(pictures=given)
    # Parameters of a study that is not listed are accepted.
    read_config({**merged(TINY, {"baselines": {"pictures": given}}), "studies": ["frames"]})
    first, last = map(int, fitting.split(" to "))
    for area, fits in ((first - 1, False), (first, True), (last, True), (last + 1, False)):
        if area == 0:
            continue
        if fits:
            assert read(pictures={**given, "area": area}).baselines.pictures.area == area
        else:
            with pytest.raises(InputError, match=r"baselines\.pictures\.area"):
                read(pictures={**given, "area": area})


def test_areas_that_do_not_fit_files_are_refused_when_the_files_are_read(tmp_path, files):
    assert read(pictures=of_files(files, area=1)).baselines.pictures.side is None
    networks.save(tmp_path / "network.pt", networks.PictureClassifier(3, 2, 2, 2))
    for area, found in ((1, "64 players"), (8, "1 player;")):
        of = params(pictures=of_files(files, area=area), coalitions={"explained": 2})
        with pytest.raises(
            InputError,
            match=f"baselines.pictures.area: {area}: .*8 × 8 are {found}.*area to 2 to 7",
        ):
            stages.plan(tmp_path, "baselines", "classifier", **given(tmp_path, of))
    assert not stages.stored(tmp_path, "baselines", "classifier").exists()


def test_pictures_that_no_area_fits_are_refused():
    of = params(pictures={"area": 1}).pictures
    with pytest.raises(InputError, match=r"1 × 1 are 1 player; .* no area fits"):
        of.check_areas(1, 1)
    of.check_areas(1, 2)
    of.check_areas(4, 5)
    with pytest.raises(InputError, match="21 players"):
        of.check_areas(3, 7)


def test_known_sizes_and_counts_are_those_of_the_pictures(tmp_path):
    for split, count in SIZES["digits"].items():
        found = datasets.digits(split)
        assert found.pixels.shape[2:] == (SIDES["digits"], SIDES["digits"])
        assert len(found.labels) == count
    assert SIDES["cifar10"] == datasets.CIFAR10_SIDE
    assert params(pictures={"size": 12}).pictures.side == 12
    assert chosen.players_of(datasets.digits("test"), params().pictures).max() < MOST_PLAYERS


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (
            {"coalitions": {"explained": 181}},
            r"baselines.coalitions.explained: 181 .* test split of digits has 180",
        ),
        (
            {"attributions": {"random_baselines": 1259}},
            r"baselines.attributions.random_baselines: 1259 .*, and 1258 .*give at most 1258$",
        ),
        (
            {"pictures": {"train": 5}, "attributions": {"random_baselines": 6}},
            r"attributions.random_baselines: 6 .*, and 5 .*at most 5, or a larger .*pictures.train",
        ),
    ],
)
def test_more_pictures_than_there_are_are_refused_early(sections, message):
    with pytest.raises(InputError, match=message):
        read(**sections)


def test_more_pictures_than_a_folder_has_are_refused_early(tmp_path):
    for split, count in (("train", 3), ("test", 2)):
        write_pictures(tmp_path, split, "ab", count=count)
    (tmp_path / "train" / "a" / "notes.txt").touch()
    of = {"source": "folder", "root": str(tmp_path), "area": 4}
    random = {"random_baselines": 6}
    read(pictures=of, coalitions={"explained": 4}, attributions=random)
    with pytest.raises(
        InputError, match=rf"coalitions.explained: 5 pictures; {tmp_path}/test/<class>/ has 4"
    ):
        read(pictures=of, coalitions={"explained": 5}, attributions=random)
    with pytest.raises(
        InputError, match=r"random_baselines: 7 .* 6 of these are read; give at most 6$"
    ):
        read(pictures=of, coalitions={"explained": 4}, attributions={"random_baselines": 7})
    shutil.rmtree(tmp_path / "test")
    with pytest.raises(
        InputError, match=rf"coalitions.explained: 4 pictures; {tmp_path}/test/<class>/ has 0"
    ):
        read(pictures=of, coalitions={"explained": 4}, attributions=random)


def test_as_many_pictures_as_there_are_can_be_asked_for():
    found = read(coalitions={"explained": 180}, attributions={"random_baselines": 1258}).baselines
    assert (found.coalitions.explained, found.attributions.random_baselines) == (180, 1258)
    found = read(pictures={"train": 5}, attributions={"random_baselines": 5}).baselines
    assert (found.pictures.train, found.attributions.random_baselines) == (5, 5)


def test_the_presets_can_be_explained(tmp_path):
    preset = yaml.safe_load(Path("presets/paper.yaml").read_text())["baselines"]
    content = merged(TINY["baselines"], preset)
    for split in ("train", "test"):
        (tmp_path / split / "class").mkdir(parents=True)
        for number in range(content["coalitions"]["explained"]):
            (tmp_path / split / "class" / f"{number}.png").touch()
    found = read(**merged(content, {"pictures": {"root": str(tmp_path)}})).baselines
    assert found.pictures.side % found.pictures.area == 0
    found.pictures.check_areas(found.pictures.side, found.pictures.side)


# The two splits


@pytest.mark.parametrize("stage", ["classifier", "embedding"])
def test_splits_that_do_not_go_together_are_refused_before_training(tmp_path, stage, monkeypatch):
    def trained(*_args, **_kwargs):
        raise AssertionError("is trained")

    monkeypatch.setattr(networks, "train_classifier", trained)
    monkeypatch.setattr(networks, "train_embedding", trained)
    root = tmp_path / "files"
    write_pictures(root, "train", ("cat", "dog"))
    write_pictures(root, "test", ("cat", "dog"), size=(8, 9))
    with pytest.raises(
        InputError,
        match=r"train have 8 × 8 pixels, those of test 8 × 9; set baselines\.pictures\.size",
    ):
        train(stage, tmp_path, params(pictures=of_files(root)))
    with pytest.raises(AssertionError, match="is trained"):
        train(stage, tmp_path, params(pictures=of_files(root, size=8)))
    write_pictures(root, "test", ("emu",))
    with pytest.raises(InputError, match="train and test have different classes: emu"):
        train(stage, tmp_path, params(pictures=of_files(root, size=8)))


@pytest.mark.parametrize("stage", ["classifier", "embedding"])
def test_networks_are_trained_on_so_many_pictures_and_know_no_areas(tmp_path, stage):
    of = params(pictures={"train": 40})
    source = of.pictures.model_dump(exclude={"area"})
    few = of.model_copy(update={"pictures": PictureSourceParams(**source)})
    found = train(stage, tmp_path, few)
    assert (found["training_pictures"], found["test_pictures"]) == (40, SIZES["digits"]["test"])
    assert found["architecture"] == "small"
    first = (tmp_path / "network.pt").read_bytes()
    train(stage, tmp_path, params(pictures={"train": 40, "area": 7}))
    assert (tmp_path / "network.pt").read_bytes() == first
    train(stage, tmp_path, params(pictures={"train": 41}))
    assert (tmp_path / "network.pt").read_bytes() != first


def test_means_are_those_of_the_pictures_that_are_read(tmp_path):
    of = params(pictures={"train": 30}, coalitions={"absent": "mean"})
    networks.save(tmp_path / "network.pt", networks.PictureClassifier(1, 10, 2, 2))
    found = explained.read_explained(
        "classifier", tmp_path / "network.pt", of.pictures, of.coalitions, torch.device("cpu")
    )
    expected = datasets.digits("train", most=30).pixels.mean(axis=0)
    np.testing.assert_allclose(found.absent, expected, atol=1e-6)
    assert not np.allclose(expected, datasets.digits("train").pixels.mean(axis=0), atol=1e-3)
    assert len(found.pictures) == 3


# Residual networks


def resnet_file(path, n_outputs, seed=0):
    torch.manual_seed(seed)
    network = resnets.Resnet("resnet18", n_outputs).eval()
    torch.save(network.trunk.state_dict(), path)
    return network


def of_resnet(files, path, **pictures):
    resnet = {"architecture": "resnet18", "weights": str(path)}
    return params(
        pictures=of_files(files, size=16, area=8, **pictures),
        classifier=resnet,
        embedding=resnet,
        coalitions={"explained": 2},
        attributions={"random_baselines": 1, "steps": 2, "plain_steps": 2},
    )


def test_a_resnet_of_other_classes_is_refused_but_for_imagenets(tmp_path, files, monkeypatch):
    five = resnet_file(tmp_path / "five.pth", 5)
    of = of_resnet(files, tmp_path / "five.pth")
    with pytest.raises(
        InputError,
        match=r"five.pth: has 5 classes; .* have 2.*baselines.classifier.weights",
    ):
        train("classifier", tmp_path, of)
    assert not (tmp_path / "network.pt").exists()
    monkeypatch.setattr(resnets, "_imagenet", lambda *_: five.trunk.state_dict())
    of = of_resnet(files, "imagenet")
    assert train("classifier", tmp_path, of)["test_accuracy"] is None


@pytest.fixture
def embedded(tmp_path, files):
    """The stage's checkpoint of a ResNet as an embedding, and its network."""
    network = resnet_file(tmp_path / "given.pth", 5)
    of = of_resnet(files, tmp_path / "given.pth")
    return network, of, train("embedding", tmp_path, of)


def features_of(network, pictures):
    """The input of the last layer of torchvision's network, scaled to length 1."""
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    seen = []
    hook = network.trunk.fc.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    with torch.no_grad():
        network.trunk((pictures.expand(-1, 3, -1, -1) - mean) / std)
    hook.remove()
    return seen[0] / seen[0].square().sum(dim=1, keepdim=True).sqrt()


def test_a_resnet_is_an_embedding(tmp_path, files, embedded):
    network, of, numbers = embedded
    assert (numbers["architecture"], numbers["outputs"]) == ("resnet18", 512)
    assert numbers["test_triplet_accuracy"] in (0, 0.25, 0.5, 0.75, 1)
    test = chosen.load_pictures(of.pictures, "test")
    found = read_embedding(tmp_path / "network.pt", test)
    assert not found.training
    shown = torch.from_numpy(test.pixels)
    for pictures in (shown, shown[:, :1]):
        with torch.no_grad():
            torch.testing.assert_close(found(pictures), features_of(network, pictures))
    # Torchvision's layout, with or without a last layer, and the stage's own give the same.
    body = {k: v for k, v in network.trunk.state_dict().items() if not k.startswith("fc.")}
    torch.save(body, tmp_path / "body.pth")
    resnets.save(tmp_path / "resnet.pt", network)
    (tmp_path / "again").mkdir()
    made = (tmp_path / "network.pt").read_bytes()
    for name in ("body.pth", "resnet.pt", "network.pt"):
        train("embedding", tmp_path / "again", of_resnet(files, tmp_path / name))
        assert (tmp_path / "again/network.pt").read_bytes() == made


def test_distances_of_a_resnet_are_explained(tmp_path, embedded):
    network, of, _ = embedded
    stages.plan(tmp_path, "baselines", "distance", **given(tmp_path, of))
    stages.evaluate(tmp_path, "baselines", "distance", **given(tmp_path, of))
    stored = open_store(stages.stored(tmp_path, "baselines", "distance"))
    assert stored.record.specification["network"] == {
        "kind": "ResnetEmbedding",
        "architecture": "resnet18",
    }
    pixels = torch.from_numpy(chosen.load_pictures(of.pictures, "test").pixels)
    for i, name in enumerate(stored.instances):
        first, second = (pixels[int(part.removeprefix("test-"))] for part in name.split("_"))
        shown = torch.stack([first, torch.zeros_like(first), second])
        whole, empty, other = features_of(network, shown).double()
        for mask, vector in ((0, empty), (15, whole)):
            expected = float((vector - other).square().sum())
            assert stored.read(i)[mask, 0] == pytest.approx(expected, abs=1e-5)
    out = tmp_path / "attributions.h5"
    stages.run(
        "baselines_attributions",
        tmp_path,
        pictured="distance",
        weights=tmp_path / "network.pt",
        receipt=tmp_path / "receipt_distance.json",
        pictures=of.pictures,
        coalitions=of.coalitions,
        params=of.attributions,
        out=out,
        device="cpu",
    )
    found = attribution_files.read_attributions(out)
    assert (np.abs(found.of_areas("exact")).sum(axis=2) > 0).all()


def test_unusable_embeddings_are_refused(tmp_path, files, embedded, monkeypatch):
    own = tmp_path / "network.pt"
    with pytest.raises(InputError, match="does not fit a ResNet"):
        resnets.given_embedding("resnet50", str(own))
    with pytest.raises(
        InputError,
        match="is the checkpoint of a ResnetEmbedding, not of a resnet18",
    ):
        resnets.given("resnet18", str(own))
    with pytest.raises(InputError, match=r"is no checkpoint of a Resnet$"):
        resnets.load(own)
    networks.save(tmp_path / "small.pt", networks.PictureEmbedding(3, 2, 2, 2))
    with pytest.raises(InputError, match="checkpoint of a PictureEmbedding, not of a"):
        resnets.given_embedding("resnet18", str(tmp_path / "small.pt"))
    with pytest.raises(InputError, match="no checkpoint of a ResnetEmbedding"):
        resnets.load_embedding(tmp_path / "small.pt")
    checkpoints.save(tmp_path / "none.pt", torch.nn.Identity(), {"network": "ResnetEmbedding"})
    with pytest.raises(InputError, match="no checkpoint of a ResnetEmbedding"):
        resnets.load_embedding(tmp_path / "none.pt")
    # The small architecture takes only its own checkpoints.
    of = params(pictures=of_files(files), embedding={"weights": str(own)})
    with pytest.raises(
        InputError, match="checkpoint of a ResnetEmbedding; a PictureEmbedding is needed"
    ):
        train("embedding", tmp_path, of)

    def fails(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fails)
    for stage, given in (
        ("classifier", resnets.given),
        ("embedding", resnets.given_embedding),
    ):
        with pytest.raises(
            InputError, match=f"baselines.{stage}.weights: imagenet: .*resnet18.*no route to host"
        ):
            given("resnet18", "imagenet")
