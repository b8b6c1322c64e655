"""The model card: README.md of a run's weights, from its manifest alone."""

from pathlib import Path
from typing import Any

from shared.file_writing import write_atomically
from trainer.artifacts.manifest import read_manifest


def write_card(run: Path) -> None:
    """README.md in `adapter/` and `merged/`, where they exist."""
    manifest = read_manifest(run)
    if manifest is None:
        return
    text = card_text(manifest).encode()
    for folder in (run / "adapter", run / "merged"):
        if folder.is_dir():
            write_atomically(folder / "README.md", text)


def card_text(manifest: dict[str, Any]) -> str:
    """The card of a run with this manifest, as Markdown with the hub's header."""
    data = manifest["data"]
    result = manifest.get("result", {})
    plan = manifest["plan"]
    left_out = "".join(f"  - {count:,}: {reason}\n" for reason, count in data["left_out"].items())
    right = "no generation eval was made"
    if "right" in result:
        right = f"{result['right']:.0%} of the generation eval's problems right"
    libraries = ", ".join(f"{name} {version}" for name, version in manifest["libraries"].items())
    proof = manifest.get("merge")
    merged = "not merged"
    if proof:
        merged = (
            f"merged in 16 bit; {proof['same_answers']} of {proof['prompts']} greedy answers equal"
            " to the adapter's"
        )
        if not proof["holds"]:
            merged += " (NOT the trained model)"
    return f"""---
base_model: {manifest["model"]}
library_name: transformers
pipeline_tag: text-generation
tags: [reasoning, distillation, {manifest["method"]}]
---

# {Path(manifest["model"]).name}, fine-tuned on verified reasoning traces

Answers with its thinking between `<think>` and `</think>`, then the solution with the final answer in `\\boxed{{}}`.

- Base model: `{manifest["model"]}`, {manifest["method"]}, backend {manifest["backend"]}
- Data: {data["train"]:,} traces with a checked final answer ({data["tokens"]:,} tokens); {data["held_out"]:,} held out
  with {len(data["held_out_problems"]):,} problems. Left out:
{left_out.rstrip() or "  - none"}
- Learning rate {manifest["learning_rate"]["value"]:g}: {manifest["learning_rate"]["source"]}
- Best step {result.get("best_step", "?")}: {right}, held-out loss {result.get("held_out_loss", float("nan")):.4f}
- Weights: {merged}
- Prompt: the chat template's own; system text policy "{manifest["template"]["system"]}", digest
  `{manifest["template"]["digest"]}`
- Trained on {manifest["card"]["name"]}, {plan["dtype"]}, seed {manifest["seed"]},
  commit `{manifest["git_commit"] or "?"}`
- Libraries: {libraries}

Not checked here: anything but mathematics with one final answer. A model of this size errs with confidence.
`manifest.json` names every shard of the data with its sha256.
"""
