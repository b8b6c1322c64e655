// The browser of cases. The index is opened at once; a chunk of texts when one of its cases is looked at. Only the rows
// of the list that can be seen exist. Everything from a model or a problem becomes a text node.
const ROW = 48, SPARE = 8, KEPT_CHUNKS = 6;
const [VERDICT, TOKENS, ANSWER, BOXED, FINISH, SECOND, REASON, CHECKED, UNFINISHED] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const OUTCOMES = ["fixed", "broken", "both wrong", "both right"], ALONE = ["wrong", "right"];
const $ = (id) => document.getElementById(id);
const state = { outcome: "all", cause: "all", selected: null, shown: [], matches: null, search: 0 };
let index, cases = [];

function html(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

// ---- data blocks

// The page is shown while the blocks behind this script are still being read: a block is whole once something follows it.
async function block(name) {
  for (;;) {
    const found = $(name);
    if (found && (found.nextElementSibling || document.readyState !== "loading")) return found;
    if (!found && document.readyState !== "loading") throw new Error(`the file is cut off: no ${name}`);
    await new Promise((wake) => setTimeout(wake, 15));
  }
}

async function openText(name) {
  const bytes = Uint8Array.from(atob((await block(name)).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

const opened = new Map();
function chunk(number) {
  const found = opened.get(number) ?? openText(`chunk-${number}`).then(JSON.parse);
  opened.delete(number);
  opened.set(number, found);
  if (opened.size > KEPT_CHUNKS) opened.delete(opened.keys().next().value);
  return found;
}

// ---- what a case is

const against = () => Number($("against").value || 1);
const share = (samples) => samples.filter((sample) => sample[VERDICT] === "correct").length / samples.length;
const right = (samples) => samples.length > 0 && share(samples) > 0.5;
const tokens = (samples) => samples.reduce((sum, sample) => sum + sample[TOKENS], 0) / (samples.length || 1);
const alone = () => index.models.length < 2;
const sides = () => (alone() ? [0] : [0, against()]);

function outcome(found) {
  const base = right(found.models[0]);
  if (alone()) return base ? "right" : "wrong";
  const tuned = right(found.models[against()]);
  return base === tuned ? (base ? "both right" : "both wrong") : tuned ? "fixed" : "broken";
}

// As in the comparison: what was wrong on the side that failed.
function cause(found) {
  const kind = outcome(found);
  if (kind !== "fixed" && kind !== "broken") return "";
  const failed = found.models[kind === "fixed" ? 0 : against()].find((sample) => sample[VERDICT] !== "correct");
  return failed[UNFINISHED] ? "finishing" : failed[BOXED] ? "reasoning" : "format";
}

const disagrees = (found) => sides().some((at) => found.models[at].some((s) => s[SECOND] !== null && s[SECOND] !== (s[VERDICT] === "correct")));

function haystack(found) {
  found.haystack ??= [found.id, found.problem, found.gold, ...found.models.flat().map((sample) => sample[ANSWER] ?? "")].join("\n").toLowerCase();
  return found.haystack;
}

// ---- filters

function useBenchmark() {
  cases = index.benchmarks[Number($("benchmark").value)].cases;
  cases.forEach((found, at) => (found.number = at));
  classify();
}

function classify() {
  for (const found of cases) {
    found.outcome = outcome(found);
    found.cause = cause(found);
  }
  drawOutcomes();
  filter();
}

function drawOutcomes() {
  const counts = new Map();
  for (const found of cases) counts.set(found.outcome, (counts.get(found.outcome) ?? 0) + 1);
  $("outcomes").replaceChildren(...["all", ...(alone() ? ALONE : OUTCOMES)].map((name) => {
    const button = html("button", "", `${name} ${(name === "all" ? cases.length : counts.get(name) ?? 0).toLocaleString("en")}`);
    button.dataset.outcome = name;
    button.setAttribute("aria-pressed", String(state.outcome === name));
    button.onclick = () => {
      state.outcome = name;
      drawOutcomes();
      filter();
    };
    return button;
  }));
}

function filter() {
  const wanted = $("search").value.trim().toLowerCase(), odd = $("disagree").checked;
  const deep = state.matches;
  state.shown = cases.filter((found) =>
    (state.outcome === "all" || found.outcome === state.outcome) &&
    (!wanted || haystack(found).includes(wanted) || deep?.has(found.number)) && (!odd || disagrees(found)));
  order(state.shown);
  $("count").textContent = `${state.shown.length.toLocaleString("en")} of ${cases.length.toLocaleString("en")}`;
  $("rows").style.height = `${state.shown.length * ROW}px`;
  $("list").scrollTop = 0;
  drawRows(true);
}

function order(shown) {
  const last = sides().at(-1);
  if ($("order").value === "longest") shown.sort((a, b) => Math.max(...sides().map((at) => tokens(b.models[at]))) - Math.max(...sides().map((at) => tokens(a.models[at]))));
  if ($("order").value === "grown") shown.sort((a, b) => tokens(b.models[last]) - tokens(b.models[0]) - tokens(a.models[last]) + tokens(a.models[0]));
}

// Every text of the benchmark, a chunk at a time so that the page stays at hand; a newer search ends an older one.
async function searchTexts() {
  const mine = ++state.search, wanted = $("search").value.trim().toLowerCase();
  state.matches = null;
  filter();
  if (!wanted || !$("deep").checked) return;
  const found = new Set(), escaped = JSON.stringify(wanted).slice(1, -1), numbers = [...new Set(cases.map((c) => c.chunk))];
  for (const [at, number] of numbers.entries()) {
    const text = await openText(`chunk-${number}`);
    if (mine !== state.search) return;
    if (text.toLowerCase().includes(escaped)) {
      const parsed = JSON.parse(text);
      for (const one of cases) if (one.chunk === number && parsed[one.at].flat(2).some((part) => typeof part === "string" && part.toLowerCase().includes(wanted))) found.add(one.number);
    }
    $("count").textContent = `searching: ${at + 1} of ${numbers.length} blocks, ${found.size} found`;
  }
  state.matches = found;
  filter();
}

// ---- the list

let drawn = "";
function drawRows(anew = false) {
  const list = $("list");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - SPARE);
  const last = Math.min(state.shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + SPARE);
  if (!anew && drawn === `${first} ${last}`) return;
  drawn = `${first} ${last}`;
  $("rows").replaceChildren(...state.shown.slice(first, last).map((found, at) => drawRow(found, first + at)));
}

function drawRow(found, at) {
  const tag = html("span", `tag ${found.outcome}`, found.cause ? `${found.outcome} · ${found.cause}` : found.outcome);
  const sizes = sides().map((side) => (found.models[side].length ? Math.round(tokens(found.models[side])).toLocaleString("en") : "–")).join(" → ");
  const made = html("div", "row", html("div", "", found.problem.slice(0, 160).replace(/\s+/g, " ")), html("div", "meta", tag, `${sizes} tokens`));
  made.style.top = `${at * ROW}px`;
  made.setAttribute("role", "option");
  made.setAttribute("aria-selected", String(found === state.selected));
  made.onclick = () => select(found);
  return made;
}

function step(by) {
  const next = Math.min(state.shown.length - 1, Math.max(0, state.shown.indexOf(state.selected) + by));
  if (!state.shown[next]) return;
  const list = $("list"), top = next * ROW;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
  select(state.shown[next]);
}

// ---- one case

async function select(found) {
  state.selected = found;
  drawRows(true);
  const name = index.benchmarks[Number($("benchmark").value)].name;
  history.replaceState(null, "", `#case=${encodeURIComponent(name)}/${encodeURIComponent(found.id)}`);
  const texts = (await chunk(found.chunk))[found.at];
  if (state.selected !== found) return;
  const withMath = $("math").checked;
  $("detail").replaceChildren(
    html("div", "dim", `${found.outcome}${found.cause ? ` · ${found.cause}` : ""} · ${found.id}`),
    html("div", "problem text", renderText(found.problem, withMath)),
    html("p", "gold", "gold answer: ", html("b", "", answer(found.gold, withMath))),
    html("div", "sides", ...sides().map((at) => drawSide(index.models[at], found.models[at], texts[at], withMath))));
  $("detail").scrollTop = 0;
}

// A final answer is LaTeX without its dollar signs.
function answer(text, withMath) {
  return (withMath && /[\\^_]/.test(text) && formulaElement(text, false)) || document.createTextNode(text);
}

function drawSide(model, samples, texts, withMath) {
  const side = html("div", "side", html("h3", "", model)), body = html("div", "");
  if (!samples.length) {
    side.append(html("p", "dim", "not answered"));
    return side;
  }
  const show = (at) => body.replaceChildren(...drawSample(samples[at], texts[at], withMath));
  if (samples.length > 1) {
    side.append(html("div", "samples", ...samples.map((sample, at) => {
      const button = html("button", sample[VERDICT] === "correct" ? "right" : "wrong", String(at + 1));
      button.title = sample[VERDICT];
      button.onclick = () => show(at);
      return button;
    })));
  }
  show(0);
  side.append(body);
  return side;
}

function drawSample(sample, [reasoning, response, unclosed], withMath) {
  const correct = sample[VERDICT] === "correct";
  const facts = html("div", "facts", html("b", correct ? "right" : "wrong", sample[VERDICT]), ` · answered `,
    html("b", "", sample[ANSWER] === null ? "nothing" : answer(sample[ANSWER], withMath)),
    ` · ${sample[TOKENS].toLocaleString("en")} tokens · ${sample[FINISH]} · ${sample[REASON]}${sample[CHECKED] ? ` (${sample[CHECKED]})` : ""}`);
  if (sample[SECOND] !== null && sample[SECOND] !== correct) facts.append(` · lighteval's metric says ${sample[SECOND] ? "right" : "wrong"}`);
  const made = [facts];
  if (reasoning) made.push(folded(reasoning, unclosed, withMath));
  made.push(html("div", "text response", renderText(response, withMath)));
  if (!response.trim()) made.push(html("p", "dim", unclosed ? "The thinking never ended: nothing was answered." : "An empty answer."));
  return made;
}

function folded(reasoning, unclosed, withMath) {
  const count = reasoning.split(/\s+/).length, words = `${count.toLocaleString("en")} word${count === 1 ? "" : "s"}`;
  const made = html("details", "", html("summary", "", `thinking, ${words}${unclosed ? ", never closed" : ""}`));
  made.ontoggle = () => { // rendered when it is first looked at
    if (made.open && made.childElementCount === 1) made.append(html("div", "text thinking", renderText(reasoning, withMath)));
  };
  return made;
}

// ---- start

function goTo(benchmark, id) {
  const at = index.benchmarks.findIndex((found) => found.name === benchmark);
  const found = index.benchmarks[at]?.cases.find((one) => one.id === id);
  if (!found) return;
  $("benchmark").value = String(at);
  $("search").value = "";
  $("disagree").checked = false;
  state.outcome = "all";
  state.matches = null;
  useBenchmark();
  $("list").scrollTop = Math.max(0, state.shown.indexOf(found) * ROW - 100);
  select(found);
  $("cases").scrollIntoView();
}

function listen() {
  let timer;
  const soon = (act, wait) => () => (clearTimeout(timer), (timer = setTimeout(act, wait)));
  $("search").oninput = () => ($("deep").checked ? soon(searchTexts, 250)() : (state.search++, (state.matches = null), filter()));
  $("deep").onchange = searchTexts;
  $("benchmark").onchange = () => (state.matches = null, useBenchmark(), searchTexts());
  $("against").onchange = () => (classify(), state.selected && select(state.selected));
  $("order").onchange = $("disagree").onchange = filter;
  $("math").onchange = () => state.selected && select(state.selected);
  $("list").onscroll = () => drawRows();
  addEventListener("resize", () => drawRows());
  $("list").onkeydown = (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (by) (event.preventDefault(), step(by));
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-case]");
    if (link) (event.preventDefault(), goTo(link.dataset.benchmark, link.dataset.case));
  });
}

async function start() {
  index = JSON.parse(await openText("index"));
  $("benchmark").append(...index.benchmarks.map((found, at) => new Option(found.name, String(at))));
  $("against").append(...index.models.slice(1).map((name, at) => new Option(`against ${name}`, String(at + 1))));
  $("benchmark").hidden = index.benchmarks.length < 2;
  $("against").hidden = index.models.length < 3;
  listen();
  useBenchmark();
  const asked = /^#case=([^/]*)\/(.*)$/.exec(location.hash);
  if (asked) goTo(decodeURIComponent(asked[1]), decodeURIComponent(asked[2]));
  document.body.dataset.ready = String(Math.round(performance.now()));
}
start().catch((fault) => ($("detail").textContent = `This browser cannot show the cases: ${fault.message}`));
