"""The model card: README.md of a run's weights, from its manifest alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.file_writing import write_atomically
from shared.hubs.modelscope import PREFIX
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


def card_text(
    manifest: Mapping[str, Any], comparison: Mapping[str, Any] | None = None, licence: str = "other"
) -> str:
    """The card of a run with this manifest, as Markdown with the hub's header. `comparison`: of its
    evaluation's comparison.json.
    """
    adjective, _ = _how_checked(manifest)
    return f"""---
base_model: {manifest["model"].removeprefix(PREFIX)}
license: {licence}
library_name: transformers
pipeline_tag: text-generation
tags: [reasoning, distillation, {manifest["method"]}]
---

# {Path(manifest["model"]).name}, fine-tuned on {adjective}reasoning traces

Answers with its thinking between `<think>` and `</think>`, then the solution with the final answer in `\\boxed{{}}`.

{_facts(manifest)}

## Evaluation

{evaluation_text(comparison)}

## Licence

{licence_text(licence)}

Not checked here: anything but mathematics with one final answer. A model of this size errs with confidence.
`manifest.json` names every shard of the data with its sha256.
"""


def _facts(manifest: Mapping[str, Any]) -> str:
    """How the weights came to be, as a list."""
    data = manifest["data"]
    result = manifest.get("result", {})
    _, answer_check = _how_checked(manifest)
    left_out = "".join(f"  - {count:,}: {reason}\n" for reason, count in data["left_out"].items())
    right = "no generation eval was made"
    if "right" in result:
        right = f"{result['right']:.0%} of the generation eval's problems right"
    libraries = ", ".join(f"{name} {version}" for name, version in manifest["libraries"].items())
    num_problems = len(data["held_out_problems"])
    return f"""- Base model: `{manifest["model"]}`, {manifest["method"]}, backend {manifest["backend"]}
- Data: {data["train"]:,} traces {answer_check} ({data["tokens"]:,} tokens); {data["held_out"]:,} held out
  with {num_problems:,} problems. Left out:
{left_out.rstrip() or "  - none"}
- Learning rate {manifest["learning_rate"]["value"]:g}: {manifest["learning_rate"]["source"]}
- Best step {result.get("best_step", "?")}: {right}, held-out loss {result.get("held_out_loss", float("nan")):.4f}
- Weights: {_merge_line(manifest.get("merge"))}
- Prompt: the chat template's own; system text policy "{manifest["template"]["system"]}", digest
  `{manifest["template"]["digest"]}`
- Trained on {manifest["card"]["name"]}, {manifest["plan"]["dtype"]}, seed {manifest["seed"]},
  commit `{manifest["git_commit"] or "?"}`
- Libraries: {libraries}"""


def _merge_line(proof: Mapping[str, Any] | None) -> str:
    if not proof:
        return "not merged"
    doubt = "" if proof["holds"] else " (NOT the trained model)"
    return (
        f"merged in 16 bit; {proof['same_answers']} of {proof['prompts']} greedy answers equal"
        f" to the adapter's{doubt}"
    )


def evaluation_text(comparison: Mapping[str, Any] | None) -> str:
    """What the evaluation found, as a table; a sentence where there was none."""
    if comparison is None:
        return "Not evaluated: no claim is made that the model got better."
    lines = [
        "| benchmark | problems | base | tuned | difference, 95% | McNemar's exact p |",
        "|---|---|---|---|---|---|",
    ]
    for name, figures in comparison["benchmarks"].items():
        low, high = figures["interval95"]
        lines.append(
            f"| {name} | {figures['n']:,} | {figures['base']['accuracy']:.1%}"
            f" | {figures['tuned']['accuracy']:.1%}"
            f" | {figures['difference']:+.1%} ({low:+.1%} to {high:+.1%})"
            f" | {figures['mcnemar_p']:.2g} |"
        )
    return "\n".join(lines)


def licence_text(licence: str) -> str:
    """What a reader must know before using the weights."""
    chosen = "None was chosen." if licence == "other" else f"`{licence}`, as the uploader says."
    return (
        f"{chosen} The base model's licence and the terms of the teacher that wrote the traces hold as"
        " well; both are the uploader's to keep."
    )


def _how_checked(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """(an adjective of the traces, what of their answers was checked)."""
    num_unverified = manifest["data"].get("unverified", 0)
    if num_unverified:
        return "", f"of a corpus that keeps {num_unverified:,} unchecked ones"
    return "verified ", "with a checked final answer"
