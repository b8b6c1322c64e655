"""report.html of a run: curves, the generation evals' answers over time, data facts. One file, no script,
everything escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.file_writing import write_atomically
from shared.pages import document
from shared.pages.charts import Points, line_chart
from trainer.artifacts.manifest import read_manifest
from trainer.artifacts.metrics import Line, read_lines


def write_report(run: Path) -> None:
    """Write `report.html` into a run's folder, from its files alone. Errors: `InputError` where
    it is no run's.
    """
    manifest = read_manifest(run)
    if manifest is None:
        raise InputError(
            f"{run}: not a run's folder (no manifest.json): give the `run` of a training"
            " configuration"
        )
    metrics = read_lines(run / "metrics.jsonl")
    evals = read_lines(run / "probe.jsonl")
    page = report_html(run.name, manifest, metrics, evals)
    write_atomically(run / "report.html", page.encode())


def report_html(
    name: str, manifest: Mapping[str, Any], metrics: Sequence[Line], evals: Sequence[Line]
) -> str:
    """The whole page as text. `evals`: the lines of probe.jsonl."""
    body = "\n".join(
        (
            f"<h1 translate=no>{escape(name)}</h1>",
            _summary(manifest, metrics, evals),
            f"<h2>Curves</h2><div class=figures>{_curves(metrics, evals)}</div>",
            _answers(evals),
            f"<h2>Data</h2>{_data(manifest['data'])}",
            f"<h2>What it came from</h2>{_origin(manifest)}",
        )
    )
    return document(f"{name}: training report", body, style=STYLE)


def _summary(manifest: Mapping[str, Any], metrics: Sequence[Line], evals: Sequence[Line]) -> str:
    boxes = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(text)}</span></div>"
        for value, text in _tiles(manifest, metrics, evals)
    )
    origin = (
        f"{manifest['model']} · {manifest['method']} · {manifest['backend']} on"
        f" {manifest['card']['name']}"
    )
    state_note = ""
    if "result" not in manifest:
        state_note = "<p class=note>The run has not ended: this is its state so far.</p>"
    return f'<p class="dim">{escape(origin)}</p>{state_note}<div class="tiles">{boxes}</div>'


def _tiles(
    manifest: Mapping[str, Any], metrics: Sequence[Line], evals: Sequence[Line]
) -> list[tuple[str, str]]:
    """(value, what it is) of each figure at the top."""
    tiles = []
    best_step = manifest.get("result", {}).get("best_step")
    if evals:
        best = next((line for line in evals if line["step"] == best_step), evals[-1])
        before = sum(answer["right"] for answer in evals[0]["answers"])
        after = sum(answer["right"] for answer in best["answers"])
        problems = len(best["answers"])
        right = f"{before} → {after} of {problems}"
        about = "eval problems right, before and after"
        if "result" not in manifest:
            about = "eval problems right, before and so far"
        if len(evals) == 1:
            right = f"{after} of {problems}"
            about = f"eval problems right at step {evals[0]['step']:,}"
        tiles.append((right, about))
    held_out = _points(metrics, "held_out_loss")
    if held_out:
        start = held_out[0][1]
        end = held_out[-1][1]
        losses = f"{start:.3f} → {end:.3f}" if len(held_out) > 1 else f"{end:.3f}"
        tiles.append((losses, "held-out loss per token"))
    speeds = _points(metrics, "tokens_per_second")
    if speeds:
        tiles.append((f"{speeds[-1][1]:,.0f}", "tokens/s"))
    tiles += _progress(manifest, metrics)
    if best_step is not None:
        tiles.append((f"{best_step}", "step whose weights were kept"))
    proof = manifest.get("merge")
    if proof:
        verdict = "proved" if proof["holds"] else "REFUSED"
        same = f"merge: {proof['same_answers']} of {proof['prompts']} greedy answers the same"
        tiles.append((verdict, same))
    return tiles


def _progress(manifest: Mapping[str, Any], metrics: Sequence[Line]) -> list[tuple[str, str]]:
    """How far the run is: the steps so far, and of how many traces."""
    traces = f"{manifest['data']['train']:,}"
    if "result" in manifest:
        all_tokens = manifest["data"]["tokens"]
        tokens = manifest["result"].get("tokens", all_tokens)  # absent in an older version's run
        if tokens < all_tokens:  # less than one epoch
            return [(f"{tokens / all_tokens:.1%}", f"of {traces} traces learnt")]
        return [(traces, "traces learnt")]
    step = max((int(line["step"]) for line in metrics), default=0)
    whole = manifest["plan"].get("steps")
    return [
        (f"{step:,} of {whole:,}" if whole else f"{step:,}", "steps made"),
        (traces, "traces to learn from"),
    ]


def _curves(metrics: Sequence[Line], evals: Sequence[Line]) -> str:
    """All charts. Each says itself where it has no points."""
    losses = {
        "training": _points(metrics, "loss"),
        "held out": _points(metrics, "held_out_loss"),
    }
    shares = {
        "right": _points(evals, "right"),
        "boxed": _points(evals, "boxed"),
        "thinking never closed": _points(evals, "unclosed"),
    }
    lengths = {"mean": _points(evals, "mean_tokens")}
    speeds = {"training": _points(metrics, "tokens_per_second")}
    charts = (
        line_chart("Loss", losses),
        line_chart("Generation eval", shares, percent=True),
        line_chart("Length of the eval's answers", lengths, unit="tokens"),
        line_chart("Speed", speeds, unit="tokens a second"),
        line_chart("Learning rate", {"rate": _points(metrics, "learning_rate")}),
        line_chart("Memory", {"in use": _points(metrics, "memory_gib")}, unit="GiB"),
    )
    return "".join(charts) or "<p>No step has been logged yet.</p>"


def _answers(evals: Sequence[Line]) -> str:
    """Each problem with its answers over time, newest first."""
    if not evals:
        return (
            "<h2>Generation eval</h2><p>No problem was asked (probe.problems = 0, or nothing was held"
            " out).</p>"
        )
    head = "".join(f"<th>{line['step']}" for line in evals)
    numbers = range(len(evals[-1]["answers"]))
    rows = "".join(_problem_row(evals, number) for number in numbers)
    return (
        "<h2>Answers over time</h2><p>✓ right, ✗ boxed but wrong, ○ no box, … thinking never"
        " closed. "
        'Open a problem to read its answers.</p><div class="wide"><table'
        f' class="probe"><tr><th>problem, by step{head}'
        f"{rows}</table></div>"
    )


def _problem_row(evals: Sequence[Line], number: int) -> str:
    """Problem `number` of the newest eval, with its answers in all of them."""
    problem = evals[-1]["answers"][number]
    by_step = [
        (line["step"], line["answers"][number]) for line in evals if number < len(line["answers"])
    ]
    cells = ""
    texts = ""
    for step, answer in by_step:
        css, sign, words = _mark(answer)
        cells += f'<td class="{css}">{sign}'
        text = (
            f"<h4>Step {step}: {words}, {answer['tokens']:,} tokens</h4>"
            f"<pre>{escape(answer['text'])}</pre>"
        )
        texts = text + texts  # newest first
    return (
        f"<tr><td><details><summary translate=no>{escape(problem['problem'])}</summary>"
        f"<p>Gold: <b translate=no>{escape(problem['gold'])}</b></p>{texts}</details>{cells}"
    )


def _mark(answer: Mapping[str, Any]) -> tuple[str, str, str]:
    """(CSS class, sign, words) of what became of an answer."""
    if answer["right"]:
        return "good", "✓", "right"
    if not answer["closed"]:
        return "dim", "…", "thinking never closed"
    return ("bad", "✗", "wrong") if answer["boxed"] else ("dim", "○", "no boxed answer")


def _data(data: Mapping[str, Any]) -> str:
    left_out = "".join(
        f"<tr><td>left out: {escape(why)}<td>{count:,}" for why, count in data["left_out"].items()
    )
    shards = "".join(
        f"<tr><td>{escape(str(shard['corpus']))}/{escape(shard['name'])}<td>{shard['rows']:,}"
        f"<td><code>{escape(shard['sha256'])}</code>"
        for shard in data["shards"]
    )
    return f"""<table class=facts><tr><td>traces read<td>{data["read"]:,}
<tr><td>for training<td>{data["train"]:,} ({data["tokens"]:,} tokens)
<tr><td>held out<td>{data["held_out"]:,} of {len(data["held_out_problems"]):,} problems{left_out}
<tr><td>cost of what was left out<td>${data["left_out_cost_usd"]:,.2f}
<tr><td>open shards, not read<td>{data["open_shards_not_read"]:,}</table>
<details><summary>{len(data["shards"])} shards</summary>
<table><tr><th>shard<th>rows<th>sha256{shards}</table></details>"""


def _origin(manifest: Mapping[str, Any]) -> str:
    rate = manifest["learning_rate"]
    template = manifest["template"]
    plan = manifest["plan"]
    facts = {
        "learning rate": f"{rate['value']:g} ({rate['source']})",
        "chat template": (
            f"{template['digest']}, ends a turn with {template['end']!r}, inserts"
            f" {template['inserted_by_template']!r}, system text policy {template['system']!r}"
        ),
        "micro-batch": (
            f"at most {plan['tokens_a_micro_batch']:,} tokens, {plan['dtype']}, "
            f"checkpointing {'on' if plan['checkpointing'] else 'off'}, "
            f"layers {'compiled' if plan['compile'] else 'not compiled'}"
        ),
        "seed": manifest["seed"],
        "commit": manifest["git_commit"] or "unknown",
        "Python": manifest["python"],
        "libraries": ", ".join(
            f"{name} {version}" for name, version in manifest["libraries"].items()
        ),
    }
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{escape(str(value))}" for name, value in facts.items()
    )
    return f"<table class=facts>{rows}</table>"


def _points(lines: Sequence[Line], key: str) -> Points:
    return [(float(line["step"]), float(line[key])) for line in lines if key in line]


STYLE = """
.probe td:first-child { min-width: 12rem; }
.probe td:not(:first-child), .probe th:not(:first-child) { text-align: center; padding: .25rem .4rem; }
"""
