// The browser of cases: filters, the list, the keys. Only those rows of the list exist that can be
// seen. Everything from a model or a problem becomes a text node.

const ROW_HEIGHT = 48;
const SPARE_ROWS = 8;
const SEARCH_DELAY_MS = 250;
const OUTCOMES = ["fixed", "broken", "both wrong", "both right"];
const SINGLE_MODEL_OUTCOMES = ["wrong", "right"];
const STEPS = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1, PageDown: 10, PageUp: -10 };

// `entries` are the cases that pass the filters, in the chosen order; `textMatches` the numbers of
// those in whose full texts the search stands, null while nothing but the index is searched.
const state = {
  outcome: "all",
  selection: null,
  entries: [],
  textMatches: null,
  searchNumber: 0,
  rows: "",
};
let allEntries = [];

const query = () => $("search").value.trim().toLowerCase();

function useBenchmark() {
  allEntries = index.benchmarks[Number($("benchmark").value)].cases;
  allEntries.forEach((entry, number) => {
    entry.number = number;
  });
  classify();
}

function classify() {
  for (const entry of allEntries) {
    entry.outcome = outcomeOf(entry);
    entry.cause = causeOf(entry, entry.outcome);
  }
  drawOutcomes();
  filter();
}

function drawOutcomes() {
  const counts = new Map([["all", allEntries.length]]);
  for (const { outcome } of allEntries) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  const outcomes = hasSingleModel() ? SINGLE_MODEL_OUTCOMES : OUTCOMES;
  const buttons = ["all", ...outcomes].map((name) => outcomeButton(name, counts.get(name) ?? 0));
  $("outcomes").replaceChildren(...buttons);
}

function outcomeButton(name, count) {
  const button = html("button", "", `${name} ${inEnglish(count)}`);
  button.dataset.outcome = name;
  button.setAttribute("aria-pressed", String(state.outcome === name));
  button.onclick = () => {
    state.outcome = name;
    drawOutcomes();
    filter();
  };
  return button;
}

function filter() {
  const text = query();
  const disputedOnly = $("disagree").checked;
  const matches = (entry) => {
    if (state.outcome !== "all" && entry.outcome !== state.outcome) return false;
    if (disputedOnly && !hasDispute(entry)) return false;
    if (!text || searchableText(entry).includes(text)) return true;
    return state.textMatches !== null && state.textMatches.has(entry.number);
  };
  state.entries = allEntries.filter(matches);
  sort(state.entries);
  $("count").textContent = `${inEnglish(state.entries.length)} of ${inEnglish(allEntries.length)}`;
  $("rows").style.height = `${state.entries.length * ROW_HEIGHT}px`;
  $("list").scrollTop = 0;
  drawRows(true);
}

// The benchmark's own order is the one of `allEntries`.
function sort(list) {
  const lastSide = sides().at(-1);
  const longest = (entry) => Math.max(...sides().map((side) => meanTokens(entry.models[side])));
  const growth = (entry) => meanTokens(entry.models[lastSide]) - meanTokens(entry.models[0]);
  const order = $("order").value;
  if (order === "longest") list.sort((a, b) => longest(b) - longest(a));
  if (order === "grown") list.sort((a, b) => growth(b) - growth(a));
}

// Every text of the benchmark, a chunk at a time so that the page stays at hand; a newer search
// ends an older one.
async function searchTexts() {
  state.searchNumber += 1;
  const searchNumber = state.searchNumber;
  const text = query();
  state.textMatches = null;
  filter();
  if (!text || !$("deep").checked) return;
  const matches = new Set();
  const chunkNumbers = [...new Set(allEntries.map((entry) => entry.chunk))];
  for (const [position, number] of chunkNumbers.entries()) {
    const json = await openText(`chunk-${number}`);
    if (searchNumber !== state.searchNumber) return;
    for (const match of matchesInChunk(json, number, text)) matches.add(match);
    const progress = `${position + 1} of ${chunkNumbers.length} blocks`;
    $("count").textContent = `searching: ${progress}, ${matches.size} found`;
  }
  state.textMatches = matches;
  filter();
}

// The numbers of the entries of one chunk in whose texts `text` stands; the chunk is parsed only
// where it stands in its JSON.
function matchesInChunk(json, number, text) {
  const jsonText = JSON.stringify(text).slice(1, -1);
  if (!json.toLowerCase().includes(jsonText)) return [];
  const texts = JSON.parse(json);
  const contains = (part) => typeof part === "string" && part.toLowerCase().includes(text);
  return allEntries
    .filter((entry) => entry.chunk === number && texts[entry.at].flat(2).some(contains))
    .map((entry) => entry.number);
}

// ---- the list

function drawRows(anew = false) {
  const list = $("list");
  const top = Math.floor(list.scrollTop / ROW_HEIGHT);
  const bottom = Math.ceil((list.scrollTop + list.clientHeight) / ROW_HEIGHT);
  const start = Math.max(0, top - SPARE_ROWS);
  const end = Math.min(state.entries.length, bottom + SPARE_ROWS);
  const rows = `${start} ${end}`;
  if (!anew && state.rows === rows) return;
  state.rows = rows;
  const elements = state.entries.slice(start, end).map((entry, row) => drawRow(entry, start + row));
  $("rows").replaceChildren(...elements);
}

function drawRow(entry, position) {
  const tag = html("span", `tag ${entry.outcome}`, label(entry));
  const lengths = sides().map((side) => {
    const samples = entry.models[side];
    return samples.length ? inEnglish(Math.round(meanTokens(samples))) : "–";
  });
  const problem = verbatim(html("div", "", entry.problem.slice(0, 160).replace(/\s+/g, " ")));
  const meta = html("div", "meta", tag, `${lengths.join(" → ")} tokens`);
  const row = html("div", "row", problem, meta);
  row.style.top = `${position * ROW_HEIGHT}px`;
  row.setAttribute("role", "option");
  row.setAttribute("aria-selected", String(entry === state.selection));
  row.onclick = () => select(entry);
  return row;
}

function step(count) {
  const lastPosition = state.entries.length - 1;
  const target = state.entries.indexOf(state.selection) + count;
  const position = Math.min(lastPosition, Math.max(0, target));
  const entry = state.entries[position];
  if (!entry) return;
  scrollToRow(position);
  select(entry);
}

function scrollToRow(position) {
  const list = $("list");
  const top = position * ROW_HEIGHT;
  const bottom = top + ROW_HEIGHT;
  if (top < list.scrollTop) list.scrollTop = top;
  if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
}

// ---- start

function goTo(benchmark, id) {
  const number = index.benchmarks.findIndex((candidate) => candidate.name === benchmark);
  const entry = index.benchmarks[number]?.cases.find((candidate) => candidate.id === id);
  if (!entry) return false;
  $("benchmark").value = String(number);
  $("search").value = "";
  $("disagree").checked = false;
  state.outcome = "all";
  state.textMatches = null;
  useBenchmark();
  $("list").scrollTop = Math.max(0, state.entries.indexOf(entry) * ROW_HEIGHT - 100);
  select(entry);
  $("cases").scrollIntoView();
  return true;
}

// What a reader wants to see: a case that was fixed, else the first. The address stays as it is.
function showFirst() {
  const entry = state.entries.find(({ outcome }) => outcome === "fixed") ?? state.entries[0];
  if (!entry) return;
  scrollToRow(state.entries.indexOf(entry));
  show(entry).catch(showFault);
}

function showAgain() {
  if (state.selection) show(state.selection);
}

function listen() {
  listenToFilters();
  $("math").onchange = showAgain;
  $("list").onscroll = () => drawRows();
  addEventListener("resize", () => drawRows());
  $("list").onkeydown = (event) => {
    const count = STEPS[event.key];
    if (!count) return;
    event.preventDefault();
    step(count);
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-case]");
    if (!link) return;
    event.preventDefault();
    goTo(link.dataset.benchmark, link.dataset.case);
  });
}

function listenToFilters() {
  let timer;
  $("search").oninput = () => {
    if ($("deep").checked) {
      clearTimeout(timer);
      timer = setTimeout(searchTexts, SEARCH_DELAY_MS);
      return;
    }
    state.searchNumber += 1; // ends a search in full texts
    state.textMatches = null;
    filter();
  };
  $("deep").onchange = searchTexts;
  $("benchmark").onchange = () => {
    state.textMatches = null;
    useBenchmark();
    searchTexts();
    showFirst();
  };
  $("against").onchange = () => {
    classify();
    showAgain();
  };
  $("order").onchange = filter;
  $("disagree").onchange = filter;
}

// The case that the page's address names, as `select` writes it; null for none, or a torn link.
function addressedCase() {
  const parts = /^#case=([^/]*)\/(.*)$/.exec(location.hash);
  if (parts === null) return null;
  try {
    return { benchmark: decodeURIComponent(parts[1]), id: decodeURIComponent(parts[2]) };
  } catch (fault) {
    if (fault instanceof URIError) return null;
    throw fault;
  }
}

async function start() {
  index = JSON.parse(await openText("index"));
  const option = (text, value) => new Option(text, String(value));
  const tunedModels = index.models.slice(1);
  $("benchmark").append(...index.benchmarks.map(({ name }, number) => option(name, number)));
  $("against").append(...tunedModels.map((name, number) => option(`against ${name}`, number + 1)));
  $("benchmark").hidden = index.benchmarks.length < 2;
  $("against").hidden = index.models.length < 3;
  listen();
  useBenchmark();
  const address = addressedCase();
  const isShown = address !== null && goTo(address.benchmark, address.id);
  if (!isShown) showFirst();
  document.body.dataset.ready = String(Math.round(performance.now()));
}

function showFault(fault) {
  $("detail").textContent = `This browser cannot show the cases: ${fault.message}`;
}

start().catch(showFault);
