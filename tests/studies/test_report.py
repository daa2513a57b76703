"""The page of results: its data, the escaping of texts, and what a browser makes of it."""

import base64
import contextlib
import csv
import json
import re

import browser
import h5py
import numpy as np
import pytest
import study as run
from tiny import tiny_params

from pipeline.core.embedding import LEVELS, quantised, rounded, unit_picture
from pipeline.core.errors import InputError
from pipeline.store import open_store
from pipeline.studies.baselines.view import blocks
from pipeline.studies.frames import view
from pipeline.studies.frames.values import read_values
from pipeline.studies.report.page import as_script
from pipeline.studies.report.params import Params
from pipeline.studies.report.stages import page as stage

HOSTILE = (
    "<script>alert(1)</script>",
    "</script>",
    "<!-- $x$ & \u2028'\"",
    "<img src=x onerror=alert(2)>",
)
FILES = {
    "frames": [
        *("results/frames/figures/accuracy.png", "results/frames/lengths.csv"),
        *("results/frames/claims.csv", "results/frames/receipts/trn.json"),
    ]
}
TRAINING = {"epochs": 12, "learning_rate": 0.02, "draws": 1}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study on feature files whose classes have names that a page must not run."""
    params = tiny_params(scales=TRAINING, tsn=TRAINING).frames
    made = run.Study(tmp_path_factory.mktemp("report"), params)
    run.make_feature_files(made)
    names = {**{name: str(c) for c, name in enumerate(HOSTILE)}, "Class 4": "4", "Class 5": "5"}
    (made.root / "labels/labels.json").write_text(json.dumps(names))
    run.make_models(made)
    for model in run.MODELS:
        run.play(made, model)
        run.make_values(made, model)
        run.make_gradients(made, model)
    run.make(made, "lengths")
    run.make(made, "localisation", root=None)
    (made.folder / "results/frames").symlink_to(made.folder)
    claims = [{"source": "Fig. 10", "model": "TRN", "claim": HOSTILE[0], "measured": HOSTILE[1],
               "shows": "in part"}]  # fmt: skip
    (made.folder / "claims.json").write_text(json.dumps(claims))
    return made


def section(study):
    # Features that were made elsewhere; there are no videos.
    given = {m: {s: str(study.features(m, s)) for s in run.SPLITS} for m in run.MODELS}
    features = {**given, "label": None, "classes": None}
    return {"model": None, "dataset": {"root": None}, "features": features}


def written(study, folder, files=FILES, **changed):
    params = Params(**{"videos": 12, "classes": None, "thumbnail": 40, **changed})
    out = folder / "index.html"
    with contextlib.chdir(study.folder):
        stage.main(sections={"frames": section(study)}, files=files, params=params, out=out)
    text = out.read_text()
    (content,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text)
    return out, json.loads(content)


@pytest.fixture(scope="module")
def page(study, tmp_path_factory):
    return written(study, tmp_path_factory.mktemp("page"))


def table_of(packed):
    levels = np.frombuffer(base64.b64decode(packed["levels"]), "<u2")
    return packed["low"] + levels / LEVELS * (packed["high"] - packed["low"])


@pytest.mark.parametrize("shape", [(3,), (4, 5), (256, 17)])
def test_quantised_numbers_are_within_half_a_step(shape):
    values = np.random.default_rng(0).normal(size=shape)
    found = quantised(values)
    step = (values.max() - values.min()) / LEVELS
    np.testing.assert_allclose(table_of(found), values.ravel(), atol=0.501 * step)
    assert (table_of(quantised(np.full(3, 0.25))) == 0.25).all()


def test_numbers_and_pictures_as_text():
    assert rounded([[0.123456789, float("nan")]], 3) == [[0.123, None]]
    assert unit_picture(np.zeros((1, 2, 3)), 64).startswith("data:image/png;base64,")
    assert unit_picture(np.ones((3, 2, 2), dtype=np.float32), 64).startswith(
        "data:image/png;base64,"
    )
    assert unit_picture(np.ones((3, 300, 20)), 64).startswith("data:image/webp;base64,")
    values = np.arange(35.0).reshape(5, 7)
    np.testing.assert_allclose(blocks(values, 7), values)
    assert blocks(values, 4).shape == (3, 4)
    assert blocks(values, 4)[0, 0] == 0 + 1 + 7 + 8
    assert blocks(values, 1).item() == values.sum()


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_do_not_end_a_script(text):
    script = as_script({text: [text]})
    assert not set(script) & set("<>&\u2028\u2029")
    assert json.loads(script) == {text: [text]}


def test_values_and_tables_are_those_of_the_stores(study, page):
    data = page[1]["frames"]
    assert data["classes"][:4] == list(HOSTILE)
    assert len(data["videos"]) == 12
    assert data["n"] == study.params.coalitions.n
    longest = study.params.lengths.max_frames
    for model in run.MODELS:
        values, store = read_values(study.values(model)), open_store(study.store(model))
        lengths = open_store(study.store(f"{model}_lengths"))
        with h5py.File(study.values(model)) as file:
            esv = file["esv"][:]
        shorter = 0
        for video in data["videos"]:
            i, found = values.uids.index(video["id"]), video["models"][model]
            np.testing.assert_allclose(found["esv"], esv[i], atol=1e-6)
            table = store.read(i)
            np.testing.assert_allclose(
                table_of(found["table"]), table.ravel(), atol=np.ptp(table) / LEVELS
            )
            assert found["predicted"] == values.predicted_class[i]
            assert video["frames"] == values.frames[i].tolist()
            assert set(found["methods"]) == {"ig", "gc", "algorithm_1", "leave_one_out"}
            for n, of_length in found["lengths"].items():
                kept = lengths.read(f"{video['id']} at {n}")[: 2 ** int(n), 0]
                np.testing.assert_allclose(table_of(of_length["table"]), kept, atol=1e-4)
                assert len(of_length["frames"]) == int(n)
                shorter += 1
        assert shorter == min(12, study.params.lengths.clips) * min(longest, data["n"] - 1)


def test_a_page_is_as_large_as_its_parameters_say(study, page, tmp_path):
    _, data = written(study, tmp_path / "few", videos=3, classes=["Class 4", HOSTILE[0]])
    assert [v["true"] for v in data["frames"]["videos"]] == [0, 4, 4]
    few, many = (len((d / "index.html").read_text()) for d in (tmp_path / "few", page[0].parent))
    assert few < many
    with pytest.raises(InputError, match=r"report.classes: there is no class 'none'"):
        written(study, tmp_path / "none", classes=["none"])
    assert not (tmp_path / "none/index.html").exists()


def test_large_tables_keep_the_true_and_the_predicted_class(study, monkeypatch, tmp_path):
    monkeypatch.setattr(view, "MOST_NUMBERS", 2 * 2**study.params.coalitions.n)
    _, data = written(study, tmp_path)
    for video in data["frames"]["videos"]:
        found = video["models"]["trn"]
        assert found["classes"] == sorted({video["true"], found["predicted"]})
        assert found["table"] is not None
    monkeypatch.setattr(view, "MOST_NUMBERS", 1)
    _, data = written(study, tmp_path)
    assert data["frames"]["videos"][0]["models"]["trn"]["table"] is None


def test_hostile_texts_are_shown_as_text(page):
    with browser.opened() as shown:
        shown.goto(page[0].as_uri())
        assert HOSTILE[0] in shown.inner_text("#claims")
        assert HOSTILE[1] in shown.inner_text("#claims")
        for c, name in enumerate(HOSTILE):
            shown.goto(f"{page[0].as_uri()}#view=videos&class={c}")
            shown.wait_for_function(
                "name => document.querySelector('#title')?.textContent.includes(name)", arg=name
            )
            shown.select_option("#choose-other", str(c))
            assert name in shown.inner_text("#scores")
        assert (
            shown.evaluate("document.querySelectorAll('main script, main img[src=x]').length") == 0
        )


def bars(shown, row="true"):
    found = shown.eval_on_selector_all(
        f".frame [data-row='{row}']", "all => all.map(each => Number(each.dataset.value))"
    )
    return np.array(found)


def csv_rows(study, model, uid):
    with study.values(model).with_suffix(".csv").open() as file:
        return [row for row in csv.DictReader(file) if row["video"] == uid]


def test_choosing_videos_and_models_changes_the_bars_to_the_numbers_of_the_table(study, page):
    with browser.opened() as shown:
        shown.goto(f"{page[0].as_uri()}#view=videos")
        for number in (3, 7):
            uid = page[1]["frames"]["videos"][number]["id"]
            for model in run.MODELS:
                shown.select_option("#choose-video", uid)
                shown.select_option("#choose-model", model)
                expected = [float(row["esv_true_class"]) for row in csv_rows(study, model, uid)]
                np.testing.assert_allclose(bars(shown), expected, atol=1e-6)
        shown.select_option("#choose-method", "ig")
        attributions = page[1]["frames"]["videos"][7]["models"]["tsn"]["methods"]["ig"]["true"]
        np.testing.assert_allclose(bars(shown), attributions)


def test_selected_frames_get_the_score_of_their_coalition(study, page):
    video = page[1]["frames"]["videos"][2]
    store = open_store(study.store("trn"))
    table = store.read(video["id"])
    with browser.opened() as shown:
        shown.goto(
            f"{page[0].as_uri()}#view=videos&model=trn&video={video['id'].replace(' ', '+')}"
        )
        for frame in (0, 2):
            shown.click(f"#frame-{frame}")
        mask = 2**study.params.coalitions.n - 1 - 0b101
        assert f"(coalition {mask})" in shown.inner_text("#coalition")
        scores = shown.eval_on_selector_all(
            "#scores [data-class]", "all => all.map(e => [+e.dataset.class, +e.dataset.score])"
        )
        for c, score in scores:
            assert score == pytest.approx(table[mask, int(c)], abs=float(np.ptp(table)) / LEVELS)
        assert int(scores[0][0]) == int(table[mask].argmax())
        shown.click("#no-frames")
        assert "Frames none (coalition 0)" in shown.inner_text("#coalition")
        shown.select_option("#choose-frames", "2")
        assert len(bars(shown)) == 2


def test_a_link_restores_the_view_and_the_keyboard_suffices(page):
    videos = [video["id"] for video in page[1]["frames"]["videos"]]
    with browser.opened() as shown:
        shown.goto(f"{page[0].as_uri()}#view=videos")
        shown.keyboard.press("ArrowRight")
        shown.keyboard.press("ArrowRight")
        assert shown.input_value("#choose-video") == videos[2]
        shown.keyboard.press("ArrowLeft")
        shown.focus("#frame-1")
        shown.keyboard.press("Space")
        shown.select_option("#choose-method", "gc")
        kept, values, address = shown.inner_text("#coalition"), bars(shown), shown.url
        shown.go_back()
        assert shown.input_value("#choose-method") == "esv"
    with browser.opened() as shown:
        shown.goto(address)
        assert shown.input_value("#choose-video") == videos[1]
        assert shown.inner_text("#coalition") == kept
        np.testing.assert_array_equal(bars(shown), values)
        # From the top of the page, tabs and controls are reached without a mouse.
        shown.keyboard.press("Tab")
        shown.keyboard.press("Tab")
        shown.keyboard.press("Enter")
        assert shown.get_attribute("#tab-overview", "aria-current") == "page"


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (360, "dark")])
def test_the_page_fits_the_window(page, width, scheme, tmp_path):
    with browser.opened(width, scheme=scheme) as shown:
        for view_name in ("overview", "videos"):
            shown.goto(f"{page[0].as_uri()}#view={view_name}")
            shown.screenshot(path=tmp_path / f"{view_name}.png", full_page=True)
            assert shown.evaluate("document.documentElement.scrollWidth") <= width
            assert shown.evaluate("[...document.images].every(image => image.alt)")


def test_claims_are_filtered_and_link_to_their_files(page):
    with browser.opened() as shown:
        shown.goto(page[0].as_uri())
        assert shown.locator("#claims tbody tr").count() == 1
        shown.select_option("#choose-shows", "yes")
        assert shown.locator("#claims tbody tr").count() == 0
        assert "0 of 1 claims" in shown.inner_text("#count")
        assert "frames/trn" in shown.inner_text("#games")
        shown.select_option("#choose-shows", "in part")
        links = shown.eval_on_selector_all(
            "#claims a", "all => all.map(a => a.getAttribute('href'))"
        )
        assert links == ["../frames/figures/accuracy.png"], "there is no accuracy.csv"


def test_files_of_an_earlier_run_are_not_shown(study, tmp_path):
    _, data = written(study, tmp_path, files={"frames": ["results/frames/receipts/tsn.json"]})
    assert [game["game"] for game in data["overview"]["games"]] == ["tsn"]
    assert data["overview"]["claims"] == []
    assert data["overview"]["figures"] == {"frames": []}
