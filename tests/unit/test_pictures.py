"""Pictures from disk, and the networks that are trained on them."""

import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from mnist import write_idx, write_mnist
from PIL import Image
from sklearn.datasets import load_digits

from pipeline.core.errors import InputError
from pipeline.data import pictures
from pipeline.models import pictures as networks


def check(record, shape, n_classes):
    assert record.pixels.shape == shape
    assert record.pixels.dtype == np.float32
    assert 0 <= record.pixels.min() <= record.pixels.max() <= 1
    assert record.labels.dtype == np.int64
    assert record.labels.shape == shape[:1]
    assert len(record.classes) == n_classes


def test_digits_come_in_disjoint_splits():
    parts = [pictures.digits(split) for split in ("train", "validation", "test")]
    for part in parts:
        check(part, (len(part.labels), 1, 8, 8), 10)
        assert part.pixels.max() == 1
        assert set(part.labels) == set(range(10))
    assert sum(len(part.labels) for part in parts) == 1797
    images, numbers = load_digits(return_X_y=True)
    expected = sorted((*row, label) for row, label in zip(images / 16, numbers, strict=True))
    found = sorted(
        (*row.ravel().astype(float), label)
        for part in parts
        for row, label in zip(part.pixels, part.labels, strict=True)
    )
    assert found == expected
    with pytest.raises(
        InputError, match="split 'all' does not exist; choose one of train, validation, test"
    ):
        pictures.digits("all")


@pytest.fixture
def mnist_root(tmp_path):
    return write_mnist(tmp_path, train=7, test=3)


def test_mnist_in_torchvisions_layout(mnist_root):
    train, test = pictures.mnist(mnist_root), pictures.mnist(mnist_root, "test")
    check(train, (7, 1, 28, 28), 10)
    check(test, (3, 1, 28, 28), 10)
    raw = (mnist_root / "MNIST/raw/train-images-idx3-ubyte").read_bytes()[16:]
    pixels = np.frombuffer(raw, np.uint8).reshape(7, 1, 28, 28)
    np.testing.assert_allclose(train.pixels, pixels / 255, atol=1e-7)
    assert train.labels.tolist() == list(range(7))
    assert (train.split, test.split) == ("train", "test")
    few = pictures.mnist(mnist_root, most=2)
    np.testing.assert_array_equal(few.pixels, train.pixels[:2])
    assert pictures.load("mnist", "test", root=mnist_root).labels.tolist() == [0, 1, 2]


def test_fashion_mnist_lies_beside_it(mnist_root):
    with pytest.raises(InputError, match=r"FashionMNIST/raw: Fashion-MNIST was looked for"):
        pictures.load("fashion_mnist", root=mnist_root)
    (mnist_root / "MNIST").rename(mnist_root / "FashionMNIST")
    found = pictures.load("fashion_mnist", "test", root=mnist_root)
    check(found, (3, 1, 28, 28), 10)
    assert found.labels.tolist() == [0, 1, 2]
    assert found.classes[9] == "ankle boot"


def test_mnist_that_is_missing_or_damaged_is_refused_by_name(mnist_root, tmp_path):
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte, .* are missing; give as root"):
        pictures.mnist(tmp_path / "elsewhere")
    (mnist_root / "MNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(
        InputError,
        match="MNIST/raw: MNIST was looked for there, and t10k-labels-idx1-ubyte is missing",
    ):
        pictures.mnist(mnist_root)
    write_idx(mnist_root / "MNIST/raw/t10k-labels-idx1-ubyte", np.arange(2, dtype=np.uint8))
    with pytest.raises(InputError, match="3 pictures have 2 labels"):
        pictures.mnist(mnist_root, "test")
    (mnist_root / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="damaged"):
        pictures.mnist(mnist_root)
    with pytest.raises(InputError, match="split 'validation'"):
        pictures.mnist(mnist_root, "validation")
    with pytest.raises(InputError, match="most 0"):
        pictures.mnist(mnist_root, most=0)


@pytest.fixture
def picture_root(tmp_path):
    rng = np.random.default_rng(1)
    arrays = {}
    for name in ("b/2.png", "b/1.PNG", "a/x.bmp"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        arrays[name] = rng.integers(0, 256, (5, 4, 3), dtype=np.uint8)
        Image.fromarray(arrays[name]).save(path)
    (tmp_path / "b" / "notes.txt").write_text("left out")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "readme").write_text("left out")
    return tmp_path, arrays


def test_a_folder_of_pictures(picture_root):
    root, arrays = picture_root
    found = pictures.folder(root, "mine")
    check(found, (3, 3, 5, 4), 2)
    assert (found.classes, found.split) == (("a", "b"), "mine")
    assert found.labels.tolist() == [0, 1, 1]
    for pixels, name in zip(found.pixels, ("a/x.bmp", "b/1.PNG", "b/2.png"), strict=True):
        np.testing.assert_allclose(pixels.transpose(1, 2, 0), arrays[name] / 255, atol=1e-7)
    check(pictures.folder(root, size=(6, 7), channels=1), (3, 1, 6, 7), 2)
    same = pictures.load("folder", root.name, root=root.parent)
    np.testing.assert_array_equal(same.pixels, found.pixels)
    resized = pictures.load("folder", root.name, root=root.parent, size=6)
    np.testing.assert_array_equal(resized.pixels, pictures.folder(root, size=(6, 6)).pixels)


def test_some_of_a_folder_are_read_and_no_others(tmp_path):
    for number in range(6):
        name = "ab"[number % 2]
        (tmp_path / name).mkdir(exist_ok=True)
        Image.new("L", (5, 5), color=number).save(tmp_path / name / f"{number}.png")
    # The single picture of a class is read; the remaining pictures come from other classes.
    (tmp_path / "c").mkdir()
    Image.new("L", (5, 5), color=6).save(tmp_path / "c" / "6.png")
    whole = pictures.folder(tmp_path)
    shades = {3: [0, 1, 6], 5: [0, 1, 2, 3, 6], 7: [0, 1, 2, 3, 4, 5, 6], 9: [0, 1, 2, 3, 4, 5, 6]}
    for most, expected in shades.items():
        found = pictures.folder(tmp_path, most=most)
        shown = np.rint(found.pixels[:, 0, 0, 0] * 255).astype(int)
        assert sorted(shown) == expected
        kept = [list(whole.pixels[:, 0, 0, 0]).index(shade) for shade in found.pixels[:, 0, 0, 0]]
        assert kept == sorted(kept)
        np.testing.assert_array_equal(found.labels, whole.labels[kept])
        assert found.classes == whole.classes
    (tmp_path / "a" / "4.png").write_bytes(b"no picture")
    check(pictures.folder(tmp_path, most=5), (5, 3, 5, 5), 3)
    with pytest.raises(InputError, match=r"4\.png: cannot be read"):
        pictures.folder(tmp_path)
    with pytest.raises(InputError, match="most 0"):
        pictures.folder(tmp_path, most=0)


def test_bad_folders_are_refused_by_name(picture_root):
    root, _ = picture_root
    with pytest.raises(InputError, match="elsewhere: there is no such directory"):
        pictures.folder(root / "elsewhere")
    with pytest.raises(InputError, match="a: has no sub-folders"):
        pictures.folder(root / "a")
    with pytest.raises(InputError, match="channels 2"):
        pictures.folder(root, channels=2)
    with pytest.raises(InputError, match="size"):
        pictures.folder(root, size=(0, 3))
    Image.new("L", (9, 8)).save(root / "b" / "3.png")
    with pytest.raises(InputError, match=r"3.png: 8 × 9 pixels, and .*x.bmp has 5 × 4"):
        pictures.folder(root)
    check(pictures.folder(root, size=(5, 4)), (4, 3, 5, 4), 2)
    (root / "b" / "3.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"3\.png: cannot be read as a picture"):
        pictures.folder(root)
    (root / "c").mkdir()
    (root / "b" / "3.png").unlink()
    with pytest.raises(InputError, match="c: this class has no pictures"):
        pictures.folder(root)


def cifar10_files(folder, seed=0):
    """Random pictures in CIFAR-10's binary layout: five files of two, one of three."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    batches = {}
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        count = 3 if name == "test_batch.bin" else 2
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        planes = rng.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
        rows = b"".join(bytes([k]) + p.tobytes() for k, p in zip(labels, planes, strict=True))
        (folder / name).write_bytes(rows)
        batches[name] = labels, planes
    (folder / "batches.meta.txt").write_text("".join(f"class{i}\n" for i in range(10)) + "\n")
    return batches


def test_cifar10_in_its_binary_layout(tmp_path):
    batches = cifar10_files(tmp_path / "cifar-10-batches-bin")
    train = pictures.cifar10(tmp_path)
    check(train, (10, 3, 32, 32), 10)
    assert train.classes[:2] == ("class0", "class1")
    parts = [batches[f"data_batch_{i}.bin"] for i in range(1, 6)]
    np.testing.assert_array_equal(train.labels, np.concatenate([labels for labels, _ in parts]))
    planes = np.concatenate([planes for _, planes in parts])
    np.testing.assert_allclose(train.pixels, planes / 255, atol=1e-7)
    test = pictures.load("cifar10", "test", root=tmp_path)
    check(test, (3, 3, 32, 32), 10)
    assert test.labels.tolist() == batches["test_batch.bin"][0].tolist()


def test_cifar10_that_is_missing_or_damaged_is_refused_by_name(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    with pytest.raises(InputError, match=r"data_batch_1\.bin, .* are missing; give as root"):
        pictures.cifar10(tmp_path)
    cifar10_files(folder)
    with pytest.raises(InputError, match="split 'validation'"):
        pictures.cifar10(tmp_path, "validation")
    whole = (folder / "test_batch.bin").read_bytes()
    for damaged in (whole[:-1], b""):
        (folder / "test_batch.bin").write_bytes(damaged)
        with pytest.raises(
            InputError, match=f"test_batch.bin: has {len(damaged)} bytes; .* have 3073 each"
        ):
            pictures.cifar10(tmp_path, "test")
    (folder / "test_batch.bin").write_bytes(bytes([10]) + whole[1:])
    with pytest.raises(InputError, match=r"test_batch\.bin: has label 10"):
        pictures.cifar10(tmp_path, "test")
    (folder / "test_batch.bin").write_bytes(whole)
    (folder / "batches.meta.txt").write_text("cat\n")
    with pytest.raises(InputError, match="names 1 classes"):
        pictures.cifar10(tmp_path)
    (folder / "batches.meta.txt").unlink()
    with pytest.raises(InputError, match=r"batches\.meta\.txt is missing"):
        pictures.cifar10(tmp_path)


def test_cifar10_is_downloaded_with_its_digest_checked(tmp_path, monkeypatch):
    from torchvision.datasets import utils  # noqa: PLC0415

    cifar10_files(tmp_path / "made" / "cifar-10-batches-bin")
    archive = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tmp_path / "made" / "cifar-10-batches-bin", "cifar-10-batches-bin")
    root = tmp_path / "root"
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{archive.name}"
        monkeypatch.setattr(pictures, "CIFAR10_URL", url)
        with pytest.raises(InputError, match="cannot be downloaded"):
            pictures.cifar10(root, download=True)
        assert not (root / "cifar-10-batches-bin").exists()
        monkeypatch.setattr(pictures, "CIFAR10_MD5", utils.calculate_md5(archive))
        found = pictures.cifar10(root, download=True)
        server.shutdown()
    with pytest.raises(InputError, match="cannot be downloaded"):
        pictures.cifar10(tmp_path / "other", download=True)
    np.testing.assert_array_equal(found.pixels, pictures.cifar10(tmp_path / "made").pixels)


def test_pictures_are_resized():
    digits = pictures.digits("test")
    assert pictures.load("digits", "test", size=8).pixels.shape[2:] == (8, 8)
    larger = pictures.load("digits", "test", size=16)
    check(larger, (len(digits.labels), 1, 16, 16), 10)
    np.testing.assert_array_equal(larger.labels, digits.labels)
    np.testing.assert_allclose(larger.pixels[:, :, 0, 0], digits.pixels[:, :, 0, 0])
    smaller = pictures.resized(digits, 4)
    by_hand = Image.fromarray(digits.pixels[5, 0]).resize((4, 4), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(smaller.pixels[5, 0], np.asarray(by_hand), atol=1e-6)
    with pytest.raises(InputError, match="size 0"):
        pictures.load("digits", "test", size=0)


@pytest.mark.parametrize("most", [1, 10, 25, 1257])
def test_some_digits_are_spread_over_the_classes_and_the_split(most):
    whole = pictures.load("digits", "train")
    some = pictures.load("digits", "train", most=most)
    check(some, (most, 1, 8, 8), 10)
    counts = np.bincount(some.labels, minlength=10)
    if most < 1000:
        assert counts.max() - counts.min() <= 1
    places = [np.flatnonzero((whole.pixels == each).all(axis=(1, 2, 3))) for each in some.pixels]
    assert all(len(place) == 1 for place in places)
    kept = np.concatenate(places)
    assert (np.diff(kept) > 0).all()
    np.testing.assert_array_equal(some.labels, whole.labels[kept])
    assert most < 25 or kept.max() > len(whole.labels) / 2
    check(pictures.load("digits", "train", most=10**6), whole.pixels.shape, 10)


def test_some_pictures_of_other_sources_are_spread_too(tmp_path, mnist_root):
    cifar10_files(tmp_path / "cifar-10-batches-bin")
    whole = pictures.cifar10(tmp_path)
    some = pictures.load("cifar10", root=tmp_path, most=4)
    kept = np.sort(pictures.in_turns(whole.labels)[:4])
    assert len(set(some.labels.tolist())) == min(4, len(set(whole.labels.tolist())))
    np.testing.assert_array_equal(some.pixels, whole.pixels[kept])
    np.testing.assert_array_equal(some.labels, whole.labels[kept])
    raw = mnist_root / "MNIST/raw"
    write_idx(raw / "train-labels-idx1-ubyte", np.array([0, 0, 0, 0, 0, 0, 1], np.uint8))
    whole = pictures.mnist(mnist_root)
    some = pictures.load("mnist", root=mnist_root, most=3)
    assert some.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(some.pixels, whole.pixels[[0, 3, 6]])


def test_sources_by_name():
    assert pictures.load("digits", "test").split == "test"
    with pytest.raises(InputError, match="must be digits, mnist, fashion_mnist, cifar10 or folder"):
        pictures.load("cifar")
    with pytest.raises(InputError, match="need a root"):
        pictures.load("mnist")


def some_digits(count=300):
    train = pictures.digits("train")
    return train.pixels[:count], train.labels[:count]


SMALL = {"width": 4, "hidden": 8, "epochs": 2}


def test_training_is_repeatable_and_leaves_the_caller_alone():
    pixels, labels = some_digits()
    for train in (
        lambda seed: networks.train_classifier(pixels, labels, 10, seed=seed, **SMALL),
        lambda seed: networks.train_embedding(pixels, labels, seed=seed, **SMALL),
    ):
        torch.manual_seed(7)
        expected = torch.rand(3)
        torch.manual_seed(7)
        threads = torch.get_num_threads()
        first = train(0)
        assert torch.equal(torch.rand(3), expected)
        assert torch.get_num_threads() == threads
        second, other = train(0), train(1)
        assert not first.training
        for name, value in first.state_dict().items():
            assert torch.equal(value, second.state_dict()[name])
        assert not torch.equal(first.last.weight, other.last.weight)


def test_both_networks_learn_the_digits():
    train, test = pictures.digits("train"), pictures.digits("validation")
    settings = {"width": 8, "epochs": 4}
    classifier = networks.train_classifier(train.pixels, train.labels, 10, **settings)
    assert networks.accuracy(classifier, test.pixels, test.labels) > 0.9
    embedding = networks.train_embedding(train.pixels, train.labels, **settings)
    assert networks.triplet_accuracy(embedding, test.pixels, test.labels) > 0.95
    lengths = networks.outputs_of(embedding, test.pixels).norm(dim=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_distance_to_a_fixed_picture():
    torch.manual_seed(0)
    embedding = networks.PictureEmbedding(1, 5).eval()
    pixels = torch.rand(6, 1, 8, 8)
    found = networks.Distance(embedding, pixels[0])(pixels)
    vectors = embedding(pixels).detach().double().numpy()
    expected = [[((v - vectors[0]) ** 2).sum()] for v in vectors]
    np.testing.assert_allclose(found.detach(), expected, atol=1e-6)
    at = pixels[:1].clone().requires_grad_()
    networks.Distance(embedding, pixels[0])(at).sum().backward()
    assert torch.isfinite(at.grad).all()


def test_probabilities_are_the_softmax():
    torch.manual_seed(0)
    network = networks.PictureClassifier(1, 4).eval()
    pixels = torch.rand(3, 1, 8, 8)
    found = networks.Probability(network)(pixels)
    exponentials = network(pixels).double().exp()
    expected = exponentials / exponentials.sum(dim=1, keepdim=True)
    np.testing.assert_allclose(found.detach(), expected.detach(), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 9), (1, 28, 28)])
def test_a_pictures_scores_do_not_depend_on_others(shape):
    torch.manual_seed(0)
    network = networks.PictureClassifier(shape[0], 1).double().eval()
    batch = torch.rand((4, *shape), dtype=torch.float64)
    together = network(batch)
    assert together.shape == (4, 1)
    apart = torch.cat([network(each[None]) for each in batch])
    np.testing.assert_allclose(together.detach(), apart.detach(), atol=1e-12)


def test_triplets_are_of_two_classes():
    labels = np.array([3, 1, 1, 3, 3, 7, 1])
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        drawn = networks.triplets(labels, rng)
        assert sorted(drawn[:, 0]) == list(range(7))
        for anchor, same, other in drawn:
            assert labels[anchor] == labels[same] != labels[other]
            assert anchor != same or labels[anchor] == 7
            seen.add((anchor, same, other))
    possible = {
        (a, s, o)
        for a in range(7)
        for s in range(7)
        for o in range(7)
        if labels[a] == labels[s] != labels[o] and (a != s or labels[a] == 7)
    }
    assert seen == possible


def test_checkpoints(tmp_path):
    torch.manual_seed(0)
    network = networks.PictureEmbedding(3, 5, width=2, hidden=3, pooled=2).eval()
    path = tmp_path / "network.pt"
    networks.save(path, network, {"seed": 4})
    found = networks.load(path, networks.PictureEmbedding)
    pixels = torch.rand(2, 3, 6, 6)
    assert torch.equal(found(pixels), network(pixels))
    assert not found.training
    with pytest.raises(
        InputError, match="checkpoint of a PictureEmbedding; a PictureClassifier is needed"
    ):
        networks.load(path, networks.PictureClassifier)
    with pytest.raises(InputError, match="no such checkpoint"):
        networks.load(tmp_path / "none.pt", networks.PictureClassifier)


def test_unusable_training_data_is_refused():
    pixels, labels = some_digits(20)
    train = networks.train_classifier
    with pytest.raises(InputError, match="pixels of shape"):
        train(pixels[:, 0], labels, 10)
    with pytest.raises(InputError, match="labels of shape"):
        train(pixels, labels[:3], 10)
    with pytest.raises(InputError, match="there are classes 0 to 2"):
        train(pixels, np.arange(20) % 5, 3)
    with pytest.raises(InputError, match="pixels hold NaN"):
        train(pixels * np.float32("nan"), labels, 10)
    with pytest.raises(InputError, match="epochs 0"):
        train(pixels, labels, 10, epochs=0)
    with pytest.raises(InputError, match="width 0"):
        train(pixels, labels, 10, width=0)
    with pytest.raises(InputError, match="of one class"):
        networks.train_embedding(pixels, np.zeros(20, np.int64))
    with pytest.raises(InputError, match="margin 4"):
        networks.train_embedding(pixels, labels, margin=4)
    one = train(pixels, np.zeros(20, np.int64), 1, **SMALL)
    assert networks.accuracy(one, pixels, np.zeros(20, np.int64)) == 1
