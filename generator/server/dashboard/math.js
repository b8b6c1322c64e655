"use strict";
// The TeX that teachers write, as MathML made node by node: a teacher's text is hostile, so it only ever becomes text
// nodes. What is not understood is shown as it stands.
const MATHML = "http://www.w3.org/1998/Math/MathML";
const SYMBOLS = {
  times: "×", cdot: "·", div: "÷", pm: "±", mp: "∓", le: "≤", leq: "≤", ge: "≥", geq: "≥", ne: "≠", neq: "≠",
  approx: "≈", equiv: "≡", sim: "∼", cong: "≅", to: "→", rightarrow: "→", Rightarrow: "⇒", implies: "⟹", iff: "⟺",
  leftarrow: "←", infty: "∞", sum: "∑", prod: "∏", int: "∫", in: "∈", notin: "∉", subset: "⊂", subseteq: "⊆",
  cup: "∪", cap: "∩", emptyset: "∅", varnothing: "∅", forall: "∀", exists: "∃", angle: "∠", circ: "∘", degree: "°",
  triangle: "△", perp: "⊥", parallel: "∥", mid: "∣", ldots: "…", cdots: "⋯", dots: "…", vdots: "⋮", quad: " ",
  qquad: "  ", alpha: "α", beta: "β", gamma: "γ", delta: "δ", epsilon: "ε", varepsilon: "ε", theta: "θ", lambda: "λ",
  mu: "μ", nu: "ν", xi: "ξ", pi: "π", rho: "ρ", sigma: "σ", tau: "τ", phi: "φ", varphi: "φ", chi: "χ", psi: "ψ",
  omega: "ω", Gamma: "Γ", Delta: "Δ", Theta: "Θ", Lambda: "Λ", Pi: "Π", Sigma: "Σ", Phi: "Φ", Psi: "Ψ", Omega: "Ω",
  langle: "⟨", rangle: "⟩", lfloor: "⌊", rfloor: "⌋", lceil: "⌈", rceil: "⌉", checkmark: "✓", blacksquare: "■",
  square: "□", star: "⋆", prime: "′", ast: "∗", bullet: "•", therefore: "∴", because: "∵", "%": "%", "$": "$",
  "{": "{", "}": "}", "#": "#", "&": "&", "_": "_", ",": " ", ";": " ", ":": " ", "!": "", " ": " ", "|": "‖",
};
const WORDS = new Set("sin cos tan cot sec csc log ln exp lim max min gcd lcm mod bmod pmod det dim arcsin arccos arctan".split(" "));
const TEXT = new Set(["text", "textbf", "textit", "mathrm", "operatorname", "mbox", "mathbf", "mathbb", "mathcal", "mathit"]);
const IGNORED = new Set(["left", "right", "big", "Big", "bigg", "Bigg", "displaystyle", "limits", "nolimits", "bigl", "bigr"]);
const LIMIT = 4000; // characters of one formula; longer ones are no formulas

function mathNode(name, ...children) {
  const node = document.createElementNS(MATHML, name);
  node.append(...children);
  return node;
}

class Formula {
  constructor(tex) { this.tex = tex; this.at = 0; this.depth = 0; }

  row(end) {
    const row = mathNode("mrow");
    if (++this.depth > 40) throw new Error("too deep");
    while (this.at < this.tex.length && !(end && this.tex.startsWith(end, this.at))) {
      const atom = this.scripts(this.atom());
      if (atom) row.append(atom);
    }
    if (end) this.at += end.length;
    this.depth--;
    return row;
  }

  scripts(base) {
    let below = null, above = null;
    for (let c = this.tex[this.at]; c === "^" || c === "_"; c = this.tex[this.at]) {
      this.at++;
      const script = this.argument();
      if (c === "^") above = script; else below = script;
    }
    base = base || (below || above ? mathNode("mrow") : null);
    if (below && above) return mathNode("msubsup", base, below, above);
    if (above) return mathNode("msup", base, above);
    return below ? mathNode("msub", base, below) : base;
  }

  argument() {
    while (this.tex[this.at] === " ") this.at++;
    if (this.tex[this.at] === "{") { this.at++; return this.row("}"); }
    return this.atom() || mathNode("mrow");
  }

  raw() { // the text of {…}, braces inside it kept in balance
    while (this.tex[this.at] === " ") this.at++;
    if (this.tex[this.at] !== "{") return this.tex[this.at++] || "";
    let open = 1, from = ++this.at;
    for (; this.at < this.tex.length && open; this.at++) open += { "{": 1, "}": -1 }[this.tex[this.at]] || 0;
    return this.tex.slice(from, open ? this.at : this.at - 1);
  }

  atom() {
    const c = this.tex[this.at];
    if (c === undefined) return null;
    if (/\s/.test(c) || c === "&") { this.at++; return null; }
    if (c === "{") { this.at++; return this.row("}"); }
    if (c === "}") { this.at++; return null; }
    const number = /^\d+([.,]\d+)*/.exec(this.tex.slice(this.at, this.at + 60));
    if (number) { this.at += number[0].length; return mathNode("mn", number[0]); }
    if (c === "\\") return this.command();
    this.at++;
    return mathNode(/\p{L}/u.test(c) ? "mi" : "mo", c === "-" ? "−" : c === "'" ? "′" : c);
  }

  command() {
    const name = /^\\([A-Za-z]+|[^])/.exec(this.tex.slice(this.at, this.at + 30));
    this.at += name ? name[0].length : 1;
    const word = name ? name[1] : "";
    if (["frac", "dfrac", "tfrac", "cfrac"].includes(word)) return mathNode("mfrac", this.argument(), this.argument());
    if (word === "binom") return mathNode("mrow", mathNode("mo", "("), this.over(), mathNode("mo", ")"));
    if (word === "sqrt") return this.root();
    if (word === "boxed" || word === "fbox") return this.box();
    if (word === "overline" || word === "bar") return mathNode("mover", this.argument(), mathNode("mo", "¯"));
    if (word === "vec") return mathNode("mover", this.argument(), mathNode("mo", "→"));
    if (TEXT.has(word)) return mathNode("mtext", this.raw());
    if (IGNORED.has(word)) { if (this.tex[this.at] === ".") this.at++; return null; }
    if (word === "\\") return mathNode("mspace");
    if (word === "begin" || word === "end") { this.raw(); return null; }
    if (WORDS.has(word)) return mathNode("mi", word);
    if (word in SYMBOLS && Object.hasOwn(SYMBOLS, word)) return mathNode("mo", SYMBOLS[word]);
    return mathNode("mtext", "\\" + word);
  }

  over() {
    const fraction = mathNode("mfrac", this.argument(), this.argument());
    fraction.setAttribute("linethickness", "0");
    return fraction;
  }

  root() {
    if (this.tex[this.at] !== "[") return mathNode("msqrt", this.argument());
    this.at++;
    const degree = this.row("]");
    return mathNode("mroot", this.argument(), degree);
  }

  box() {
    const boxed = this.argument();
    boxed.setAttribute("class", "boxed");
    return boxed;
  }
}

function formula(tex, block) {
  try {
    if (tex.length > LIMIT) throw new Error("too long");
    const math = mathNode("math", new Formula(tex).row(""));
    if (block) math.setAttribute("display", "block");
    return math;
  } catch {
    return document.createTextNode(tex);
  }
}

// Text with formulas in it -> nodes. A dollar sign opens a formula only where it can: "$5 and $7" is money.
const FORMULAS = /\$\$([^]+?)\$\$|\\\[([^]+?)\\\]|\\\(([^]+?)\\\)|\$(?=[^\s$])([^$\n]*[^\s$\\])\$(?!\d)|\\(boxed)(?=\{)/g;

function withMath(text) {
  const nodes = document.createDocumentFragment();
  let from = 0;
  FORMULAS.lastIndex = 0;
  for (let match = FORMULAS.exec(text); match; match = FORMULAS.exec(text)) {
    nodes.append(text.slice(from, match.index));
    if (match[5]) { // a box that stands outside any formula
      const alone = new Formula(text.slice(match.index, match.index + LIMIT));
      try { nodes.append(mathNode("math", alone.command())); } catch { nodes.append(match[0]); alone.at = match[0].length; }
      FORMULAS.lastIndex = match.index + alone.at;
    } else {
      const tex = match[1] ?? match[2] ?? match[3] ?? match[4];
      nodes.append(formula(tex, match[1] !== undefined || match[2] !== undefined));
    }
    from = FORMULAS.lastIndex;
  }
  nodes.append(text.slice(from));
  return nodes;
}
