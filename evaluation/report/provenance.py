"""The end of the report: where its numbers come from, told from the manifest."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from evaluation.report.tables import pairs_table, table

Manifest = Mapping[str, Any]


def provenance(manifest: Manifest) -> str:
    """The command, the models, the benchmarks, the settings and the whole manifest, as HTML."""
    models = [_model_cells(model) for model in manifest.get("models", ())]
    benchmarks = [_benchmark_cells(benchmark) for benchmark in manifest.get("benchmarks", ())]
    settings = pairs_table(manifest.get("generation", {}).items())
    keys = ("card", "python", "git_commit")
    surroundings = [(key.replace("_", " "), manifest.get(key, "")) for key in keys]
    libraries = manifest.get("libraries", {}).items()
    text = json.dumps(manifest, indent=2, ensure_ascii=False, default=str)
    return (
        "<section id=manifest><h2>Where these numbers come from</h2>"
        "<p>The same numbers again:</p>"
        f"<pre class=command>{escape(manifest.get('command', ''))}</pre>"
        f"{table(('model', 'weights', 'asked with', 'key of its answers'), models)}"
        f"{table(('benchmark', 'problems', 'from', 'sha256'), benchmarks)}"
        f"<div class=figures>{settings}{pairs_table([*surroundings, *libraries])}</div>"
        f"<details><summary>manifest.json</summary><pre>{escape(text)}</pre></details>"
        "</section>"
    )


def _model_cells(model: Manifest) -> list[str]:
    settings = [f"{key} {model[key]}" for key in ("template", "precision") if model.get(key)]
    return [
        escape(str(model["name"])),
        f"<code>{escape(_weights(model))}</code>",
        escape(", ".join(settings)),
        f"<code>{escape(str(model.get('key', '')))}</code>",
    ]


def _weights(model: Manifest) -> str:
    """The weights' fingerprint; a server does not tell it."""
    weights = model.get("weights")
    if weights:
        return str(weights)
    address = model.get("base_url", "the server")
    servers = address if isinstance(address, str) else ", ".join(address)
    return f"not told by {servers}"


def _benchmark_cells(benchmark: Manifest) -> list[str]:
    return [
        escape(benchmark["name"]),
        f"{benchmark['problems']:,} of {benchmark['whole']:,}",
        escape(benchmark["origin"]),
        f"<code>{escape(benchmark['sha256'][:16])}</code>",
    ]
