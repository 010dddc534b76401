"""The model card (README.md) of every export: what it is, what it learnt from, how to run it.

Its head is the YAML that the Hugging Face hub reads. The idea: Mitchell et al. 2019.
"""

from __future__ import annotations

from tinytales.bundle import Manifest

_SNIPPETS = {
    "onnxruntime": """```python
from tinytales import Storyteller, StoryPrompt

teller = Storyteller.open("path/to/this/folder")
print(teller.tell(StoryPrompt(words=("kite", "windy"))).text)
```

Or on the command line: `tinytales tell --model path/to/this/folder`. The graph uses operators
of onnxruntime's (`com.microsoft`) and a shared cache; tinytales/engine/ort.py describes its inputs.
""",
    "llama.cpp": """```
ollama create {name} -f Modelfile && ollama run {name} "A fox finds a kite in a tree."
llama-cli -m model.gguf -no-cnv -p "One day, a fox"
tinytales tell --model path/to/this/folder
```

LM Studio takes `model.gguf` as it is.
""",
    "portable": """```python
import onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
print([value.name for value in session.get_inputs()])
```

The graph uses standard ONNX operators only; its inputs are those of optimum's
`text-generation-with-past`.
""",
    "transformers": """```python
from transformers import pipeline

tell = pipeline("text-generation", "path/to/this/folder")
print(tell("<|endoftext|>One day, a fox", max_new_tokens=200)[0]["generated_text"])
```
""",
}
_TAGS = {
    "onnxruntime": "onnx",
    "llama.cpp": "gguf",
    "portable": "onnx",
    "transformers": "safetensors",
}


def model_card(manifest: Manifest) -> str:
    """README.md for one export."""
    shape, parameters = manifest.shape, manifest.parameters
    parts = [
        "---",
        f"license: {_card_licence(manifest)}",
        "language: en",
        "pipeline_tag: text-generation",
        f"tags: [tinystories, tinytales, {_TAGS[manifest.runtime]}]",
        "---",
        f"# {manifest.name} ({manifest.quantization})",
        "",
        "A very small language model that tells stories for young children, in simple English. "
        "Made with tinytales, after the recipe of TinyStories "
        "([Eldan & Li 2023](https://arxiv.org/abs/2305.07759)).",
        "",
        "| | |",
        "|---|---|",
        f"| parameters | {parameters['total']:,} ({parameters['embedding']:,} of them embedding) |",
        f"| shape | {shape.layers} layers, hidden {shape.hidden_size}, ffn {shape.ffn_size}, "
        f"{shape.heads} heads over {shape.kv_heads} |",
        f"| vocabulary | {shape.vocab_size:,} (byte-level BPE) |",
        f"| context | {manifest.context_length} tokens |",
        f"| form | {manifest.quantization}, for {manifest.runtime} |",
        *_figures(manifest),
        "",
        "## Use",
        "",
        _SNIPPETS[manifest.runtime].replace("{name}", manifest.name).strip(),
        "",
        "A story may be asked for with a header, every line of which may be left out:",
        "",
        "```",
        "Words: kite, climb, windy",
        "Features: Dialogue, Moral",
        "Summary: A boy learns to ask for help when his kite is stuck.",
        "Story:",
        "```",
        "",
        "Every document begins and ends with `<|endoftext|>`, the one special token.",
        "",
        "## What it learnt from",
        "",
        *_sources(manifest),
        "",
        "## What it is not for",
        "",
        "It knows nothing of the world and answers no questions. It may tell something sad, odd "
        "or wrong; the tinytales app checks stories before a child sees them, this file alone "
        "does not.",
        "",
    ]
    return "\n".join(parts)


def _card_licence(manifest: Manifest) -> str:
    return manifest.licence.lower() or "other"


def _figures(manifest: Manifest) -> list[str]:
    rows = []
    bits, checks = manifest.bits_per_byte, manifest.checks
    if bits:
        rows.append(
            f"| bits per byte ({bits['text']}) | {bits['before']:.4f} in fp32, "
            f"{bits['after']:.4f} in this form |"
        )
    if "greedy_agreement" in checks:
        rows.append(
            f"| greedy stories | {checks['greedy_agreement']:.1%} of tokens as fp32 chooses them, "
            f"{checks['greedy_share']:.1%} before the first that is not |"
        )
    if "invented_words" in checks:
        words = checks["invented_words"]
        rows.append(
            f"| invented words | {words['before']:.2%} in fp32, {words['after']:.2%} in this form |"
        )
    return rows


def _sources(manifest: Manifest) -> list[str]:
    if not manifest.sources:
        return ["The checkpoint does not say."]
    rows = ["| text | licence |", "|---|---|"]
    for source in manifest.sources:
        rows.append(f"| {source.get('name', '?')} | {source.get('licence', '?')} |")
    return rows
