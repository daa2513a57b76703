"""A further study is its folder, a section of params.yaml and one line of the registry.

The toy study has an enumerated game, two stages and a figure. It works like every other study.
"""

import json

import clone
import pytest
import yaml
from clone import change, dvc, has_nothing_to_do, rules_run, shards, snakemake, stages_run

from pipeline.store.evaluation import read_receipt

FILL = {"toy_plan", "toy_evaluate", "toy_merge"}
ANALYSES = {"toy_values", "toy_draw_values"}
COALITIONS = 2**4

each_command = pytest.mark.parametrize("command", ["snakemake", "dvc"])


@pytest.fixture
def folder(toy_once, tmp_path):
    return clone.copied(toy_once, tmp_path / "copy")


def ran(folder, command):
    """Rules of the jobs that either command ran."""
    done = snakemake(folder) if command == "snakemake" else dvc(folder, "repro")
    return rules_run(done)


def evaluations(folder):
    """Numbers of evaluations that the last evaluating run made and reused."""
    receipt = read_receipt(folder / "results/toy/receipts/majority.json")
    return receipt.evaluations_made, receipt.evaluations_reused


def results(folder):
    return json.loads((folder / "results/toy/values.json").read_text())


def test_a_study_needs_a_folder_a_section_and_one_line(toy_once):
    status = clone.run(toy_once, "git", "status", "--porcelain").stdout.splitlines()
    assert {line[3:] for line in status} == {
        "params.yaml",
        "pipeline/studies/__init__.py",
        "pipeline/studies/toy/",
        # Written by `snakemake`.
        "dvc.yaml",
        "dvc.lock",
    }
    registry = clone.run(toy_once, "git", "diff", "--numstat", "pipeline/studies/__init__.py")
    assert registry.stdout.split()[:2] == ["1", "0"]


def test_its_results_follow_from_the_game(toy_once):
    assert evaluations(toy_once) == (2 * COALITIONS, 0)
    # The weights are 1, 1, 2, 3. Quota 5 is reached by 3 and 2, or by 3 and both others.
    assert results(toy_once)["quota 5"] == [round(v / 12, 6) for v in (1, 1, 3, 7)]
    assert (toy_once / "results/toy/figures/values.svg").exists()
    listed = json.loads(
        clone.run(toy_once, "python", "-m", "pipeline", "store", "list", "--json").stdout
    )
    assert [(store["study"], store["game"], store["instances"]) for store in listed] == [
        ("toy", "majority", 2)
    ]
    assert "toy/majority" in clone.run(toy_once, "python", "-m", "pipeline", "store", "list").stdout


def test_dvc_yaml_lists_its_stages(toy_once):
    content = yaml.safe_load((toy_once / "dvc.yaml").read_text())
    assert set(content["stages"]) == {"toy_merge", *ANALYSES, "report_page"}
    merge = content["stages"]["toy_merge"]
    assert merge["params"] == ["toy.vote", {"pipeline/studies/toy/game.py": ["VERSION"]}]
    outs = {path for out in merge["outs"] for path in out}
    store = "results/coalitions/toy/majority.zarr"
    assert outs == {store, "results/toy/receipts/majority.json"}
    # The store holds only values. A receipt also holds times, and no stage depends on it.
    assert content["stages"]["toy_values"]["deps"] == [store]
    assert content["plots"] == ["results/toy/figures/values.png"]
    locked = yaml.safe_load((toy_once / "dvc.lock").read_text())["stages"]
    assert set(locked) == set(content["stages"])


def test_documents_show_its_table(folder):
    page = folder / "page.md"
    page.write_text("<!-- TOY_VALUES -->\n<!-- /TOY_VALUES -->\n")
    clone.run(folder, "python", "-m", "pipeline", "documents", "page.md")
    assert "| quota 5 | [0.083333, 0.083333, 0.25, 0.583333] |" in page.read_text()
    clone.run(folder, "python", "-m", "pipeline", "documents", "--check", "page.md")


def test_after_either_command_neither_has_anything_to_do(folder):
    receipt = folder / "results/toy/receipts/majority.json"
    before = receipt.read_bytes()
    assert has_nothing_to_do(snakemake(folder))
    repeated = dvc(folder, "repro")
    assert "Data and pipelines are up to date" in repeated.stdout
    assert not stages_run(repeated)
    assert has_nothing_to_do(snakemake(folder, "-n"))
    assert dvc(folder, "status").stdout.strip() == "Data and pipelines are up to date."

    # The same holds after `dvc repro` has run stages.
    change(folder, "toy.values.digits", 3)
    assert stages_run(dvc(folder, "repro")) == ANALYSES
    assert has_nothing_to_do(snakemake(folder, "-n"))
    assert receipt.read_bytes() == before


@each_command
def test_changing_an_analysis_evaluates_nothing_and_undoing_restores_results(folder, command):
    receipt = (folder / "results/toy/receipts/majority.json").read_bytes()
    stored, before = shards(folder), clone.contents(folder)
    assert len(stored) == 2
    change(folder, "toy.values.digits", 2)
    assert ran(folder, command) == ANALYSES
    assert results(folder)["quota 5"] == [0.08, 0.08, 0.25, 0.58]
    changed = clone.contents(folder)
    change(folder, "toy.values.digits", 6)
    assert ran(folder, command) == set()
    assert clone.contents(folder) == before
    # The other command restores what one command has made.
    change(folder, "toy.values.digits", 2)
    assert ran(folder, "dvc" if command == "snakemake" else "snakemake") == set()
    assert clone.contents(folder) == changed
    assert shards(folder) == stored
    assert (folder / "results/toy/receipts/majority.json").read_bytes() == receipt


@each_command
def test_only_additional_instances_are_evaluated(folder, command):
    stored, before = shards(folder), clone.contents(folder)
    change(folder, "toy.vote.quotas", [4, 5, 6])
    assert ran(folder, command) == FILL | ANALYSES | {"report_page"}
    assert evaluations(folder) == (COALITIONS, 2 * COALITIONS)
    now = shards(folder)
    assert len(now) == 3
    assert {name: now[name] for name in stored} == stored
    assert set(results(folder)) == {"quota 4", "quota 5", "quota 6"}

    change(folder, "toy.vote.quotas", [4, 5])
    assert ran(folder, command) == set()
    assert clone.contents(folder) == before
    assert shards(folder).keys() == stored.keys()


@each_command
def test_pulled_results_run_nothing(toy_once, tmp_path, command):
    source, fresh = clone.copied(toy_once, tmp_path / "source"), tmp_path / "fresh"
    dvc(source, "remote", "add", "-d", "store", str(tmp_path / "remote"))
    dvc(source, "push")
    clone.commit(source)
    clone.run(tmp_path, "git", "clone", "-q", str(source), str(fresh))
    assert not (fresh / "results").exists()
    dvc(fresh, "pull")
    assert clone.contents(fresh) == clone.contents(source)
    assert ran(fresh, command) == set()
    assert evaluations(fresh) == (2 * COALITIONS, 0)
    assert has_nothing_to_do(snakemake(fresh, "-n"))
    # The clone also knows single instances.
    change(fresh, "toy.vote.quotas", [5, 6])
    assert ran(fresh, command) == FILL | ANALYSES | {"report_page"}
    assert evaluations(fresh) == (COALITIONS, COALITIONS)


def replace(file, old, new):
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@each_command
def test_a_comment_runs_nothing_and_a_new_version_runs_its_stage(folder, command):
    study = folder / "pipeline/studies/toy"
    for file in (study / "game.py", *(study / "stages").glob("*.py")):
        file.write_text(f"{file.read_text()}\n# A remark.\n")
    before, stored = clone.contents(folder), shards(folder)
    assert ran(folder, command) == set()

    replace(study / "stages/values.py", "VERSION = 1", "VERSION = 2")
    # The values stay the same. DVC stops there; Snakemake runs the stages after them.
    after = {"toy_draw_values"} if command == "snakemake" else set()
    assert ran(folder, command) == {"toy_values"} | after
    assert shards(folder) == stored
    assert has_nothing_to_do(snakemake(folder))
    assert not stages_run(dvc(folder, "repro"))

    # A game's version is part of its identity.
    replace(study / "game.py", "VERSION = 1", "VERSION = 2")
    assert ran(folder, command) >= FILL
    assert evaluations(folder) == (2 * COALITIONS, 0)
    assert clone.contents(folder).keys() == before.keys()


def test_the_report_shows_its_figure(folder):
    snakemake(folder, "--report", "report.html")
    page = (folder / "report.html").read_text()
    assert '{"shows": "Values of the voters"}' in page
    assert "One bar per voter" in page
    assert "a study of your own" in page
