// The page: asks the server every two seconds and draws what it says.
const POLL_MILLISECONDS = 2000;
const HISTORY_SAMPLES = 900;
const PHASE_CLASSES = {
  running: "good",
  idle: "warn",
  paused: "warn",
  draining: "warn",
  stopped: "bad",
};
const LEGEND = { blue: "tokens/s", green: "in flight", purple: "limit" };
const CHART_COLOURS = ["line", "dim", "blue", "green", "purple"];
const DRAIN_QUESTION =
  "Drain: start nothing more and end when the calls in flight have ended?";
const NO_TOKEN = "give the token first: the value of GENERATOR_TOKEN where the run was started";
const WRONG_TOKEN = "the run does not know this token: it is the value of GENERATOR_TOKEN there";

let samples = [];
let doneAtLastTraces = -1;
let silentSince = 0; // milliseconds; 0 while the server answers

function showStatus(status) {
  const now = new Date(status.at);
  document.title = pageLanguage.say(`${formatCount(status.done)} done · stillhouse`);
  byId("corpus").textContent = status.corpus;
  showPhase(status.phase, PHASE_CLASSES[status.phase] || "calm");
  byId("age").textContent = "for " + formatDuration(status.elapsed_seconds);
  showNote(status.note ? `${status.phase}: ${status.note}` : "");
  showNumbers(status);
  const checks = status.grading ? `${formatCount(status.grading)} answers being checked` : "";
  byId("under").textContent = checks;
  const runBudgets = status.budgets || [];
  byId("lanes").replaceChildren(
    ...status.lanes.map((lane) => laneBox(lane, now)),
    ...runBudgets.map((budget) => budgetMeter(budget, "whole run: ", now)),
  );
  const errors = countMeters(status.errors, "no call has failed", () => "");
  byId("errors").replaceChildren(...errors);
  const verdictClass = (name) => (name === "correct" ? "good" : "");
  const verdicts = countMeters(status.verdicts, "none yet", verdictClass);
  byId("verdicts").replaceChildren(...verdicts);
}

function showPhase(text, className) {
  byId("phase").textContent = text;
  byId("phase").className = "chip " + className;
}

function showNote(text) {
  byId("note").hidden = !text;
  byId("note").textContent = text;
}

function showNumbers(status) {
  const total = status.total ? ` of ${formatCount(status.total)}` : "";
  const share = status.done
    ? Math.round((100 * status.kept) / status.done) + "% kept"
    : "none yet";
  const piles = `${formatCount(status.kept)} kept, ${formatCount(status.rejected)} rejected`;
  const limit = status.lanes.reduce((sum, lane) => sum + lane.limit, 0);
  const calls = `${formatCount(status.in_flight)} / ${formatCount(limit)}`;
  const eta = status.eta_seconds === null ? "–" : formatDuration(status.eta_seconds);
  byId("numbers").replaceChildren(
    numberBox(formatCount(status.done) + total, "samples done"),
    numberBox(share, piles),
    numberBox(formatCount(status.tokens_per_second), "tokens a second"),
    numberBox(calls, "calls in flight / limit"),
    numberBox(formatCount(status.tokens), "tokens in this run"),
    numberBox("$" + status.usd.toFixed(2), "spent by this run"),
    numberBox(eta, status.eta_by_quota ? "left by quota" : "left"),
  );
  const whole = Math.max(status.total, status.done, 1);
  document.querySelector("#bar .kept").style.width = (100 * status.kept) / whole + "%";
  document.querySelector("#bar .rejected").style.width = (100 * status.rejected) / whole + "%";
}

function showChart() {
  const style = getComputedStyle(document.documentElement);
  const colours = {};
  for (const name of CHART_COLOURS) colours[name] = style.getPropertyValue("--" + name).trim();
  drawChart(byId("chart"), samples, colours);
}

async function getJson(path) {
  const reply = await fetch(path);
  if (!reply.ok) throw new Error(`${path}: ${reply.status}`);
  return reply.json();
}

async function refresh() {
  try {
    const status = await getJson("/status");
    showStatus(status);
    const newest = samples.length ? samples[samples.length - 1][0] : 0;
    const history = await getJson("/history?since=" + newest);
    samples = samples.concat(history.samples).slice(-HISTORY_SAMPLES);
    showChart();
    if (status.done !== doneAtLastTraces) {
      showTraces(await getJson("/traces"));
      doneAtLastTraces = status.done;
    }
    silentSince = 0;
  } catch (error) {
    silentSince = silentSince || Date.now();
    const silence = formatDuration((Date.now() - silentSince) / 1000);
    showNote(`The run has not answered for ${silence} (it may have ended): ${error.message}`);
    showPhase("no answer", "bad");
  }
}

async function poll() {
  if (!document.hidden) await refresh();
  setTimeout(poll, POLL_MILLISECONDS);
}

async function control(action) {
  const token = byId("token").value.trim();
  sessionStorage.setItem("token", token);
  if (action === "drain" && !confirm(pageLanguage.say(DRAIN_QUESTION))) return;
  const request = { method: "POST", headers: { Authorization: "Bearer " + token } };
  const reply = await fetch("/" + action, request).catch(() => null);
  const result = await resultOf(reply);
  const notes = result.notes || [];
  byId("outcome").textContent = result.error || [action + ": done", ...notes].join("; ");
  refresh();
}

async function resultOf(reply) {
  if (!reply) return { error: "no answer" };
  if (reply.status === 401 || reply.status === 403) return { error: WRONG_TOKEN };
  return reply.json().catch(() => ({ error: `the run answered ${reply.status}` }));
}

// Without a token the controls can do nothing, and look so.
function showControls() {
  const hasToken = byId("token").value.trim() !== "";
  for (const button of document.querySelectorAll("[data-do]")) {
    button.disabled = !hasToken;
    button.title = hasToken ? "" : NO_TOKEN;
  }
}

function showLegend() {
  for (const [colour, text] of Object.entries(LEGEND)) {
    const swatch = element("i", "");
    swatch.style.background = `var(--${colour})`;
    byId("legend").append(swatch, text);
  }
}

function start() {
  showLegend();
  byId("token").value = sessionStorage.getItem("token") || "";
  byId("token").addEventListener("input", showControls);
  showControls();
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => control(button.dataset.do));
  }
  window.addEventListener("resize", showChart);
  poll();
}

start();
