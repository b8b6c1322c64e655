// Nodes of the page. Everything becomes text nodes; there is no innerHTML.
const byId = (id) => document.getElementById(id);

function element(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

// What came from a model, a data set or a configuration: it is never translated.
function verbatim(node) {
  node.setAttribute("translate", "no");
  return node;
}

// "a · b · c", each a text of its own.
function listOfFacts(facts) {
  const parts = facts.flatMap((fact, number) => (number ? [" · ", fact] : [fact]));
  return element("div", "facts", ...parts);
}

function emptyNote(text) {
  return element("div", "empty", text);
}

function numberBox(value, label) {
  return element("div", "number", element("b", "", value), element("span", "", label));
}

// A bar with its name in front and its value behind.
function meter(name, used, limit, valueText, className = "") {
  const bar = element("i", className);
  const percent = limit ? (100 * used) / limit : 0;
  bar.style.width = Math.min(100, percent) + "%";
  return element(
    "div",
    "meter",
    element("span", "name", name),
    element("div", "", bar),
    element("span", "", valueText),
  );
}

// {"stalled": 2} -> a meter a name, the most frequent on top.
function countMeters(counts, emptyText, className) {
  const rows = Object.entries(counts).sort((a, b) => b[1] - a[1]);
  if (!rows.length) return [emptyNote(emptyText)];
  const largest = rows[0][1];
  return rows.map(([name, count]) =>
    meter(formatName(name), count, largest, formatCount(count), className(name)),
  );
}

// A closed box whose content is made when it is opened for the first time.
function lazyDetails(className, summary, content) {
  const box = element("details", className, summary);
  box.addEventListener("toggle", () => {
    if (box.open && box.children.length === 1) box.append(content());
  });
  return box;
}
