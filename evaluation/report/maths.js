// LaTeX to MathML: the subset that school and competition problems use. What it does not know it refuses (null), and the
// source is shown instead. Elements are made one by one and filled with text nodes: no text is ever read as HTML.
const MATHML = "http://www.w3.org/1998/Math/MathML";
const LONGEST_FORMULA = 4000, DEEPEST = 60, LONGEST_TEXT = 400000;

const pairs = (text) => new Map(text.trim().split(/\s+/).map((word, at, all) => [word, all[at + 1]]).filter((_, at) => at % 2 === 0));
const LETTERS = pairs(`alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ
  lambda λ mu μ nu ν xi ξ pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi ϕ varphi φ chi χ psi ψ omega ω
  Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω ell ℓ hbar ℏ infty ∞ emptyset ∅
  varnothing ∅ partial ∂ nabla ∇ Re ℜ Im ℑ aleph ℵ angle ∠ triangle △ degree ° prime ′ ldots … dots … cdots ⋯ vdots ⋮
  ddots ⋱ dotsc … dotsb ⋯ top ⊤ bot ⊥ checkmark ✓ square □ Box □ blacksquare ■ bigtriangleup △ measuredangle ∡ frown ⌢ dotsm ⋯ clubsuit ♣ heartsuit ♡
  spadesuit ♠ diamondsuit ♢ star ⋆ dagger † S § pounds £ circ ∘`);
const OPERATORS = pairs(`cdot ⋅ times × div ÷ pm ± mp ∓ ast ∗ bullet • oplus ⊕ otimes ⊗ le ≤ leq ≤ leqslant ⩽ ge ≥ geq ≥
  geqslant ⩾ lt < gt > ne ≠ neq ≠ equiv ≡ approx ≈ sim ∼ simeq ≃ cong ≅ propto ∝ ll ≪ gg ≫ in ∈ notin ∉ ni ∋ subset ⊂
  supset ⊃ subseteq ⊆ supseteq ⊇ cup ∪ cap ∩ setminus ∖ land ∧ wedge ∧ lor ∨ vee ∨ neg ¬ lnot ¬ forall ∀ exists ∃ to →
  rightarrow → leftarrow ← leftrightarrow ↔ longrightarrow ⟶ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ iff ⟺ implies ⟹
  Longrightarrow ⟹ mapsto ↦ uparrow ↑ downarrow ↓ perp ⊥ parallel ∥ mid ∣ nmid ∤ vert | Vert ‖ lvert | rvert | lVert ‖
  rVert ‖ colon : therefore ∴ because ∵ langle ⟨ rangle ⟩ lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉ lbrace { rbrace } lbrack [
  rbrack ] backslash \\ int ∫ iint ∬ oint ∮ models ⊨ prec ≺ succ ≻ sqcup ⊔ bmod mod nsubseteq ⊈ diamond ⋄ ngtr ≯ nless ≮ Longleftrightarrow ⟺ longleftrightarrow ⟷ hookrightarrow ↪ rightleftharpoons ⇌
  subsetneq ⊊ ngeq ≱ nleq ≰`);
const WITH_LIMITS = pairs(`sum ∑ prod ∏ coprod ∐ bigcup ⋃ bigcap ⋂ bigoplus ⨁ lim lim max max min min sup sup inf inf
  limsup limsup liminf liminf gcd gcd lcm lcm argmax argmax argmin argmin det det Pr Pr`);
const FUNCTIONS = new Set("sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan log ln lg exp deg dim ker arg hom".split(" "));
const ACCENTS = pairs(`hat ^ widehat ^ bar ‾ overline ‾ vec → overrightarrow → overleftarrow ← tilde ~ widetilde ~ dot ˙
  ddot ¨ overbrace ⏞ overarc ⌒ wideparen ⌒`);
const SPACES = pairs(`, 0.17em : 0.22em ; 0.28em ! 0em quad 1em qquad 2em enspace 0.5em thinspace 0.17em`);
const SKIPPED = new Set(`displaystyle textstyle scriptstyle limits nolimits nonumber notag hline noindent centering allowbreak
  rm bf it cal mathstrut strut tiny small normalsize large Large LARGE huge`.split(/\s+/));
const SIZES = /^(?:big|Big|bigg|Bigg)[lrm]?$/;
const DOUBLE_STRUCK = pairs("C ℂ H ℍ N ℕ P ℙ Q ℚ R ℝ Z ℤ");
const NEGATED = pairs("= ≠ in ∉ subset ⊄ subseteq ⊈ equiv ≢ mid ∤ parallel ∦ < ≮ > ≯ le ≰ ge ≱ exists ∄ sim ≁ cong ≇");
const TEXTS = new Set("text textbf textit textrm texttt textsf mbox hbox mathrm operatorname mathsf mathtt textnormal textsc label tag".split(" "));
const FRAMES = { pmatrix: "()", bmatrix: "[]", vmatrix: "||", Vmatrix: "‖‖", Bmatrix: "{}", cases: "{", matrix: "", smallmatrix: "" };
const ALIGNED = /^(?:aligned|align|alignedat|alignat|gather|gathered|split|eqnarray|equation|array|tabular|multline|flalign)\*?$/;

function element(name, children = [], attributes = {}) {
  const made = document.createElementNS(MATHML, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...(typeof children === "string" ? [document.createTextNode(children)] : children));
  return made;
}
const operator = (text, attributes) => element("mo", text, attributes);

// TeX's infix commands split the group they stand in: {1 \over 2}, {8 \choose 2}.
const INFIX = new Set(["over", "choose", "atop"]);
function split(nodes) {
  const at = nodes.findIndex((node) => node.infix);
  if (at < 0) return nodes;
  const parts = [row(nodes.slice(0, at)), row(nodes.slice(at + 1))];
  if (nodes[at].infix === "over") return [element("mfrac", parts)];
  const stacked = element("mfrac", parts, { linethickness: "0" });
  return nodes[at].infix === "choose" ? [operator("("), stacked, operator(")")] : [stacked];
}

function row(nodes) {
  const parts = split(nodes);
  return parts.length === 1 ? parts[0] : element("mrow", parts);
}

class Formula {
  constructor(source) {
    this.tokens = source.match(/\\[a-zA-Z]+\*?|\\[^]|\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?|\s+|[^]/gu) ?? [];
    this.at = 0;
    this.depth = 0;
  }

  peek() {
    return this.tokens[this.at];
  }

  skipSpace() {
    while (/^\s/.test(this.peek() ?? "")) this.at++;
  }

  whole() {
    const lines = this.lines(() => this.at >= this.tokens.length);
    if (lines.length === 1) return row(lines[0].flat());
    return this.table(lines, "left");
  }

  // Rows of cells up to `ends()`, as in an environment: cells end at &, rows at \\.
  lines(ends) {
    const lines = [[[]]];
    while (!ends()) {
      if (this.at >= this.tokens.length) throw new Error("unclosed");
      const token = this.peek();
      if (token === "&") {
        this.at++;
        lines.at(-1).push([]);
      } else if (token === "\\\\" || token === "\\cr" || token === "\\newline") {
        this.at++;
        if (this.peek() === "[") this.optional();
        lines.push([[]]);
      } else lines.at(-1).at(-1).push(...this.item());
    }
    if (lines.length > 1 && lines.at(-1).flat().length === 0) lines.pop();
    return lines;
  }

  table(lines, align) {
    const cell = (nodes, at) => element("mtd", [row(nodes)], { style: `text-align:${align === "pairs" ? (at % 2 ? "left" : "right") : align};padding:.15em ${align === "pairs" ? 0.1 : 0.35}em` });
    return element("mtable", lines.map((cells) => element("mtr", cells.map(cell))), { displaystyle: "true" });
  }

  until(stop) {
    const nodes = [];
    while (this.peek() !== stop) {
      if (this.at >= this.tokens.length) throw new Error("unclosed");
      nodes.push(...this.item());
    }
    this.at++;
    return nodes;
  }

  // The text of a group as it stands.
  raw() {
    this.skipSpace();
    if (this.peek() !== "{") return this.tokens[this.at++] ?? "";
    let text = "", open = 0;
    do {
      const token = this.tokens[this.at++];
      if (token === undefined) throw new Error("unclosed");
      open += token === "{" ? 1 : token === "}" ? -1 : 0;
      text += token;
    } while (open);
    return text.slice(1, -1);
  }

  optional() {
    let text = "";
    for (this.at++; this.peek() !== "]"; this.at++) {
      if (this.at >= this.tokens.length) throw new Error("unclosed");
      text += this.peek();
    }
    this.at++;
    return text;
  }

  argument() {
    this.skipSpace();
    const token = this.peek();
    if (token === undefined || token === "}") throw new Error("no argument");
    if (token === "{") {
      this.at++;
      return row(this.deeper(() => this.until("}")));
    }
    if (/^\d./.test(token)) { // \frac12 is one half
      this.tokens.splice(this.at, 1, token[0], ...token.slice(1));
    }
    return row(this.deeper(() => this.atom()));
  }

  deeper(parse) {
    if (++this.depth > DEEPEST) throw new Error("too deep");
    const found = parse();
    this.depth--;
    return found;
  }

  // One atom with its scripts.
  item() {
    const token = this.peek();
    const limits = WITH_LIMITS.has(token?.slice(1)) || /^\\(?:under|over)brace$/.test(token ?? "");
    const nodes = token === "^" || token === "_" ? [element("mrow")] : this.deeper(() => this.atom());
    if (nodes[0]?.infix) return nodes;
    let above = null, below = null;
    for (;;) {
      const start = this.at;
      this.skipSpace();
      while (/^\\(?:no)?limits$/.test(this.peek() ?? "")) this.at++;
      const mark = this.peek();
      if (mark === "'" && !above) {
        let primes = "";
        while (this.peek() === "'") (this.at++, (primes += "′"));
        above = operator(primes);
        if (this.peek() === "^") (this.at++, (above = row([above, this.argument()])));
      } else if (mark === "^" && !above) (this.at++, (above = this.argument()));
      else if (mark === "_" && !below) (this.at++, (below = this.argument()));
      else {
        this.at = start;
        break;
      }
    }
    if (!above && !below) return nodes;
    const base = nodes.pop() ?? element("mrow");
    const [both, one, other] = limits ? ["munderover", "munder", "mover"] : ["msubsup", "msub", "msup"];
    if (above && below) nodes.push(element(both, [base, below, above]));
    else nodes.push(below ? element(one, [base, below]) : element(other, [base, above]));
    return nodes;
  }

  atom() {
    const token = this.tokens[this.at++];
    if (/^\s/.test(token)) return [];
    if (token === "{") return [row(this.until("}"))];
    if (token === "}" || token === "&") throw new Error(`a stray ${token}`);
    if (/^\d/.test(token)) return [element("mn", token)];
    if (token.startsWith("\\") && token.length > 1) return this.command(token.slice(1));
    if (/^\p{L}$/u.test(token)) return [element("mi", token)];
    if (token === "~") return [element("mtext", "\u00a0")];
    return [operator(token === "-" ? "−" : token, /[()[\]|]/.test(token) ? { stretchy: "false" } : {})];
  }

  command(name) {
    if (LETTERS.has(name)) return [element("mi", LETTERS.get(name), /^[A-Z…⋯]/.test(name) ? { mathvariant: "normal" } : {})];
    if (OPERATORS.has(name)) return [operator(OPERATORS.get(name), /vert|angle|floor|ceil|brac/i.test(name) ? { stretchy: "false" } : {})];
    if (WITH_LIMITS.has(name)) return [operator(WITH_LIMITS.get(name), { movablelimits: "true", lspace: "0.1em", rspace: "0.17em" })];
    if (FUNCTIONS.has(name)) return [operator(name, { lspace: "0.1em", rspace: "0.17em" })];
    if (ACCENTS.has(name)) return [element("mover", [this.argument(), operator(ACCENTS.get(name))], { accent: "true" })];
    if (SPACES.has(name)) return [element("mspace", [], { width: SPACES.get(name) })];
    if (SKIPPED.has(name) || SIZES.test(name)) return [];
    if (INFIX.has(name)) return [{ infix: name }];
    if (TEXTS.has(name.replace("*", ""))) return [this.upright(name)];
    if (/^[^a-zA-Z]$/.test(name)) return [/[{}|]/.test(name) ? operator(name === "|" ? "‖" : name, { stretchy: "false" }) : element("mtext", name === " " ? "\u00a0" : name)];
    const parse = COMMANDS[name];
    if (!Object.hasOwn(COMMANDS, name)) throw new Error(`unknown \\${name}`);
    return [parse(this, name)];
  }

  upright(name) {
    const text = this.raw().replaceAll("$", "").replace(/\\([ ,;%$#&_])/g, "$1").replace(/\\(?:text|mathrm)\s*/g, "").replace(/[{}]/g, "");
    if (name === "label") return element("mrow");
    const said = name === "tag" ? `\u2003(${text})` : text.replace(/^\s|\s$/g, "\u00a0");
    return element(/^(?:mathrm|operatorname)/.test(name) ? "mi" : "mtext", said, name === "textbf" ? { style: "font-weight:bold" } : { mathvariant: "normal" });
  }

  delimiter() {
    this.skipSpace();
    const token = this.tokens[this.at++] ?? "";
    const shown = token === "." ? "" : token === "\\|" ? "‖" : OPERATORS.get(token.slice(1)) ?? token.replace(/^\\/, "");
    return operator(shown, { stretchy: "true", symmetric: "true", fence: "true" });
  }
}

const fraction = (formula) => element("mfrac", [formula.argument(), formula.argument()]);
const binomial = (formula) => row([operator("("), element("mfrac", [formula.argument(), formula.argument()], { linethickness: "0" }), operator(")")]);
const styled = (style) => (formula) => element("mrow", [formula.argument()], { style });
const ignored = (formula) => (formula.raw(), element("mrow"));
const COMMANDS = {
  frac: fraction, dfrac: fraction, tfrac: fraction, cfrac: fraction,
  binom: binomial, dbinom: binomial, tbinom: binomial,
  sqrt: (formula) => {
    formula.skipSpace();
    if (formula.peek() !== "[") return element("msqrt", [formula.argument()]);
    const index = new Formula(formula.optional()).whole();
    return element("mroot", [formula.argument(), index]);
  },
  boxed: (formula) => element("mrow", [formula.argument()], { class: "box" }),
  fbox: (formula) => element("mrow", [formula.argument()], { class: "box" }),
  left: (formula) => {
    const open = formula.delimiter(), inside = [];
    while (formula.peek() !== "\\right") {
      if (formula.at >= formula.tokens.length) throw new Error("unclosed");
      if (formula.peek() === "\\middle") (formula.at++, inside.push(formula.delimiter()));
      else inside.push(...formula.item());
    }
    formula.at++;
    return element("mrow", [open, ...split(inside), formula.delimiter()]);
  },
  begin: (formula) => {
    const name = formula.raw();
    const frame = FRAMES[name.replace("*", "")];
    if (frame === undefined && !ALIGNED.test(name)) throw new Error(`unknown environment ${name}`);
    const columns = /^(?:array|tabular)/.test(name);
    if (columns && formula.peek() === "[") formula.optional();
    if (columns || /^align(?:ed)?at/.test(name)) formula.raw();
    const closes = () => formula.peek() === "\\end";
    const lines = formula.lines(closes);
    formula.at++;
    formula.raw();
    const table = formula.table(lines, name === "cases" ? "left" : frame === undefined && !columns ? "pairs" : "center");
    return frame ? element("mrow", [...frame].map((mark) => operator(mark, { stretchy: "true", fence: "true" })).toSpliced(1, 0, table)) : table;
  },
  not: (formula) => {
    formula.skipSpace();
    const negated = NEGATED.get((formula.tokens[formula.at++] ?? "").replace(/^\\/, ""));
    if (!negated) throw new Error("unknown negation");
    return operator(negated);
  },
  pmod: (formula) => element("mrow", [element("mtext", "\u2003(mod\u00a0"), formula.argument(), element("mtext", ")")]),
  mod: (formula) => element("mrow", [element("mtext", "\u2003mod\u00a0"), formula.argument()]),
  underline: (formula) => element("munder", [formula.argument(), operator("_")]),
  underbrace: (formula) => element("munder", [formula.argument(), operator("⏟")]),
  overset: (formula) => { const above = formula.argument(); return element("mover", [formula.argument(), above]); },
  stackrel: (formula) => { const above = formula.argument(); return element("mover", [formula.argument(), above]); },
  underset: (formula) => { const below = formula.argument(); return element("munder", [formula.argument(), below]); },
  xrightarrow: (formula) => element("mover", [operator("→", { stretchy: "true" }), formula.argument()]),
  substack: (formula) => new Formula(formula.raw()).whole(),
  mathbb: (formula) => element("mi", formula.raw().replace(/[A-Z]/g, (c) => DOUBLE_STRUCK.get(c) ?? String.fromCodePoint(0x1d538 + c.charCodeAt(0) - 65)), { mathvariant: "normal" }),
  mathbf: styled("font-weight:bold"), boldsymbol: styled("font-weight:bold"), bm: styled("font-weight:bold"), bold: styled("font-weight:bold"),
  mathcal: styled("font-style:italic"), mathit: styled("font-style:italic"), mathfrak: styled("font-style:italic"),
  emph: styled("font-style:italic"), mathbin: styled(""), mathop: styled(""), mathrel: styled(""),
  phantom: styled("visibility:hidden"), hphantom: styled("visibility:hidden"), vphantom: ignored,
  cancel: styled("text-decoration:line-through"), bcancel: styled("text-decoration:line-through"),
  xcancel: styled("text-decoration:line-through"), color: ignored, cline: ignored, hspace: ignored, vspace: ignored,
  textcolor: (formula) => (formula.raw(), formula.argument()),
};

// A <math> element for a formula's source, or null where some of it is unknown.
function mathOf(source, display) {
  if (source.length > LONGEST_FORMULA) return null;
  try {
    const inside = new Formula(source).whole();
    return element("math", [inside], display ? { display: "block" } : {});
  } catch {
    return null;
  }
}

const CLOSERS = { "$$": "$$", "\\[": "\\]", "\\(": "\\)", "$": "$", "**": "**" };

// Whether what stands between two dollar signs is a formula, not two amounts of money with a sentence between them.
function isInline(inside, next) {
  if (!inside || /^\s|\s$|\n\s*\n|[-+=*/]$/.test(inside) || /\d/.test(next)) return false;
  const plain = inside.replace(/\\[a-z]*text[a-z]*\{[^}]*\}|\\mathrm\{[^}]*\}|\\[a-zA-Z]+/g, " ");
  return !/[a-z]{2,}\s+[a-z]{2,}/i.test(plain);
}

function closingBrace(text, from) {
  for (let at = from, open = 1; at < Math.min(text.length, from + LONGEST_FORMULA); at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "{") open++;
    else if (text[at] === "}" && --open === 0) return at;
  }
  return -1;
}

// Where the piece that opens at a match ends: [source of the formula, end, display], or null where it is plain text.
function closed(text, match) {
  const [opening] = match, from = match.index + opening.length;
  if (opening.startsWith("\\boxed")) {
    const end = closingBrace(text, from);
    return end < 0 ? null : [text.slice(match.index, end + 1), end + 1, false];
  }
  if (opening.startsWith("\\begin")) {
    const mark = opening.replace("begin", "end");
    const end = text.slice(from, from + LONGEST_FORMULA).indexOf(mark);
    return end < 0 ? null : [text.slice(match.index, from + end + mark.length), from + end + mark.length, true];
  }
  const mark = CLOSERS[opening], length = text.slice(from, from + LONGEST_FORMULA).indexOf(mark);
  if (length < 0) return null;
  const inside = text.slice(from, from + length), end = from + length + mark.length;
  if (opening === "$" && !isInline(inside, text[end] ?? "")) return null;
  if (opening === "**" && (/^\s|\s$|\n/.test(inside) || !inside)) return null;
  return [inside, end, opening === "$$" || opening === "\\["];
}

// Text as nodes: formulas as MathML, **bold**, all else as it stands.
function rendered(text, withMath) {
  const made = document.createDocumentFragment();
  if (!withMath || text.length > LONGEST_TEXT) {
    made.append(text);
    return made;
  }
  const openings = /\$\$|\\\[|\\\(|(?<!\\)\$|\*\*|\\boxed\s*\{|\\begin\{(?:align|equation|gather|cases|[pbv]?matrix|array|eqnarray)\*?\}/g;
  let done = 0;
  for (let match; (match = openings.exec(text)); ) {
    const found = closed(text, match);
    if (!found) continue;
    const [source, end, display] = found;
    made.append(text.slice(done, match.index));
    made.append(shown(match[0], source, display, text.slice(match.index, end)));
    done = openings.lastIndex = end;
    if (display && text[done] === "\n") done++;
  }
  made.append(text.slice(done));
  return made;
}

function shown(opening, source, display, whole) {
  if (opening === "**") {
    const bold = document.createElement("b");
    bold.append(rendered(source, true));
    return bold;
  }
  const math = mathOf(source, display);
  if (math) return math;
  const plain = document.createElement("span");
  plain.className = "tex";
  plain.textContent = whole;
  return plain;
}
