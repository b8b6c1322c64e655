// The lanes of a run and its budgets.
const GOOD_STATES = ["ready", "full", "pacing"];
const BAD_STATES = ["stopped", "balance gone", "circuit open", "budget away"];

// `now`: milliseconds by the clock of the run.
function laneBox(lane, now) {
  const head = element(
    "div",
    "head",
    verbatim(element("b", "", lane.name)),
    verbatim(element("span", "model", lane.model)),
    element("span", "chip " + stateClass(lane.state), lane.state),
  );
  const box = element("div", "lane", head, listOfFacts(laneFacts(lane)));
  if (lane.reason) box.append(element("div", "why", lane.reason));
  box.append(...(lane.batches || []).map((batch) => element("div", "why", batchInWords(batch, now))));
  box.append(...lane.budgets.map((budget) => budgetMeter(budget, "", now)));
  return box;
}

// "batch of 4,800 at siliconflow: 3,120 done, expires in 9 h 12 min"
function batchInWords(batch, now) {
  const steps = {
    prepared: "is being uploaded",
    uploaded: "is uploaded",
    ended: "its lines are taken over",
    held: "held",
  };
  const parts = [steps[batch.state] || `${formatCount(batch.completed)} done`];
  if (batch.failed) parts.push(`${formatCount(batch.failed)} failed`);
  const seconds = batch.expires_at - now / 1000;
  if (batch.state === "created" && seconds > 0) parts.push("expires in " + formatDuration(seconds));
  if (batch.note) parts.push(batch.note);
  return `batch of ${formatCount(batch.lines)} at ${batch.lane}: ` + parts.join(", ");
}

function stateClass(state) {
  if (GOOD_STATES.includes(state)) return "good";
  if (BAD_STATES.includes(state)) return "bad";
  return "warn";
}

function laneFacts(lane) {
  const ceiling = lane.ceiling ? ` of ${formatCount(lane.ceiling)}` : "";
  const facts = [
    `${formatCount(lane.in_flight)} in flight, limit ${formatCount(lane.limit)}${ceiling}`,
    `${formatCount(lane.calls)} calls`,
  ];
  if (lane.waiting) facts.push(`${formatCount(lane.waiting)} samples wait`);
  if (lane.first_token_seconds) facts.push(`first token ${lane.first_token_seconds.toFixed(2)} s`);
  if (lane.per_minute) {
    facts.push(`${formatCount(lane.per_minute)} calls a minute (${lane.pace_source})`);
  }
  if (lane.usd) facts.push("$" + lane.usd.toFixed(4));
  const failures = Object.entries(lane.errors).map(
    ([kind, count]) => `${formatCount(count)} ${formatName(kind)}`,
  );
  if (failures.length) facts.push("failed: " + failures.join(", "));
  return facts;
}

function budgetMeter(budget, prefix, now) {
  const isMoney = budget.name.startsWith("usd");
  const amount = (value) => (isMoney ? "$" + value.toFixed(2) : formatCount(value));
  const usage = `${amount(budget.used)} of ${amount(budget.limit)}`;
  const className = budget.used >= budget.limit ? "full" : "";
  const text = usage + resetText(budget.resets_at, now);
  return meter(prefix + formatName(budget.name), budget.used, budget.limit, text, className);
}

// A budget is counted anew with the first call after its reset, not at the moment itself.
function resetText(resetsAt, now) {
  if (!resetsAt) return "";
  const seconds = (new Date(resetsAt) - now) / 1000;
  return seconds > 0 ? `, resets in ${formatDuration(seconds)}` : ", reset is due";
}
