// The page: asks the server every two seconds, draws what it says. Everything becomes text nodes; there is no innerHTML.
const EVERY = 2000;
const byId = (id) => document.getElementById(id);
const GOOD_STATES = ["ready", "full", "pacing"], BAD_STATES = ["stopped", "balance gone", "circuit open"];
let samples = [], tracesAt = -1, failedSince = 0;

function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

const count = (value) => value.toLocaleString("en-US", { maximumFractionDigits: value < 100 ? 2 : 0 });

function span(seconds) {
  if (seconds === null || !isFinite(seconds)) return "unknown";
  if (seconds < 60) return Math.round(seconds) + " s";
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return minutes + " min";
  if (minutes < 1440) return Math.floor(minutes / 60) + " h " + (minutes % 60) + " min";
  return Math.floor(minutes / 1440) + " d " + Math.round((minutes % 1440) / 60) + " h";
}

function number(value, label) { return make("div", "number", make("b", "", value), make("span", "", label)); }

function meter(name, used, limit, words, className = "") {
  const fill = make("i", className || (used >= limit ? "full" : ""));
  fill.style.width = Math.min(100, limit ? (100 * used) / limit : 0) + "%";
  return make("div", "meter", make("span", "", name), make("div", "", fill), make("span", "", words));
}

function draw(status) {
  document.title = `${count(status.done)} done · stillhouse`;
  byId("corpus").textContent = status.corpus;
  const phase = byId("phase");
  phase.textContent = status.phase;
  phase.className = "chip " + ({ running: "good", idle: "warn", paused: "warn", draining: "warn", stopped: "bad" }[status.phase] || "calm");
  byId("age").textContent = "for " + span(status.elapsed_seconds);
  byId("note").hidden = !status.note;
  byId("note").textContent = status.note ? `${status.phase}: ${status.note}` : "";
  const of = status.total ? ` of ${count(status.total)}` : "";
  const share = status.done ? Math.round((100 * status.kept) / status.done) + "% kept" : "none yet";
  const limit = status.lanes.reduce((sum, lane) => sum + lane.limit, 0);
  byId("numbers").replaceChildren(
    number(count(status.done) + of, "samples done"), number(share, `${count(status.kept)} kept, ${count(status.rejected)} rejected`),
    number(count(status.tokens_per_second), "tokens a second"), number(`${count(status.in_flight)} / ${count(limit)}`, "calls in flight / limit"),
    number(count(status.tokens), "tokens in this run"), number("$" + status.usd.toFixed(2), "spent by this run"),
    number(status.eta_seconds === null ? "–" : span(status.eta_seconds), status.eta_by_quota ? "left by quota" : "left"));
  const most = Math.max(status.total, status.done, 1);
  document.querySelector("#bar .kept").style.width = (100 * status.kept) / most + "%";
  document.querySelector("#bar .rejected").style.width = (100 * status.rejected) / most + "%";
  byId("under").textContent = (status.grading ? `${count(status.grading)} answers being checked` : "");
  byId("lanes").replaceChildren(...status.lanes.map(lane), ...(status.budgets || []).map((b) => budget(b, "whole run: ")));
  bars("errors", status.errors, "no call has failed", () => "");
  bars("verdicts", status.verdicts, "none yet", (name) => (name === "correct" ? "good" : ""));
}

function lane(lane) {
  const kind = GOOD_STATES.includes(lane.state) ? "good" : BAD_STATES.includes(lane.state) ? "bad" : "warn";
  const facts = [`${count(lane.in_flight)} in flight, limit ${count(lane.limit)}` + (lane.ceiling ? ` of ${count(lane.ceiling)}` : ""), `${count(lane.calls)} calls`];
  if (lane.waiting) facts.push(`${count(lane.waiting)} samples wait`);
  if (lane.first_token_seconds) facts.push(`first token ${lane.first_token_seconds.toFixed(2)} s`);
  if (lane.per_minute) facts.push(`${count(lane.per_minute)} calls a minute (${lane.pace_source})`);
  if (lane.usd) facts.push("$" + lane.usd.toFixed(4));
  const failed = Object.entries(lane.errors).map(([name, n]) => `${count(n)} ${name.replaceAll("_", " ")}`);
  if (failed.length) facts.push("failed: " + failed.join(", "));
  const head = make("div", "head", make("b", "", lane.name), make("span", "model", lane.model), make("span", "chip " + kind, lane.state));
  const box = make("div", "lane", head, make("div", "facts", facts.join(" · ")));
  if (lane.reason) box.append(make("div", "why", lane.reason));
  box.append(...lane.budgets.map((b) => budget(b, "")));
  return box;
}

function budget(b, prefix) {
  const money = b.name.startsWith("usd"), amount = (v) => (money ? "$" + v.toFixed(2) : count(v));
  const turns = b.resets_at ? `, turns in ${span((new Date(b.resets_at) - Date.now()) / 1000)}` : "";
  return meter(prefix + b.name.replaceAll("_", " "), b.used, b.limit, `${amount(b.used)} of ${amount(b.limit)}${turns}`);
}

function bars(id, counts, none, className) {
  const rows = Object.entries(counts).sort((a, b) => b[1] - a[1]), most = Math.max(1, ...rows.map((row) => row[1]));
  const nodes = rows.map(([name, n]) => meter(name.replaceAll("_", " "), n, most + 1e-9, count(n), className(name)));
  byId(id).replaceChildren(...(nodes.length ? nodes : [make("div", "empty", none)]));
}

function trace(t) {
  const kind = { correct: "good", unverifiable: "calm" }[t.verdict] || "bad";
  const facts = `${t.lane} · ${count(t.tokens)} tokens · ${t.seconds === null ? "" : span(t.seconds)}`;
  const summary = make("summary", "", make("span", "chip " + kind, t.verdict), make("span", "text", renderText(t.problem.slice(0, 300))), make("span", "facts", facts));
  const box = make("details", "trace", summary);
  box.dataset.id = t.id;
  box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) box.append(inside(t)); });
  return box;
}

function inside(t) {
  const prose = (text) => make("div", "prose", renderText(text));
  const box = make("div", "inside", make("h3", "", "Problem"), prose(t.problem));
  const thinking = make("details", "", make("summary", "", `Reasoning, ${count(t.reasoning_characters)} characters`));
  thinking.addEventListener("toggle", () => { if (thinking.open && thinking.children.length === 1) thinking.append(prose(t.reasoning)); });
  box.append(thinking, make("h3", "", "Response"), prose(t.response || "(none)"));
  const answers = `gold ${t.gold ?? "unknown"} · answer ${t.final_answer ?? "none"} · ${t.verdict}: ${t.reason}`;
  box.append(make("h3", "", "Verdict"), make("div", "prose", answers));
  box.append(make("div", "facts", `${t.id} · ${t.source} · ${t.model} · ${t.attempts} calls · ${t.finish_reason} · ${t.finished_at}`));
  return box;
}

function showTraces(list) {
  const box = byId("traces"), shown = new Map([...box.querySelectorAll(".trace")].map((node) => [node.dataset.id, node]));
  box.replaceChildren(...(list.length ? list.map((t) => shown.get(t.id) || trace(t)) : [make("div", "empty", "none yet")]));
}

function colours() {
  const style = getComputedStyle(document.documentElement);
  return Object.fromEntries(["line", "dim", "blue", "green", "purple"].map((name) => [name, style.getPropertyValue("--" + name).trim()]));
}

async function ask(path) {
  const reply = await fetch(path);
  if (!reply.ok) throw new Error(`${path}: ${reply.status}`);
  return reply.json();
}

async function look() {
  try {
    const status = await ask("/status");
    draw(status);
    const seen = await ask("/history?since=" + (samples.length ? samples[samples.length - 1][0] : 0));
    samples = samples.concat(seen.samples).slice(-900);
    drawChart(byId("chart"), samples, colours());
    if (status.done !== tracesAt) { showTraces(await ask("/traces")); tracesAt = status.done; }
    failedSince = 0;
  } catch (error) {
    failedSince = failedSince || Date.now();
    byId("note").hidden = false;
    byId("note").textContent = `The run does not answer since ${span((Date.now() - failedSince) / 1000)} (it may have ended): ${error.message}`;
    byId("phase").textContent = "no answer";
    byId("phase").className = "chip bad";
  }
}

async function keepLooking() {
  if (!document.hidden) await look();
  setTimeout(keepLooking, EVERY);
}

async function control(what) {
  const token = byId("token").value.trim();
  sessionStorage.setItem("token", token);
  if (what === "drain" && !confirm("Drain: start nothing more and end when the calls in flight have ended?")) return;
  const reply = await fetch("/" + what, { method: "POST", headers: { Authorization: "Bearer " + token } }).catch(() => null);
  const said = reply ? await reply.json() : { error: "no answer" };
  byId("said").textContent = said.error || [what + ": done", ...(said.notes || [])].join("; ");
  look();
}

for (const [name, words] of [["blue", "tokens/s"], ["green", "in flight"], ["purple", "limit"]]) {
  const swatch = make("i", "");
  swatch.style.background = `var(--${name})`;
  byId("legend").append(swatch, words);
}
byId("token").value = sessionStorage.getItem("token") || "";
byId("controls").addEventListener("submit", (event) => event.preventDefault());
for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => control(button.dataset.do));
window.addEventListener("resize", () => drawChart(byId("chart"), samples, colours()));
keepLooking();
