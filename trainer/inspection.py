"""`inspect`: training rows with their loss mask in colour, in the terminal and as a page.

What is grey is read by the model and never learnt; what is coloured is in the loss, token by token.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import InputError
from shared.file_writing import write_atomically
from shared.pages import document
from trainer.config import TrainerConfig
from trainer.data.examples import Example
from trainer.data.selection import check_corpora, select
from trainer.data.student_tokenizer import load_student_tokenizer
from trainer.layers.backends import check_model

ROWS_A_PAGE = 10
CONTROL = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)} | {127: "\u2421"}


@dataclass(frozen=True, slots=True)
class Piece:
    """Text of the tokens `start` to `end` of a row: one token, or several that make one
    character together.
    """

    text: str
    start: int
    end: int  # the last one, included
    learnt: bool


def inspect(config: TrainerConfig, row: int, page: Path | None, say: Callable[[str], None]) -> int:
    """Show row `row` of the training examples, and write a page of the rows from there on.
    Errors: `InputError`.
    """
    check_corpora(config.corpora)
    check_model(config.model)
    tokenizer, chat = load_student_tokenizer(config)
    tokens = Path(config.run) / "tokens"
    cache = tokens if tokens.is_dir() else None
    selection = select(config, tokenizer, chat, cache=cache, say=say)
    rows = selection.train
    if not 0 <= row < len(rows):
        raise InputError(f"--row {row}: there are {len(rows):,} training rows, numbered from 0")
    for line in selection.lines():
        say(line)
    _show(tokenizer, rows[row], f"row {row} of {len(rows):,}")
    if page:
        page_rows = rows[row : row + ROWS_A_PAGE]
        write_atomically(page, page_html(config, tokenizer, page_rows, row, len(rows)).encode())
        say(f"{page}: rows {row} to {row + len(page_rows) - 1}")
    return 0


def pieces(tokenizer: Any, example: Example) -> list[Piece]:
    """The row cut where tokens end, as far as a token ends a character; nothing crosses the
    border of the loss.
    """
    row: list[Piece] = []
    start = 0
    for i in range(len(example)):
        border = i + 1 in (example.prompt_length, len(example))
        text = tokenizer.decode(
            list(example.ids[start : i + 1]), clean_up_tokenization_spaces=False
        )
        if text.endswith("\ufffd") and not border:
            continue
        row.append(Piece(text, start, i, i >= example.prompt_length))
        start = i + 1
    return row


def _show(tokenizer: Any, example: Example, title: str) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    console.rule(f"{title}  {example.id}")
    box = "; the box at its end is added (data.unboxed)" if example.box_added else ""
    console.print(Text(f"from {example.source}{box}", "yellow"))
    for is_learnt, style, name in (
        (False, "bright_black", "not in the loss"),
        (True, "green", "in the loss"),
    ):
        text = Text()
        parts = [piece for piece in pieces(tokenizer, example) if piece.learnt == is_learnt]
        for number, piece in enumerate(parts):
            shade = style if number % 2 else f"{style} bold"
            if _special(piece.text):
                shade = "bold reverse"
            text.append(piece.text.translate(CONTROL), shade)
        tokens = sum(piece.end - piece.start + 1 for piece in parts)
        console.print(Text(f"── {name}: {tokens:,} tokens", "yellow"))
        console.print(text)


def page_html(
    config: TrainerConfig, tokenizer: Any, rows: Sequence[Example], start: int, total: int
) -> str:
    """One page of rows numbered from `start`, without scripts; all text of the data is escaped."""
    body = "".join(_row_html(tokenizer, example, start + i) for i, example in enumerate(rows))
    title = f"Training rows {start} to {start + len(rows) - 1} of {total:,}"
    legend_html = (
        '<span class="p">Grey: read, never learnt.</span> <span class="l a">Green: in the'
        ' loss,</span><span class="l b"> one shade a token;</span> <span class="l s">control'
        " tokens</span> and the marks of the thinking are framed. A token's place and number"
        " appear under the pointer."
    )
    head = (
        f"<h1>{title}</h1>\n<p>{html.escape(config.model)}, at most {config.train.max_length:,}"
        " tokens a row."
    )
    return document(title, f"{head}\n{legend_html}</p>{body}", style=STYLE)


def _row_html(tokenizer: Any, example: Example, number: int) -> str:
    spans = []
    for i, piece in enumerate(pieces(tokenizer, example)):
        ids = " ".join(str(token) for token in example.ids[piece.start : piece.end + 1])
        loss_css = "l" if piece.learnt else "p"
        shade_css = "s" if _special(piece.text) else "ab"[i % 2]
        text = html.escape(piece.text.translate(CONTROL))
        spans.append(
            f'<span class="{loss_css} {shade_css}" title="{piece.start}: {ids}">{text}</span>'
        )
    num_loss_tokens = len(example) - example.prompt_length
    return (
        f"<section><h2>Row {number}</h2><p class=dim>{html.escape(example.id)} ·"
        f" {html.escape(example.source)} · {len(example):,} tokens, {num_loss_tokens:,} in the"
        f" loss{' · box added' if example.box_added else ''}</p><pre>{''.join(spans)}</pre></section>\n"
    )


def _special(text: str) -> bool:
    bare = text.strip()
    return (bare.startswith("<") and bare.endswith(">") and len(bare) > 2) or bare == "think"


STYLE = """
section { border: 1px solid var(--line); border-radius: 6px; padding: 1rem; margin: 1rem 0; }
section h2 { font-size: 1rem; margin: 0; }
section pre { font-size: 13px; line-height: 1.7; background: none; padding: 0; }
.p { color: var(--dim); }
.l { border-radius: 2px; }
.l.a { background: #3a93; }
.l.b { background: #3a96; }
.s { outline: 1px solid #3a9; }
.p.s { outline-color: var(--dim); }
"""
