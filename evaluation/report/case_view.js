// One case beside the list: the problem, the gold answer, and each model's answer with its facts.

function select(entry) {
  const benchmark = index.benchmarks[Number($("benchmark").value)].name;
  const address = `#case=${encodeURIComponent(benchmark)}/${encodeURIComponent(entry.id)}`;
  history.replaceState(null, "", address);
  return show(entry);
}

async function show(entry) {
  state.selection = entry;
  drawRows(true);
  const texts = (await chunk(entry.chunk))[entry.at];
  if (state.selection !== entry) return;
  const withMath = $("math").checked;
  const columns = sides().map((side) =>
    drawSide(index.models[side], entry.models[side], texts[side], withMath),
  );
  $("detail").replaceChildren(
    html("div", "dim", `${label(entry)} · ${entry.id}`),
    verbatim(html("div", "problem text", renderText(entry.problem, withMath))),
    html("p", "gold", "gold answer: ", verbatim(html("b", "", answerNode(entry.gold, withMath)))),
    html("div", "sides", ...columns),
  );
  $("detail").scrollTop = 0;
}

// A final answer is LaTeX without its dollar signs.
function answerNode(text, withMath) {
  const formula = withMath && /[\\^_]/.test(text) ? formulaElement(text, false) : null;
  return formula || document.createTextNode(text);
}

function drawSide(model, samples, texts, withMath) {
  const side = html("div", "side", verbatim(html("h3", "", model)));
  if (!samples.length) {
    side.append(html("p", "dim", "not answered"));
    return side;
  }
  const body = html("div", "");
  const showSample = (number) =>
    body.replaceChildren(...drawSample(samples[number], texts[number], withMath));
  if (samples.length > 1) {
    const buttons = samples.map((sample, number) => {
      const button = html("button", isCorrect(sample) ? "right" : "wrong", String(number + 1));
      button.title = sample[VERDICT];
      button.onclick = () => showSample(number);
      return button;
    });
    side.append(html("div", "samples", ...buttons));
  }
  showSample(0);
  side.append(body);
  return side;
}

function drawSample(sample, [reasoning, response, unclosed], withMath) {
  const nodes = [drawFacts(sample, withMath)];
  if (reasoning) nodes.push(drawThinking(reasoning, unclosed, withMath));
  nodes.push(verbatim(html("div", "text response", renderText(response, withMath))));
  if (!response.trim()) {
    const reason = unclosed
      ? "The thinking never ended: nothing was answered."
      : "An empty answer.";
    nodes.push(html("p", "dim", reason));
  }
  return nodes;
}

function drawFacts(sample, withMath) {
  const verdict = html("b", isCorrect(sample) ? "right" : "wrong", sample[VERDICT]);
  const answer = sample[ANSWER] === null ? "nothing" : answerNode(sample[ANSWER], withMath);
  const check = sample[CHECKED_BY] ? ` (${sample[CHECKED_BY]})` : "";
  const facts = html(
    "div",
    "facts",
    verdict,
    " · answered ",
    verbatim(html("b", "", answer)),
    ` · ${inEnglish(sample[TOKENS])} tokens · ${sample[FINISH]} · ${sample[REASON]}${check}`,
  );
  if (isDisputed(sample)) {
    const opinion = sample[SECOND_OPINION] ? "right" : "wrong";
    facts.append(` · lighteval's metric says ${opinion}`);
  }
  return facts;
}

// Folded, and rendered when it is first unfolded: a thinking is long.
function drawThinking(reasoning, unclosed, withMath) {
  const count = reasoning.split(/\s+/).length;
  const words = `${inEnglish(count)} word${count === 1 ? "" : "s"}`;
  const summary = html("summary", "", `thinking, ${words}${unclosed ? ", never closed" : ""}`);
  const details = html("details", "", summary);
  details.ontoggle = () => {
    const isRendered = details.childElementCount > 1;
    if (!details.open || isRendered) return;
    details.append(verbatim(html("div", "text thinking", renderText(reasoning, withMath))));
  };
  return details;
}
