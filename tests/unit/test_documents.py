"""Tables of results in documents: written, left unchanged, or refused."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.__main__ import app
from pipeline.core.claims import claims_by_model, write_claims
from pipeline.core.errors import InputError
from pipeline.core.tables import markdown_table
from pipeline.studies.baselines import report as baselines_report
from pipeline.studies.frames.report import (
    accuracy_table,
    frames_table,
    interactions_table,
    learning_table,
    localisation_table,
    runtime_table,
)
from pipeline.studies.frames.runtime import PAPER_DEVICE
from pipeline.studies.neurons import report as neurons_report
from pipeline.studies.shapnets import report as shapnets_report
from pipeline.workflow import documents
from pipeline.workflow.documents import (
    RECORDED,
    TABLES,
    default_documents,
    recorded_table,
    write_documents,
)

CLAIMS = [
    {"source": "Fig. 1", "model": "TSN", "claim": "it falls", "measured": "1 to 2", "shows": "no"},
    {"source": "Fig. 1", "model": "TRN", "claim": "it falls", "measured": "2 to 1", "shows": "yes"},
    {
        "source": "Fig. 1",
        "model": "TSN",
        "claim": "it ends",
        "measured": "P(a|b) =\n1",
        "shows": "in part",
    },
]
CLAIMS_TABLE = r"""
| | the paper says | TRN | TSN |
|---|---|---|---|
| Fig. 1 | it falls | **yes**: 2 to 1 | **no**: 1 to 2 |
| Fig. 1 | it ends | – | **in part**: P(a\|b) = 1 |
"""
BEFORE = "# Title\n\nText. <!-- CLAIMS --> in text is none.\n\n<!-- CLAIMS -->"
AFTER = "<!-- /CLAIMS -->\n\n<!-- a comment -->\n<!-- TODO -->\n| a | table |\nno line's end"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project with results, a README and two documents; the working directory."""
    (tmp_path / "results/frames").mkdir(parents=True)
    (tmp_path / "results/frames/claims.json").write_text(json.dumps(CLAIMS))
    (tmp_path / "README.md").write_text(f"{BEFORE}\n| old |\n{AFTER}")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/two.md").write_text(f"{BEFORE}\n{AFTER}")
    (tmp_path / "docs/without.md").write_text("No table.")
    (tmp_path / "docs/.old.partial.md").write_text(f"{BEFORE}\n{AFTER}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(app, ["documents", *arguments])


def contents(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_claim_is_a_line_and_a_model_a_column():
    assert claims_by_model(CLAIMS) == CLAIMS_TABLE.strip()


def test_times_have_their_unit_and_significant_digits():
    def row(seconds, sd, paper_seconds, paper_sd):
        return {
            "model": "trn",
            "frames": 8,
            "configuration": "exact",
            "seconds": seconds,
            "sd": sd,
            "paper_seconds": paper_seconds,
            "paper_sd": paper_sd,
        }

    rows = [
        row(0.0038812, 0.000112, 6.79, 0.01),
        row(0.9999, 0.2341, 0.08, 0.0001),
        row(1234.5, 99.7, 0.0225, 0.0000004),
    ]
    assert runtime_table({"rows": rows, "paper_device": PAPER_DEVICE}).splitlines() == [
        "| | frames | | here | paper (GTX 1080 Ti) |",
        "|---|---|---|---|---|",
        "| TRN | 8 | exact | 3.88 ± 0.11 ms | 6.79 ± 0.01 s |",
        "| TRN | 8 | exact | 1000 ± 230 ms | 80 ± 0.1 ms |",
        "| TRN | 8 | exact | 1230 ± 100 s | 22.5 ± 0.0004 ms |",
    ]


def test_special_characters_do_not_break_cells():
    assert markdown_table(["a|b", ""], [["1\n2", None], ["", "|"]]).splitlines() == [
        r"| a\|b | |",
        "|---|---|",
        "| 1 2 | None |",
        r"| | \| |",
    ]


def test_tables_are_written_and_all_other_lines_stay(root):
    before = contents(root)
    assert call("--check").exit_code == 1
    assert contents(root) == before
    assert call().output.splitlines() == [
        "README.md: CLAIMS written",
        "docs/two.md: CLAIMS written",
    ]
    expected = (BEFORE + CLAIMS_TABLE + AFTER).encode()
    changed = {root / "README.md": expected, root / "docs/two.md": expected}
    assert contents(root) == before | changed


def test_documents_that_fit_the_results_are_not_written_again(root):
    call()
    (root / "README.md").chmod(0o400)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*.md")}
    inodes = {path: path.stat().st_ino for path in root.rglob("*.md")}
    for arguments in ([], ["--check"]):
        result = call(*arguments)
        assert result.exit_code == 0
        assert "README.md: CLAIMS up to date" in result.output
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert {path: path.stat().st_ino for path in inodes} == inodes


def test_the_check_names_the_document_that_differs(root):
    call()
    text = (root / "docs/two.md").read_text()
    (root / "docs/two.md").write_text(text.replace("2 to 1", "3 to 1"))
    result = call("--check")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "README.md: CLAIMS up to date",
        "docs/two.md: CLAIMS differs from the results",
    ]
    assert call("--check", "README.md").exit_code == 0


def test_a_further_table_is_a_further_line(root, monkeypatch):
    result = "other/areas.json"
    monkeypatch.setitem(TABLES, "AREAS", documents.Table(result, lambda found: found["text"]))
    other = root / "elsewhere" / result
    other.parent.mkdir(parents=True)
    other.write_text('{"text": "| ä |"}')
    path = root / "docs/without.md"
    path.write_text("<!--AREAS-->\n<!-- /AREAS -->\n\n<!-- AREAS -->\nx\n<!-- /AREAS -->")
    (found,) = write_documents([path], root / "elsewhere")
    assert (found.tables, found.outdated) == (("AREAS", "AREAS"), ("AREAS", "AREAS"))
    assert path.read_text(encoding="utf-8") == found.text
    assert found.text.count("AREAS-->\n| ä |\n<!-- /AREAS") == 1
    assert found.text.count("AREAS -->\n| ä |\n<!-- /AREAS") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n<!-- CLAIMS -->\n", "line 2: <!-- CLAIMS --> has no other half"),
        ("<!-- /CLAIMS -->\n<!-- CLAIMS -->", "line 1: <!-- /CLAIMS --> has no other half"),
        (
            "<!-- CLAIMS -->\n<!-- RUNTIME -->\n<!-- /RUNTIME -->\n<!-- /CLAIMS -->",
            "line 1: <!-- CLAIMS --> has no other half",
        ),
        ("<!-- CLAIMS -->\n<!-- /RUNTIME -->", "with no other markers inside"),
        ("\n<!-- CLAIM -->\n<!-- /CLAIM -->", "line 2: no table is called CLAIM; .*CLAIMS"),
        ("<!-- /CLAIM -->", "line 1: <!-- /CLAIM --> has no other half"),
        (b"\xff", "one.md: cannot be read"),
        (None, "one.md: cannot be read"),
    ],
)
def test_documents_that_cannot_be_filled_are_refused(root, text, message):
    path = root / "one.md"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    before = contents(root)
    with pytest.raises(InputError, match=message):
        write_documents([root / "README.md", path], root / "results")
    assert contents(root) == before


def test_a_result_that_is_missing_is_named_with_what_makes_it(root):
    path = root / "docs/without.md"
    path.write_text("<!-- RUNTIME -->\n<!-- /RUNTIME -->\n")
    before = contents(root)
    message = (
        r"results/frames/runtime\.json: No such file .*: "
        r"uv run snakemake --cores all results/frames/runtime\.json"
    )
    with pytest.raises(InputError, match=message):
        write_documents(default_documents(Path()), Path("results"))
    assert contents(root) == before


@pytest.mark.parametrize("content", ["{", "{}", '{"rows": [{}], "paper_device": ""}', "3", "\xff"])
def test_a_result_of_another_kind_is_refused(root, content):
    (root / "results/frames/runtime.json").write_text(content, encoding="latin-1")
    path = root / "docs/without.md"
    path.write_text("<!-- RUNTIME -->\n<!-- /RUNTIME -->\n")
    with pytest.raises(InputError, match=r"runtime\.json: not usable for table RUNTIME"):
        write_documents([path], root / "results")


def test_every_table_stands_in_a_document_of_the_project(tmp_path, monkeypatch):
    project = Path(__file__).parents[2]
    for name, table in TABLES.items():
        monkeypatch.setitem(TABLES, name, table._replace(write=lambda content: ""))
        if not Path(table.result).is_absolute():
            (tmp_path / table.result).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / table.result).write_text("{}")
    found = write_documents(default_documents(project), tmp_path, check=True)
    assert {name for document in found for name in document.tables} == set(TABLES)


def test_tables_of_a_study_without_results_are_left_as_they_are(root):
    text = "<!-- BASELINES_CLAIMS -->\n| kept |\n<!-- /BASELINES_CLAIMS -->\n"
    (root / "docs/other.md").write_text(text)
    done = call("docs/other.md", "--check")
    assert done.exit_code == 0
    assert "BASELINES_CLAIMS left unchanged" in done.output
    assert call("docs/other.md").exit_code == 0
    assert (root / "docs/other.md").read_text() == text


def test_tables_of_the_models_of_frames():
    measured = {
        "top1": [0.25, 0.5],
        "within_pairs": [0.5, 1.0],
        "clips": 100,
        "clips_of_pairs": 64,
        "learning": {
            "has_learned": False,
            "train": 0.5,
            "validation": 0.4,
            "linear_train": 0.9,
            "linear_validation": 0.8,
        },
    }
    accuracy = {
        "frames": [1, 2],
        "trn": measured,
        "tsn": measured,
        "chance": {"top1": 0.1, "within_pairs": 0.5},
    }
    lines = accuracy_table(accuracy).splitlines()
    assert lines[0] == "| accuracy with 2 frames | TRN | TSN | chance |"
    assert lines[2] == "| all clips | 50.0 ± 5.0 % | 50.0 ± 5.0 % | 10.0 % |"
    assert lines[3].endswith("| 100 % | 100 % | 50.0 % |")
    assert len(lines) == 4
    assert "| TRN (has learned little) | 50.0 % | 40.0 % | 90.0 % | 80.0 % |" in learning_table(
        accuracy
    )
    of_model = {
        "supporting_share": 0.75,
        "highest_in_action": {"inside": 0.5, "chance": 0.25, "standard_error": 0.02},
    }
    lines = frames_table({"trn": of_model, "tsn": of_model}).splitlines()
    assert lines[2].endswith("| 50.0 ± 2.0 % | 50.0 ± 2.0 % | 25.0 % |")
    assert lines[3] == "| frames that support the true class | 75.0 % | 75.0 % | – |"


def test_short_tables_of_studies():
    rows = [("ig_zero", 0.3), ("ig_mean", 1.2), ("sig_baselines", 0.2)]
    found = [
        {"model": "classifier", "method": method, "ratio_distance": value} for method, value in rows
    ]
    table = baselines_report.short_table({"rows": found}).splitlines()
    assert table[0].startswith("| distance to exact Shapley values | zero | mean picture |")
    assert table[2] == "| classifier | 0.30 | 1.20 | – | 0.20 | – |"
    cases = (("shapley", 0, 1.0), ("shapley", 3, 0.5), ("random", 3, 0.997))
    overall = [
        {"of": "accuracy", "metric": "accuracy", "method": m, "removed": n, "value": v}
        for m, n, v in cases
    ]
    table = neurons_report.short_table({"left_out": None, "overall": overall}).splitlines()
    assert "without the 3 of largest Shapley value" in table[0]
    assert table[2] == "| accuracy | 100.0 % | 50.0 % | 99.7 % |"
    left_out = neurons_report.short_table({"left_out": "no network", "overall": []})
    assert left_out == "Left out: no network."
    distances = [
        {"network": "shallow", "method": "ours", "relative": 1.23e-7},
        {"network": "deep", "method": "ours", "relative": 0.0911},
        {"network": "deep", "method": "Deep SHAP", "relative": 9.0},
    ]
    content = {"distances": [{"source": "yeast", "rows": distances}]}
    table = shapnets_report.short_table(content).splitlines()
    assert table[2] == "| yeast | 1.2e-07 | 0.091 | – |"


def test_recorded_benchmarks_name_their_machine():
    for path in RECORDED.glob("*.json"):
        record = json.loads(path.read_text())
        assert all(len(row) == len(record["columns"]) for row in record["rows"])
        table = recorded_table(record)
        assert table.endswith(f"*`{record['command']}`, {record['machine']}, {record['date']}.*")


def test_interactions_and_localisation_have_rows_for_what_is_known():
    found = {
        "videos": 3,
        "mean": [0.1, -0.25],
        "standard_error": [0.01, 0.02],
        "mean_size": [0.2, 0.3],
        "error": [0.01, 0.02],
    }
    unknown = {**found, "videos": 0}
    known = {"index": "SII", "trn": {"class": found, "order": found}}
    table = interactions_table(known | {"tsn": {"class": found, "order": unknown}})
    assert table.splitlines()[2:] == [
        "| true class | neighbours | 0.100 ± 0.010 | 0.100 ± 0.010 |",
        "| true class | first and last frame | -0.250 ± 0.020 | -0.250 ± 0.020 |",
        "| true class | neighbours, without sign | 0.200 ± 0.010 | 0.200 ± 0.010 |",
    ]
    row = {"model": "tsn", "method": "ig", "area": 0.75, "standard_error": 0.012}
    assert localisation_table({"rows": [row]}).splitlines()[2:] == [
        "| Integrated Gradients | – | 0.750 ± 0.012 |"
    ]


def test_a_headline_number_may_be_unknown(tmp_path):
    files = {name: tmp_path / name for name in ("out", "table", "page", "metrics")}
    write_claims([], {"sig": None, "zero": 0.12345}, **files)
    assert json.loads(files["metrics"].read_text()) == {"sig": None, "zero": 0.123}
