"""The static part of the report, and the frame that the script fills with cases."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from evaluation.report import plots
from evaluation.stats.comparison import FEW, show_p
from shared.pages.charts import legend
from shared.pages.frame import asset, document_opening, math_script

Found = Mapping[str, Any]

_SHOWN_DISAGREEMENTS = 12


def opening(manifest: Found, comparison: Found) -> str:
    """Everything before the data blocks."""
    benchmarks = comparison["benchmarks"]
    sections = [
        _head(manifest, benchmarks),
        *(_benchmark(name, found) for name, found in benchmarks.items()),
        _CASES,
        _manifest(manifest),
    ]
    style = asset(__package__, "page.css")
    return document_opening("Evaluation report", "\n".join(sections), style=style, script=_script())


def _script() -> str:
    return f'"use strict";\n(() => {{\n{math_script()}\n{asset(__package__, "cases.js")}\n}})();\n'


def _head(manifest: Found, benchmarks: Mapping[str, Found]) -> str:
    names = [model["name"] for model in manifest.get("models", ())]
    asked = (
        f"{escape(names[0])} against {escape(', '.join(names[1:]))}"
        if len(names) > 1
        else escape(", ".join(names))
    )
    cards = "".join(
        _headline(name, entry) for name, found in benchmarks.items() for entry in _entries(found)
    )
    made = " · ".join(
        [asked, *(escape(manifest[key]) for key in ("finished_at", "card") if manifest.get(key))]
    )
    return (
        f"<header><h1>Did the student get better?</h1><p class=dim>{made}</p></header>"
        f"<section class=cards>{cards}</section>"
    )


def _entries(found: Found) -> list[Found]:
    return [found, *found.get("others", ())]


def _headline(name: str, found: Found) -> str:
    base = found["base"]
    if "tuned" not in found:
        low, high = base["wilson95"]
        return (
            f"<article class=card><h2>{escape(name)}</h2><p"
            f" class=big>{plots.percent(base['accuracy'], 1)}</p><p>{escape(base['model'])}:"
            f" {base['correct']:g} of {found['n']:,} right, 95% interval {plots.percent(low, 1)} to"
            f" {plots.percent(high, 1)}.</p><p class=dim>One model alone shows no gain: name a base"
            " to compare with.</p></article>"
        )
    tuned, (low, high) = found["tuned"], found["interval95"]
    notes = "".join(f"<li>{escape(note)}</li>" for note in _notes(found))
    return (
        f'<article class="card {_tone(found)}"><h2>{escape(name)} <span class=dim>{found["n"]:,}'
        " problems</span></h2>"
        f"<p class=big>{plots.percent(base['accuracy'], 1)} →"
        f" <b>{plots.percent(tuned['accuracy'], 1)}</b></p>"
        f"<p class=verdict>{escape(_sentence(found))}</p>"
        f"<p>{plots.points(found['difference'])} points, 95% interval {plots.points(low)} to"
        f" {plots.points(high)}; "
        f"{found['fixed']} fixed, {found['broken']} broken, McNemar p ="
        f" {show_p(found['mcnemar_p'])}.</p>"
        f"<p class=dim>{escape(base['model'])} → {escape(tuned['model'])}</p>"
        + (f"<ul class=notes>{notes}</ul>" if notes else "")
        + "</article>"
    )


def _tone(found: Found) -> str:
    if not found["significant"]:
        return "undecided"
    return "better" if found["fixed"] > found["broken"] else "worse"


def _sentence(found: Found) -> str:
    """What may be said, in words, and no more."""
    tone = _tone(found)
    if tone == "undecided":
        return (
            "Not significant: this difference can be chance. The run does not show that the model"
            " changed."
        )
    return (
        f"Significant: the tuned model is {tone}. Chance alone is this lopsided in fewer than 5 of"
        " 100 runs."
    )


def _notes(found: Found) -> list[str]:
    notes = list(found["warnings"])
    detectable = found["detectable_difference"]
    if detectable < 1 and found["n"] >= FEW:
        notes.append(
            f"{found['n']:,} problems show a true difference of {100 * detectable:.1f} points 4"
            " times in 5."
        )
    if quick := found.get("quick"):
        notes.append(
            f"Stopped after {quick['asked']} of {quick['of']} problems by a sequential test:"
            f" {quick['decision']} (error rates {quick['alpha']:.0%} and {quick['beta']:.0%}). The"
            " interval and p above know nothing of that."
        )
    return notes


def _benchmark(name: str, found: Found) -> str:
    entries = [entry for entry in _entries(found) if "tuned" in entry]
    summaries = [found["base"], *(entry["tuned"] for entry in entries)]
    figures = [
        ("Accuracy", "share of right answers, with 95% Wilson intervals", plots.accuracy(summaries))
    ]
    if entries:
        figures.append(
            (
                "Difference to the base",
                "percentage points, 95% paired bootstrap",
                plots.difference(entries),
            )
        )
    for entry in entries:
        said = (
            "format: no box before; finishing: cut off or thinking unclosed before; reasoning: both"
            " boxed"
        )
        title = "What the gain is made of" + (
            f": {entry['tuned']['model']}" if len(entries) > 1 else ""
        )
        figures.append((title, said, plots.gain(entry)))
    figures += [
        (
            "Accuracy by length",
            "by tokens of the answer, thinking included; below each bar its number of answers",
            plots.by_length(summaries),
        ),
        (
            "Tokens per right answer",
            "all tokens generated, divided by right answers",
            plots.tokens_per_correct(summaries),
        ),
    ]
    if "pass_at_k" in found["base"]:
        figures.append(("Several samples a problem", "", plots.pass_at_k(summaries)))
    shown = "".join(_figure(*figure) for figure in figures)
    return (
        f"<section><h2>{escape(name)}</h2>{_legend(summaries)}<div class=figures>{shown}</div>"
        f"{_opinions(name, summaries)}</section>"
    )


def _figure(title: str, said: str, drawn: str) -> str:
    caption = f"<b>{escape(title)}</b> <span class=dim>{escape(said)}</span>"
    return f"<figure><figcaption>{caption}</figcaption>{drawn}</figure>"


def _legend(summaries: Sequence[Found]) -> str:
    return legend([(plots.model_colour(at), told["model"]) for at, told in enumerate(summaries)])


def _opinions(name: str, summaries: Sequence[Found]) -> str:
    """lighteval's own metric beside ours, and where they differ."""
    rows = "".join(
        f"<tr><td>{escape(told['model'])}</td><td>{told['correct']:g}</td><td>{told['second_opinion']['correct']}</td>"
        f"<td>{_links(name, told['second_opinion']['disagreements'])}</td><td>{told['unfinished']}</td>"
        f"<td>{told['no_box']}</td><td>{told['mean_tokens']:,.0f}</td></tr>"
        for told in summaries
    )
    titles = [
        "model",
        "right",
        "right to lighteval",
        "they disagree on",
        "unfinished",
        "without a box",
        "mean tokens",
    ]
    return _table(titles, rows)


def _table(titles: Iterable[str], rows: str) -> str:
    return (
        "<div class=wide><table><tr>"
        + "".join(f"<th>{t}</th>" for t in titles)
        + f"</tr>{rows}</table></div>"
    )


def _links(name: str, disagreements: Sequence[str]) -> str:
    ids = list(
        dict.fromkeys(entry.rpartition(":")[0] for entry in disagreements)
    )  # entries are "id:sample"
    shown = [
        f'<a href="#case" data-benchmark="{escape(name)}"'
        f' data-case="{escape(id_)}">{escape(id_[:6])}</a>'
        for id_ in ids[:_SHOWN_DISAGREEMENTS]
    ]
    more = len(ids) - len(shown)
    return " ".join(shown) + (f" and {more} more" if more > 0 else "") or "nothing"


_CASES = """<section id=cases><h2>Every case</h2>
<noscript><p>Reading the cases needs JavaScript; the page loads nothing from anywhere.</p></noscript>
<div class=controls>
<select id=benchmark aria-label="benchmark"></select>
<select id=against aria-label="model compared with the base"></select>
<span id=outcomes role=group aria-label="outcome"></span>
<select id=order aria-label="order"><option value=given>in the benchmark's order</option>
<option value=longest>longest answers first</option><option value=grown>grown most first</option></select>
<label class=check><input type=checkbox id=disagree> lighteval disagrees</label>
<input id=search type=search placeholder="search problem, id, gold, answers given" aria-label="search">
<label class=check><input type=checkbox id=deep> also in full texts</label>
<label class=check><input type=checkbox id=math checked> math</label>
<span id=count class=dim aria-live=polite></span></div>
<div class=browser><div id=list tabindex=0 role=listbox aria-label="cases"><div id=rows></div></div>
<div id=detail tabindex=0 aria-label="case"><p class=dim>Choose a case; the arrow keys go on from it.</p></div></div>
</section>"""


def _manifest(manifest: Found) -> str:
    models = "".join(
        f"<tr><td>{escape(str(m['name']))}</td><td><code>{escape(_weights(m))}</code></td>"
        f"<td>{escape(', '.join(f'{k} {m[k]}' for k in ('template', 'precision') if m.get(k)))}</td>"
        f"<td><code>{escape(str(m.get('key', '')))}</code></td></tr>"
        for m in manifest.get("models", ())
    )
    data = "".join(
        f"<tr><td>{escape(b['name'])}</td><td>{b['problems']:,} of"
        f" {b['whole']:,}</td><td>{escape(b['origin'])}</td>"
        f"<td><code>{escape(b['sha256'][:16])}</code></td></tr>"
        for b in manifest.get("benchmarks", ())
    )
    generation = _pairs(manifest.get("generation", {}).items())
    told = [
        (key.replace("_", " "), manifest.get(key, "")) for key in ("card", "python", "git_commit")
    ]
    other = _pairs([*told, *manifest.get("libraries", {}).items()])
    whole = json.dumps(manifest, indent=2, ensure_ascii=False, default=str)
    return (
        "<section id=manifest><h2>Where these numbers come from</h2>"
        "<p>The same numbers again:</p><pre"
        f" class=command>{escape(manifest.get('command', ''))}</pre>"
        f"{_table(('model', 'weights', 'asked with', 'key of its answers'), models)}"
        f"{_table(('benchmark', 'problems', 'from', 'sha256'), data)}"
        f"<div class=figures><table>{generation}</table><table>{other}</table></div>"
        f"<details><summary>manifest.json</summary><pre>{escape(whole)}</pre></details></section>"
    )


def _weights(model: Found) -> str:
    """The weights' fingerprint; a server does not tell it."""
    served = model.get("base_url", "the server")
    return str(
        model.get("weights")
        or f"not told by {served if isinstance(served, str) else ', '.join(served)}"
    )


def _pairs(items: Iterable[tuple[str, Any]]) -> str:
    return "".join(
        f"<tr><th>{escape(str(key))}</th><td>{escape(str(value))}</td></tr>" for key, value in items
    )
