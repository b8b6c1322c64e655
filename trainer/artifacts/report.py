"""report.html of a run: curves, the probe's answers over time, data facts. One file, no script,
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
    metrics, probes = read_lines(run / "metrics.jsonl"), read_lines(run / "probe.jsonl")
    write_atomically(run / "report.html", report_html(run.name, manifest, metrics, probes).encode())


def report_html(
    name: str, manifest: Mapping[str, Any], metrics: Sequence[Line], probes: Sequence[Line]
) -> str:
    """The whole page as text."""
    body = "\n".join(
        (
            f"<h1>{escape(name)}</h1>",
            _summary(manifest, metrics, probes),
            f"<h2>Curves</h2><div class=figures>{_curves(metrics, probes)}</div>",
            _probe(probes),
            f"<h2>Data</h2>{_data(manifest['data'])}",
            f"<h2>What it came from</h2>{_origin(manifest)}",
        )
    )
    return document(f"{name}: training report", body, style=STYLE)


def _summary(manifest: Mapping[str, Any], metrics: Sequence[Line], probes: Sequence[Line]) -> str:
    result, proof, tiles = manifest.get("result", {}), manifest.get("merge"), []
    held = _points(metrics, "held_out_loss")
    if probes:
        first, last = (
            probes[0],
            next((p for p in probes if p["step"] == result.get("best_step")), probes[-1]),
        )
        asked = len(last["answers"])
        before, after = (sum(a["right"] for a in p["answers"]) for p in (first, last))
        tiles.append((f"{before} → {after} of {asked}", "probe problems right, before and after"))
    if held:
        tiles.append((f"{held[0][1]:.3f} → {held[-1][1]:.3f}", "held-out loss a token"))
    if speeds := _points(metrics, "tokens_per_second"):
        tiles.append((f"{speeds[-1][1]:,.0f}", "tokens a second"))
    tiles.append((f"{manifest['data']['train']:,}", "traces learnt"))
    if "best_step" in result:
        tiles.append((f"{result['best_step']}", "step whose weights were kept"))
    if proof:
        said = "proved" if proof["holds"] else "REFUSED"
        tiles.append(
            (said, f"merge: {proof['same_answers']} of {proof['prompts']} greedy answers the same")
        )
    boxes = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(text)}</span></div>" for value, text in tiles
    )
    what = (
        f"{manifest['model']} · {manifest['method']} · {manifest['backend']} on"
        f" {manifest['card']['name']}"
    )
    unfinished = (
        ""
        if "result" in manifest
        else "<p class=note>The run has not ended: this is its state so far.</p>"
    )
    return f'<p class="dim">{escape(what)}</p>{unfinished}<div class="tiles">{boxes}</div>'


def _curves(metrics: Sequence[Line], probes: Sequence[Line]) -> str:
    asked = {
        name: [(float(probe["step"]), float(probe[key])) for probe in probes]
        for name, key in (
            ("right", "right"),
            ("boxed", "boxed"),
            ("thinking never closed", "unclosed"),
        )
    }
    lengths: Points = [(float(probe["step"]), float(probe["mean_tokens"])) for probe in probes]
    charts = (
        line_chart(
            "Loss",
            {"training": _points(metrics, "loss"), "held out": _points(metrics, "held_out_loss")},
        ),
        line_chart("Probe", asked, percent=True),
        line_chart("Length of the probe's answers", {"mean": lengths}, unit="tokens"),
        line_chart(
            "Speed", {"training": _points(metrics, "tokens_per_second")}, unit="tokens a second"
        ),
        line_chart("Learning rate", {"rate": _points(metrics, "learning_rate")}),
        line_chart("Memory", {"in use": _points(metrics, "memory_gib")}, unit="GiB"),
    )
    return "".join(charts) or "<p>No step has been logged yet.</p>"


def _probe(probes: Sequence[Line]) -> str:
    """Each problem with its answers over time, newest first."""
    if not probes:
        return (
            "<h2>Probe</h2><p>No problem was asked (probe.problems = 0, or nothing was held"
            " out).</p>"
        )
    head = "".join(f"<th>{probe['step']}" for probe in probes)
    rows = []
    for number, answer in enumerate(probes[-1]["answers"]):
        over_time = [probe["answers"][number] for probe in probes if number < len(probe["answers"])]
        marks = "".join(f'<td class="{_mark(a)[0]}">{_mark(a)[1]}' for a in over_time)
        texts = "".join(
            f"<h4>Step {probe['step']}: {_mark(a)[2]}, {a['tokens']:,}"
            f" tokens</h4><pre>{escape(a['text'])}</pre>"
            for probe, a in reversed(list(zip(probes, over_time, strict=False)))
        )
        rows.append(
            f"<tr><td><details><summary>{escape(answer['problem'])}</summary>"
            f"<p>Gold: <b>{escape(answer['gold'])}</b></p>{texts}</details>{marks}"
        )
    return (
        f"<h2>Probe answers over time</h2><p>✓ right, ✗ boxed but wrong, ○ no box, … thinking never"
        f" closed. "
        'Open a problem to read its answers.</p><div class="wide"><table'
        f' class="probe"><tr><th>problem, by step{head}'
        f"{''.join(rows)}</table></div>"
    )


def _mark(answer: Mapping[str, Any]) -> tuple[str, str, str]:
    if answer["right"]:
        return "good", "✓", "right"
    if not answer["closed"]:
        return "dim", "…", "thinking never closed"
    return ("bad", "✗", "wrong") if answer["boxed"] else ("dim", "○", "no boxed answer")


def _data(data: Mapping[str, Any]) -> str:
    left = "".join(
        f"<tr><td>left out: {escape(why)}<td>{count:,}" for why, count in data["left_out"].items()
    )
    shards = "".join(
        f"<tr><td>{escape(str(s['corpus']))}/{escape(s['name'])}<td>{s['rows']:,}<td><code>{escape(s['sha256'])}</code>"
        for s in data["shards"]
    )
    return f"""<table><tr><td>traces read<td>{data["read"]:,}
<tr><td>learnt<td>{data["train"]:,} ({data["tokens"]:,} tokens)
<tr><td>held out<td>{data["held_out"]:,} of {len(data["held_out_problems"]):,} problems{left}
<tr><td>cost of what was left out<td>${data["left_out_cost_usd"]:,.2f}
<tr><td>open shards, not read<td>{data["open_shards_not_read"]:,}</table>
<details><summary>{len(data["shards"])} shards</summary>
<table><tr><th>shard<th>rows<th>sha256{shards}</table></details>"""


def _origin(manifest: Mapping[str, Any]) -> str:
    rate, template, plan = manifest["learning_rate"], manifest["template"], manifest["plan"]
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
    return f"<table>{rows}</table>"


def _points(metrics: Sequence[Line], key: str) -> Points:
    return [(float(line["step"]), float(line[key])) for line in metrics if key in line]


STYLE = """
.probe td:first-child { min-width: 12rem; }
.probe td:not(:first-child), .probe th:not(:first-child) { text-align: center; padding: .25rem .4rem; }
"""
