"""The example in the documents runs."""

import re

import numpy as np
import torch
from tiny import ROOT

from pipeline.models import checkpoints
from pipeline.models.sequences import Averaging
from pipeline.studies.frames.feature_files import feature_writer
from pipeline.studies.frames.trained import load_model


def test_from_a_feature_file_to_values(tmp_path, monkeypatch):
    text = (ROOT / "docs/frames.md").read_text()
    code = re.search(r"<!-- example: .*?-->\n```python\n(.*?)```", text, flags=re.DOTALL)
    assert code is not None
    rng = np.random.default_rng(0)
    with feature_writer(tmp_path / "features.h5") as append:
        for i, length in enumerate((9, 12, 8, 5)):
            rows = rng.normal(size=(length, 6)).astype(np.float32)
            append(str(i), i % 3, rows, np.arange(length))
    torch.save(Averaging(6, 3).state_dict(), tmp_path / "classifier.pt")
    monkeypatch.chdir(tmp_path)
    made = {}
    exec(code[1], made)
    assert made["values"].shape == (4, 8, 3)
    assert made["values"].abs().max() > 0.01


def test_paths_may_be_texts(tmp_path):
    described = {"feature_dim": 6, "n_classes": 3}
    checkpoints.save(tmp_path / "tsn.pt", Averaging(6, 3), described)
    assert load_model("tsn", [str(tmp_path / "tsn.pt")]).n_classes == 3
