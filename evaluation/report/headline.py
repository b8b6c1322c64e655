"""The top of the report: what was compared, and a card with the result for each benchmark."""

from collections.abc import Mapping
from html import escape
from typing import Any

from evaluation.report import plots
from evaluation.stats.comparison import FEW, Entry, comparisons_of, show_p


def header(manifest: Mapping[str, Any], benchmarks: Mapping[str, Entry]) -> str:
    """The title, the models and one card for each comparison, as HTML."""
    names = [escape(model["name"]) for model in manifest.get("models", ())]
    models = ", ".join(names)
    if len(names) > 1:
        models = f"{names[0]} against {', '.join(names[1:])}"
    surroundings = [manifest[key] for key in ("finished_at", "card") if manifest.get(key)]
    facts = [models, *map(escape, surroundings)]
    cards = "".join(
        _card(name, comparison)
        for name, entry in benchmarks.items()
        for comparison in comparisons_of(entry)
    )
    return (
        f"<header><h1>Did the student get better?</h1><p class=dim>{' · '.join(facts)}</p></header>"
        f"<section class=cards>{cards}</section>"
    )


def _card(name: str, entry: Entry) -> str:
    return _comparison_card(name, entry) if "tuned" in entry else _single_card(name, entry)


def _single_card(name: str, entry: Entry) -> str:
    base = entry["base"]
    low, high = base["wilson95"]
    return (
        "<article class=card>"
        f"<h2>{escape(name)}</h2>"
        f"<p class=big>{plots.percent(base['accuracy'], 1)}</p>"
        f"<p>{escape(base['model'])}: {base['correct']:g} of {entry['n']:,} right,"
        f" 95% interval {plots.percent(low, 1)} to {plots.percent(high, 1)}.</p>"
        "<p class=dim>One model alone shows no gain: name a base to compare with.</p>"
        "</article>"
    )


def _comparison_card(name: str, entry: Entry) -> str:
    base = entry["base"]
    tuned_figures = entry["tuned"]
    low, high = entry["interval95"]
    notes = "".join(f"<li>{escape(note)}</li>" for note in _notes(entry))
    return (
        f'<article class="card {_tone(entry)}">'
        f"<h2>{escape(name)} <span class=dim>{entry['n']:,} problems</span></h2>"
        f"<p class=big>{plots.percent(base['accuracy'], 1)} →"
        f" <b>{plots.percent(tuned_figures['accuracy'], 1)}</b></p>"
        f"<p class=verdict>{escape(_sentence(entry))}</p>"
        f"<p>{plots.points(entry['difference'])} points,"
        f" 95% interval {plots.points(low)} to {plots.points(high)};"
        f" {entry['fixed']} fixed, {entry['broken']} broken,"
        f" McNemar p = {show_p(entry['mcnemar_p'])}.</p>"
        f"<p class=dim>{escape(base['model'])} → {escape(tuned_figures['model'])}</p>"
        + (f"<ul class=notes>{notes}</ul>" if notes else "")
        + "</article>"
    )


def _tone(entry: Entry) -> str:
    if not entry["significant"]:
        return "undecided"
    return "better" if entry["fixed"] > entry["broken"] else "worse"


def _sentence(entry: Entry) -> str:
    """What may be said, in words, and no more."""
    tone = _tone(entry)
    if tone == "undecided":
        return (
            "Not significant: this difference can be chance. The run does not show that the model"
            " changed."
        )
    return (
        f"Significant: the tuned model is {tone}. Chance alone is this lopsided in fewer than 5 of"
        " 100 runs."
    )


def _notes(entry: Entry) -> list[str]:
    notes = list(entry["warnings"])
    detectable = entry["detectable_difference"]
    if detectable < 1 and entry["n"] >= FEW:
        notes.append(
            f"{entry['n']:,} problems show a true difference of {100 * detectable:.1f} points 4"
            " times in 5."
        )
    quick = entry.get("quick")
    if quick:
        notes.append(
            f"Stopped after {quick['asked']} of {quick['of']} problems by a sequential test:"
            f" {quick['decision']} (error rates {quick['alpha']:.0%} and {quick['beta']:.0%}). The"
            " interval and p above know nothing of that."
        )
    return notes
