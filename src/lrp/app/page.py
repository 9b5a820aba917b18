"""The form: what to explain, by what, and the answers beside each other."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import gradio

from lrp.app.answers import INPUT, Question, answer
from lrp.app.choice import Choice, Words
from lrp.app.shown import problem, shown
from lrp.app.uploads import ENDINGS, check, told
from lrp.errors import InputError, LRPError

__all__ = ["STYLE", "page", "theme"]

STYLE = (Path(__file__).parent / "page.css").read_text("utf-8")
HOUR = 3600
MAX_LETTERS = 10_000
NOTHING = "nothing"
SAME = "the same model"
RANKS = ("top", "top:2", "top:3")


class Form(NamedTuple):
    """What the form says, field by field."""

    model: str
    file: str | None
    example: str | None
    text: str
    row: float
    target: str
    preset: str
    layer: str
    other: str
    second: str
    shared: bool


def page(choices: Sequence[Choice], words: Words, folder: Path) -> gradio.Blocks:
    """Return the page. Questions are answered one after the other, whichever tab they come from.

    Args:
        choices, words: what it chooses among.
        folder: for reports.
    """
    models = {choice.name: choice for choice in choices}
    first = choices[0]
    with gradio.Blocks(title="lrp", analytics_enabled=False, delete_cache=(HOUR, 24 * HOUR)) as blocks:
        gradio.HTML("<h1>Layer-wise Relevance Propagation</h1>")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=300):
                model = gradio.Dropdown(list(models), value=first.name, label="Model")
                file = gradio.File(
                    label="Input: image, CSV, npy, wav", file_types=list(ENDINGS), height=150, elem_id="lrp-file"
                )
                example = gradio.Dropdown(list(first.examples), label="or an example", visible=bool(first.examples))
                text = gradio.Textbox(
                    label="or a text", lines=3, max_length=MAX_LETTERS, visible=first.tokenizer is not None
                )
                row = gradio.Number(1, precision=0, minimum=1, label="Row of the file")
                target = gradio.Dropdown(
                    targets(first),
                    value="top",
                    label="Target",
                    info="a class, top:2, diff:A,B",
                    allow_custom_value=True,
                )
                preset = gradio.Dropdown(list(words.presets), value="auto", label="Preset", allow_custom_value=True)
                layer = gradio.Dropdown(layers(first), value=INPUT, label="Layer")
                other = gradio.Dropdown(
                    [NOTHING, *words.presets], value=NOTHING, label="Beside it: preset", allow_custom_value=True
                )
                second = gradio.Dropdown([SAME, *models], value=SAME, label="Beside it: model", visible=len(models) > 1)
                shared = gradio.Checkbox(True, label="One colour scale for both")
                run = gradio.Button("Explain", variant="primary")
            with gradio.Column(scale=3, min_width=300):
                result = gradio.HTML('<p class="lrp-note">Drop a file, then Explain.</p>', elem_id="lrp-result")
                with gradio.Row():
                    saves = [gradio.DownloadButton("Save the report", visible=False) for _ in range(2)]

        def explain(*asked: Any) -> list[Any]:
            html, reports = answered(Form(*asked), models, words, folder)
            filled = [gradio.DownloadButton(f"Save the report of {t}", value=p, visible=True) for t, p in reports]
            return [html, *filled, *(gradio.DownloadButton(visible=False) for _ in saves[len(reports) :])]

        def chosen(name: str) -> list[Any]:
            choice = models[name]
            return [
                gradio.Dropdown(list(choice.examples), value=None, visible=bool(choice.examples)),
                gradio.Textbox(visible=choice.tokenizer is not None),
                gradio.Dropdown(targets(choice), value="top"),
                gradio.Dropdown(layers(choice), value=INPUT),
            ]

        quietly: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
        model.change(chosen, model, [example, text, target, layer], **quietly)
        asked = [model, file, example, text, row, target, preset, layer, other, second, shared]
        run.click(explain, asked, [result, *saves], concurrency_limit=1, **quietly)
    return blocks.queue(api_open=False)


def theme() -> gradio.themes.Base:
    """Return colours that can be read, and fonts that are on every machine: gradio's own come from elsewhere."""
    base = gradio.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return base.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        block_info_text_color="*neutral_600",
    )


def answered(form: Form, models: dict[str, Choice], words: Words, folder: Path) -> tuple[str, list[tuple[str, str]]]:
    """Return the HTML of the answers, and title and path of the report of each; or what is wrong, and no reports."""
    try:
        choice = models[form.model]
        beside = choice if form.second == SAME else models[form.second]
        pairs = [(choice, form.preset)]
        if form.other != NOTHING or beside is not choice:
            pairs.append((beside, form.preset if form.other == NOTHING else form.other))
        answers = []
        for each, preset in pairs:
            source, is_text = given(each, form)
            question = Question(source, is_text, int(form.row), form.target, preset, form.layer)
            answers.append(answer(each, question, words))
        return shown(answers, shared=form.shared), [(each.title, str(each.report(folder))) for each in answers]
    except LRPError as error:
        return problem(told(error)), []
    except Exception as error:  # the model's own code
        traceback.print_exc()
        return problem(told(error)), []


def given(choice: Choice, form: Form) -> tuple[str, bool]:
    """Return the text where there is one that the model can read; else the file that was dropped, or the example."""
    if choice.tokenizer is not None and form.text.strip():
        return form.text, True
    if form.file is not None:
        check(Path(form.file))
        return form.file, False
    if form.example is not None and form.example in choice.examples:
        return form.example, False
    raise InputError(
        "there is nothing to explain", where="input", cure="drop a file, or write a text where one is read"
    )


def targets(choice: Choice) -> list[str]:
    """Return words for targets: ranks, and the names of classes."""
    return [*RANKS, *choice.labels]


def layers(choice: Choice) -> list[str]:
    """Return what can be shown."""
    return [INPUT, *(path for path, _ in choice.model.named_modules() if path)]
