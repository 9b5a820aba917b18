import subprocess
import sys
from pathlib import Path

import torch

from lrp.models import load_inputs, load_model, load_weights

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_training_again_gives_the_committed_weights_and_rows(tmp_path: Path) -> None:
    script = [sys.executable, str(EXAMPLES / "train_sample_model.py"), str(tmp_path)]
    printed = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    assert "held-out rows: 0.937" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model_weights.pth", "samples.csv"]
    assert (tmp_path / "samples.csv").read_text() == (EXAMPLES / "samples.csv").read_text()
    again, committed = (torch.load(folder / "model_weights.pth") for folder in (tmp_path, EXAMPLES))
    for name, value in committed.items():
        torch.testing.assert_close(again[name], value, rtol=1e-3, atol=1e-3)


def test_the_model_tells_the_five_rows_apart() -> None:
    model = load_model(f"{EXAMPLES / 'sample_model.py'}:SampleModel")
    load_weights(model, EXAMPLES / "model_weights.pth")
    inputs = load_inputs(EXAMPLES / "samples.csv")
    assert inputs.values.shape == (5, 10)
    assert inputs.features[0] == "mean radius"
    with torch.no_grad():
        benign = model(inputs.values)[:, 0] > 0.5
    assert benign.tolist() == [False, False, False, True, True]
