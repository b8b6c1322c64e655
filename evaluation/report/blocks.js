// What the page carries: the index, opened at once, and chunks of texts, each opened when one of
// its cases is looked at; and what follows from a case's samples.

const CACHED_CHUNKS = 6;
// Places in a sample of the index: see payload.py.
const VERDICT = 0;
const TOKENS = 1;
const ANSWER = 2;
const BOXED = 3;
const FINISH = 4;
const SECOND_OPINION = 5;
const REASON = 6;
const CHECKED_BY = 7;
const UNFINISHED = 8;
let index;

const $ = (id) => document.getElementById(id);
const inEnglish = (number) => number.toLocaleString("en");

function html(name, className, ...children) {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// What came from a model or a benchmark: it is never translated.
function verbatim(element) {
  element.setAttribute("translate", "no");
  return element;
}

// ---- data blocks

// The page is shown while the blocks behind this script are still being read: a block is whole
// once something follows it.
async function block(name) {
  for (;;) {
    const element = $(name);
    const isLoading = document.readyState === "loading";
    if (element && (element.nextElementSibling || !isLoading)) return element;
    if (!element && !isLoading) throw new Error(`the file is cut off: no ${name}`);
    await new Promise((wake) => setTimeout(wake, 15));
  }
}

async function openText(name) {
  const base64 = (await block(name)).textContent;
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const chunkCache = new Map(); // by number, the least recently used first

function chunk(number) {
  const promise = chunkCache.get(number) ?? openText(`chunk-${number}`).then(JSON.parse);
  chunkCache.delete(number);
  chunkCache.set(number, promise);
  if (chunkCache.size > CACHED_CHUNKS) chunkCache.delete(chunkCache.keys().next().value);
  return promise;
}

// ---- what a case is

const isCorrect = (sample) => sample[VERDICT] === "correct";
const correctShare = (samples) => samples.filter(isCorrect).length / samples.length;
const isRight = (samples) => samples.length > 0 && correctShare(samples) > 0.5;
const hasSingleModel = () => index.models.length < 2;
const tunedSide = () => Number($("against").value || 1);
const sides = () => (hasSingleModel() ? [0] : [0, tunedSide()]);

function meanTokens(samples) {
  const sum = samples.reduce((tokens, sample) => tokens + sample[TOKENS], 0);
  return sum / (samples.length || 1);
}

function outcomeOf(entry) {
  const baseIsRight = isRight(entry.models[0]);
  if (hasSingleModel()) return baseIsRight ? "right" : "wrong";
  const tunedIsRight = isRight(entry.models[tunedSide()]);
  if (baseIsRight) return tunedIsRight ? "both right" : "broken";
  return tunedIsRight ? "fixed" : "both wrong";
}

// As in the comparison: what was wrong on the side that failed.
function causeOf(entry, outcome) {
  if (outcome !== "fixed" && outcome !== "broken") return "";
  const failingSide = outcome === "fixed" ? 0 : tunedSide();
  const sample = entry.models[failingSide].find((candidate) => !isCorrect(candidate));
  if (sample[UNFINISHED]) return "finishing";
  return sample[BOXED] ? "reasoning" : "format";
}

const isDisputed = (sample) =>
  sample[SECOND_OPINION] !== null && sample[SECOND_OPINION] !== isCorrect(sample);
const hasDispute = (entry) => sides().some((side) => entry.models[side].some(isDisputed));
const label = (entry) => (entry.cause ? `${entry.outcome} · ${entry.cause}` : entry.outcome);

function searchableText(entry) {
  if (entry.searchableText === undefined) {
    const answers = entry.models.flat().map((sample) => sample[ANSWER] ?? "");
    const texts = [entry.id, entry.problem, entry.gold, ...answers];
    entry.searchableText = texts.join("\n").toLowerCase();
  }
  return entry.searchableText;
}
