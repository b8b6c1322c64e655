// Text with TeX in it as nodes: what is a formula is decided here, Temml makes it MathML, all else becomes text nodes.
// The text is hostile: no part of it is ever read as HTML, and a formula that Temml refuses is shown as its source.
const LONGEST_FORMULA = 4000; // characters
const LONGEST_TEXT = 400000;
const DEEPEST_TREE = 200; // elements inside one another: a browser lays out no deeper tree in reasonable time

// What people write and Temml does not know. `maxExpand` bounds what a formula's own \def may do.
const MACROS = { "\\overarc": "\\overparen{#1}", "\\wideparen": "\\overparen{#1}",
  "\\mbox": "\\text{#1}", "\\framebox": "\\boxed{#1}" };
const OPTIONS = { throwOnError: true, trust: false, maxExpand: 500, maxSize: [20, 20] };
const BARE_DOLLAR = /(?<!\\)\$(?=\d)/g; // an amount inside \( \): 2 \times $500
const TABULAR = /\\(begin|end)\{tabular\}(?:\[[a-z]\])?/g; // Temml has the same by its other name
const DISPLAY_ONLY = /can be used only in display mode/;

// A <math> element for a formula's source, or null where it is none that Temml knows.
function formulaElement(source, display) {
  if (source.length > LONGEST_FORMULA) return null;
  const holder = document.createElement("span");
  try {
    const readable = source.replace(BARE_DOLLAR, "\\$").replace(TABULAR, "\\$1{array}");
    renderFormula(readable, holder, display);
  } catch {
    return null; // a parse error, or a stack that is too deep
  }
  const math = holder.firstElementChild;
  if (math === null || depth(math) > DEEPEST_TREE) return null;
  for (const element of math.querySelectorAll("[id], [href]")) { // ids of a formula would shadow the page's own
    element.removeAttribute("id");
    element.removeAttribute("href");
  }
  for (const row of math.querySelectorAll("mrow")) {
    if (row.style.borderStyle) { // \boxed
      row.removeAttribute("style");
      row.setAttribute("class", "boxed");
    }
  }
  return math;
}

function renderFormula(source, holder, display) {
  try {
    temml.render(source, holder, { ...OPTIONS, macros: { ...MACROS }, displayMode: display });
  } catch (error) {
    if (display || !DISPLAY_ONLY.test(error.message)) throw error;
    renderFormula(source, holder, true); // align* and its kin between single dollars
  }
}

function depth(root) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT);
  let deepest = 0;
  let level = 0;
  let node = root;
  while (node !== null) {
    deepest = Math.max(deepest, level);
    if (walker.firstChild()) level++;
    else {
      while (!walker.nextSibling()) {
        if (!walker.parentNode()) return deepest;
        level--;
      }
    }
    node = walker.currentNode;
  }
  return deepest;
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
  const [opening] = match;
  const from = match.index + opening.length;
  if (opening.startsWith("\\boxed")) {
    const end = closingBrace(text, from);
    return end < 0 ? null : [text.slice(match.index, end + 1), end + 1, false];
  }
  if (opening.startsWith("\\begin")) {
    const mark = opening.replace("begin", "end");
    const end = text.slice(from, from + LONGEST_FORMULA).indexOf(mark);
    return end < 0 ? null : [text.slice(match.index, from + end + mark.length), from + end + mark.length, true];
  }
  const mark = CLOSERS[opening];
  const length = indexOfMark(text.slice(from, from + LONGEST_FORMULA), mark);
  if (length < 0) return null;
  const inside = text.slice(from, from + length);
  const end = from + length + mark.length;
  if (opening === "$" && !isInline(inside, text[end] ?? "")) return null;
  if (opening === "**" && (/^\s|\s$|\n/.test(inside) || !inside)) return null;
  return [inside, end, opening === "$$" || opening === "\\["];
}

// Where a closing mark stands; an escaped dollar (\$5) is an amount, no end.
function indexOfMark(text, mark) {
  let at = text.indexOf(mark);
  while (mark === "$" && at > 0 && text[at - 1] === "\\") at = text.indexOf(mark, at + 1);
  return at;
}

const OPENINGS = /\$\$|\\\[|\\\(|(?<!\\)\$|\*\*|\\boxed\s*\{|\\begin\{(?:align|equation|gather|cases|[pbv]?matrix|array|eqnarray)\*?\}/g;

// Text as nodes: formulas as MathML, **bold**, all else as it stands.
function renderText(text, withMath = true) {
  const fragment = document.createDocumentFragment();
  if (!withMath || text.length > LONGEST_TEXT) {
    fragment.append(text);
    return fragment;
  }
  const openings = new RegExp(OPENINGS);
  let done = 0;
  for (let match; (match = openings.exec(text)); ) {
    const piece = closed(text, match);
    if (!piece) continue;
    const [source, end, display] = piece;
    fragment.append(text.slice(done, match.index));
    fragment.append(pieceElement(match[0], source, display, text.slice(match.index, end)));
    done = openings.lastIndex = end;
    if (display && text[done] === "\n") done++;
  }
  fragment.append(text.slice(done));
  return fragment;
}

function pieceElement(opening, source, display, whole) {
  if (opening === "**") {
    const bold = document.createElement("b");
    bold.append(renderText(source));
    return bold;
  }
  const math = formulaElement(source, display);
  if (math) return math;
  const plain = document.createElement("span");
  plain.className = "tex";
  plain.textContent = whole;
  return plain;
}
