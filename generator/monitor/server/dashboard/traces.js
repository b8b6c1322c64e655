// The latest traces, each a box that opens.
const VERDICT_CLASSES = { correct: "good", unverifiable: "calm" };
const SUMMARY_CHARACTERS = 300;

// Boxes of traces that are still listed stay, so that an open one does not close.
function showTraces(traces) {
  const list = byId("traces");
  const boxes = new Map();
  for (const box of list.querySelectorAll(".trace")) boxes.set(box.dataset.id, box);
  const rows = traces.map((trace) => boxes.get(trace.id) || traceBox(trace));
  list.replaceChildren(...(rows.length ? rows : [emptyNote("none yet")]));
}

function traceBox(trace) {
  const verdictClass = VERDICT_CLASSES[trace.verdict] || "bad";
  const seconds = trace.seconds === null ? "" : formatDuration(trace.seconds);
  const facts = listOfFacts([trace.lane, `${formatCount(trace.tokens)} tokens`, seconds]);
  const summary = element(
    "summary",
    "",
    element("span", "chip " + verdictClass, trace.verdict),
    verbatim(element("span", "text", renderText(trace.problem.slice(0, SUMMARY_CHARACTERS)))),
    facts,
  );
  const box = lazyDetails("trace", summary, () => traceContent(trace));
  box.dataset.id = trace.id;
  return box;
}

function traceContent(trace) {
  const prose = (text) => verbatim(element("div", "prose", renderText(text)));
  const length = formatCount(trace.reasoning_characters);
  const reasoning = lazyDetails(
    "",
    element("summary", "", `Reasoning, ${length} characters`),
    () => prose(trace.reasoning),
  );
  const gold = trace.gold ?? "unknown";
  const answer = trace.final_answer ?? "none";
  const verdict = `gold ${gold} · answer ${answer} · ${trace.verdict}: ${trace.reason}`;
  const origin = [
    trace.id,
    trace.source,
    trace.model,
    `${trace.attempts} calls`,
    trace.finish_reason,
    trace.finished_at,
  ];
  return element(
    "div",
    "inside",
    element("h3", "", "Problem"),
    prose(trace.problem),
    reasoning,
    element("h3", "", "Response"),
    prose(trace.response || "(none)"),
    element("h3", "", "Verdict"),
    element("div", "prose", verdict),
    verbatim(element("div", "facts", origin.join(" · "))),
  );
}
