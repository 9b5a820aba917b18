"""`lrp explain hf:FOLDER --text`: what `lrp.explain_text` says of the same text."""

import csv
import io
import json
import sys
import wave
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, Wav2Vec2Config, Wav2Vec2ForSequenceClassification

import lrp
from tests.cases.texts import build

Cli = Callable[..., Result]
TEXT = "Unhappily, other things are lost."

pytestmark = pytest.mark.filterwarnings("ignore:.*the map may be noise:lrp.LRPWarning")


@cache
def built(name: str) -> tuple[Any, Any]:
    """One of each: a tokenizer that is trained again numbers its tokens otherwise."""
    model, tokenizer = build(name)
    return model.float(), tokenizer


@pytest.fixture(autouse=True)
def folders(lrp_cli: Cli, tmp_path: Path) -> None:
    for name in ("classifier", "gpt2"):
        model, tokenizer = built(name)
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)


def truth(name: str, text: str, **options: Any) -> Any:
    model, tokenizer = built(name)
    return lrp.explain_text(model, tokenizer, text, **options)


def read_json(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    samples: list[dict[str, Any]] = json.loads(result.stdout)["samples"]
    return samples


def assert_same(sample: dict[str, Any], r: Any) -> None:
    assert sample["target"] == r.target
    assert sample["explained"] == pytest.approx(float(r.relevance.explained), rel=1e-5)
    assert [word["text"] for word in sample["words"]] == [word.text for word in r.words]
    found, expected = ([word["relevance"] for word in sample["words"]], [word.relevance for word in r.words])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * max(map(abs, expected)))
    (source,) = sample["inputs"]
    assert source["features"] == [token.text for token in r.tokens]
    assert len(source["values"]) == len(r.tokens)
    assert source["sum"] == pytest.approx(sum(token.relevance for token in r.tokens), rel=1e-4)


@pytest.mark.parametrize(
    ("model", "words", "options"),
    [
        ("classifier", [], {}),
        ("classifier", ["--target", "good"], {"target": "good"}),
        ("classifier", ["--target", "0"], {"target": 0}),
        ("classifier", ["--target", "top"], {"target": lrp.targets.Top()}),
        ("classifier", ["--target", "diff:good,bad"], {"target": ("good", "bad")}),
        ("classifier", ["--target", "logodds:good"], {"target": lrp.targets.LogOdds("good")}),
        ("gpt2", ["--target", "Paris and"], {"target": "Paris and"}),
        ("gpt2", ["--target", "token:-1=3"], {"target": lrp.targets.Token(-1, 3)}),
        ("gpt2", ["--generate", "2"], {"generate": 2}),
        ("gpt2", ["--composite", "cp_lrp"], {"composite": lrp.presets.cp_lrp()}),
    ],
)
def test_the_words_of_the_library(lrp_cli: Cli, model: str, words: list[str], options: dict[str, Any]) -> None:
    text = TEXT if model == "classifier" else "The capital of France is"
    (sample,) = read_json(lrp_cli("explain", f"hf:{model}", "--text", text, *words, "--format", "json"))
    assert_same(sample, truth(model, text, **options))
    assert sample["input"] == text


def test_positions_are_inputs_of_their_own(lrp_cli: Cli) -> None:
    words = ["explain", "hf:classifier", "--text", TEXT, "--positions"]
    (sample,) = read_json(lrp_cli(*words, "--format", "json"))
    r = truth("classifier", TEXT, positions=True)
    assert_same(sample, r)
    found = {each["name"]: each["relevance"] for each in sample["positions"]}
    assert list(found) == list(r.relevance.positions)
    for name, expected in r.relevance.positions.items():
        np.testing.assert_allclose(found[name], expected[0].tolist(), rtol=1e-4, atol=1e-5)
    rows = list(csv.DictReader(io.StringIO(lrp_cli(*words, "--text", "lost", "--format", "csv").stdout)))
    parts = [value for key, value in rows[0].items() if key.startswith("relevance: ")]
    assert float(rows[0]["sum"]) == pytest.approx(sum(map(float, parts)), rel=1e-5)
    assert len(parts) == 1 + len(found)
    assert all(name in lrp_cli(*words).stdout for name in found)
    assert "positions" not in read_json(lrp_cli(*words[:-1], "--format", "json"))[0]


def test_several_texts_and_a_tokenizer_of_its_own(lrp_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "classifier" / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    texts = [TEXT, "=1+1 things"]
    words = ["explain", "hf:classifier", "--tokenizer", "tokenizer.json", "--text", texts[0], "--text", texts[1]]
    rows = list(csv.DictReader(io.StringIO(lrp_cli(*words, "--format", "csv").stdout)))
    assert [row["input"] for row in rows] == [TEXT, "'=1+1 things"]
    assert list(rows[0])[-1] == "relevance: input_ids"


def test_text_lists_the_words_in_order(lrp_cli: Cli) -> None:
    shown = lrp_cli("explain", "hf:classifier", "--text", TEXT).stdout
    part = shown[shown.index("relevance by word") :].split("\n\n")[0].splitlines()[1:]
    assert [line.split()[0] for line in part] == [word.text for word in truth("classifier", TEXT).words]


def test_plan_and_layers_of_a_folder(lrp_cli: Cli) -> None:
    assert "embedding" in lrp_cli("plan", "hf:classifier", "--text", TEXT).stdout
    assert "BertForSequenceClassification" in lrp_cli("layers", "hf:classifier").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text", TEXT, "--size", "3"], "--size"),
        (["--text", TEXT, "--reference", "zero"], "--reference"),
        (["--text", TEXT, "--labels", "x"], "--labels"),
        (["--text", TEXT, "--reference-output", "1"], "--reference-output"),
        (["--text", TEXT, "--through-output"], "--through-output"),
        (["--text", TEXT, "x.csv"], "one kind of input"),
        (["--text", TEXT, "--target", "0", "--target", "1"], "one target"),
        (["--text", TEXT, "--target", "goood"], "one of 'good'"),
        (["--text", TEXT, "--tokenizer", "absent"], "no tokenizer"),
        (["x.csv", "--generate", "2"], "--generate"),
        (["x.csv", "--tokenizer", "classifier"], "--tokenizer"),
        (["--text", TEXT, "--model-kwargs", "{}"], "--model-kwargs"),
    ],
)
def test_what_is_refused(lrp_cli: Cli, tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "x.csv").write_text("1,2\n")
    result = lrp_cli("explain", "hf:classifier", *words)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert "cure" in result.stderr
    assert result.stdout == ""


def test_a_text_needs_a_tokenizer(lrp_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text("from torch import nn\nmodel = nn.Linear(1, 1)\n")
    result = lrp_cli("explain", "models.py:model", "--text", TEXT)
    assert result.exit_code == 2
    assert "needs a tokenizer" in result.stderr


def test_without_transformers(lrp_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    result = lrp_cli("explain", "hf:classifier", "--text", TEXT)
    assert result.exit_code == 2
    assert 'pip install "lrp[hf]"' in result.stderr


def test_an_image_is_prepared_as_the_folder_says(lrp_cli: Cli, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = ViTConfig(**sizes, image_size=16, patch_size=8, id2label={0: "ant", 1: "bee", 2: "cat"})
    model = ViTForImageClassification(config).eval()
    model.save_pretrained(tmp_path / "vit")
    says = {"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16}, "resample": 2}
    says |= {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.25, 1.0]}
    (tmp_path / "vit" / "preprocessor_config.json").write_text(json.dumps(says))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    resized = np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR)).astype(np.float32) / 255
    x = torch.from_numpy((resized - np.float32([0.5, 0.4, 0.3])) / np.float32([0.5, 0.25, 1.0])).permute(2, 0, 1)[None]
    with torch.no_grad():
        bee = float(model(x).logits[0, 1])
    words = ["explain", "hf:vit", "x.png", "--target", "bee", "--format", "json"]
    for more in ([], ["--preprocess", "vit/preprocessor_config.json"]):
        (sample,) = read_json(lrp_cli(*words, *more))
        assert sample["explained"] == pytest.approx(bee, rel=1e-4)
        assert sample["target"] == "the output of class 1, bee"
    (by_hand,) = read_json(lrp_cli(*words, "--size", "16"))
    assert by_hand["explained"] != pytest.approx(bee, rel=1e-3)
    (tmp_path / "other.json").write_text(json.dumps({**says, "image_mean": [0.1, 0.1, 0.1]}))
    (other,) = read_json(lrp_cli(*words, "--preprocess", "other.json"))
    assert other["explained"] != pytest.approx(bee, rel=1e-3)


def test_a_sound_is_prepared_as_the_folder_says(lrp_cli: Cli, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": (8,), "conv_kernel": (10,), "conv_stride": (5,)}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "classifier_proj_size": 8}
    model = Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**sizes, **convolutions, **positions)).eval()
    model.save_pretrained(tmp_path / "speech")
    says = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000, "do_normalize": True}
    path = tmp_path / "speech" / "preprocessor_config.json"
    path.write_text(json.dumps(says))
    heard = np.random.default_rng(0).integers(-3000, 4000, 200).astype("<i2")
    for rate in (16000, 8000):
        with wave.open(str(tmp_path / f"{rate}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(heard.tobytes())
    x = heard.astype(np.float32) / 2**15
    x = torch.from_numpy((x - x.mean()) / np.sqrt(x.var() + 1e-7))[None]
    with torch.no_grad():
        logit = float(model(x).logits[0, 1])
    words = ["explain", "hf:speech", "16000.wav", "--target", "1", "--format", "json"]
    (sample,) = read_json(lrp_cli(*words))
    assert sample["explained"] == pytest.approx(logit, rel=1e-4)
    assert sample["target"] == "the output of class 1"  # LABEL_1 says no more
    np.testing.assert_allclose(sample["inputs"][0]["values"], x[0], rtol=1e-5)
    wrong = lrp_cli("explain", "hf:speech", "8000.wav")
    assert wrong.exit_code == 2
    assert "8000, not 16000" in wrong.stderr
    assert read_json(lrp_cli("explain", "hf:speech", "8000.wav", "--rate", "8000", "--format", "json"))
    path.write_text(json.dumps({**says, "num_mel_bins": 80}))
    assert "num_mel_bins" in lrp_cli(*words).stderr


def test_a_page_of_texts(lrp_cli: Cli, tmp_path: Path) -> None:
    words = ["explain", "hf:classifier", "--text", TEXT, "--text", "<b>lost</b> things"]
    result = lrp_cli(*words, "--out", "x.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "x.html").read_text()
    assert page.count("relevance") > 2
    assert "lost" in page
    assert truth("classifier", TEXT).target in page  # which names the class
    assert "<b>lost" not in page
    assert lrp_cli(*words, "--out", "pages/", "--format", "html").exit_code == 0
    index = (tmp_path / "pages" / "index.html").read_text()
    assert f'<a href="reports/text-1.html">{TEXT}</a>' in index
    assert '<a href="reports/text-2.html">&lt;b&gt;lost&lt;/b&gt; things</a>' in index
    strongest = max(truth("classifier", TEXT).words, key=lambda word: abs(word.relevance))
    assert f"<td>{strongest.text} {strongest.relevance:+.4g}</td>" in index
