// The page in the reader's language. The page is written in English; the catalogue has the Chinese of
// each of its texts, some with places for what changes: "{0} of {1}". What came from a model or a data
// set stays as it is: it stands in pre, code or math, or in an element with translate="no". "{0#}" is a
// place for a number alone.
const pageLanguage = (() => {
  const CHINESE = CATALOGUE;
  const ATTRIBUTES = ["aria-label", "title", "placeholder"];
  const KEPT = "[translate=no], pre, code, math, script, style, textarea";
  const LIST = "{0}, {1}";
  const PLACE = /\{\d#?\}/;
  const STORED = "stillhouse-language";
  const exact = new Map();
  const patterns = [];
  const written = new WeakMap(); // a node -> {attribute or "": {english, shown}}
  let language = "en";

  for (const [english, chinese] of Object.entries(CHINESE)) {
    if (PLACE.test(english)) patterns.push({ english, expression: expressionOf(english), chinese });
    else exact.set(english, chinese);
  }
  patterns.sort((a, b) => literalLength(b.english) - literalLength(a.english)); // the strictest first

  // "{0} of {1#}" -> /^(.+?) of ([-+\d.,]+)$/
  function expressionOf(english) {
    const parts = english.split(/(\{\d#?\})/).map((part) => {
      if (!PLACE.test(part)) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      return part.includes("#") ? "([-+$%\\u2212\\d.,]+)" : "(.+?)";
    });
    return new RegExp(`^${parts.join("")}$`);
  }

  function literalLength(english) {
    return english.replace(/\{\d#?\}/g, "").length;
  }

  function toChinese(text) {
    const core = text.trim();
    if (!/[A-Za-z]/.test(core)) return text;
    const whole = exact.get(core);
    if (whole !== undefined) return text.replace(core, () => whole);
    for (const { english, expression, chinese } of patterns) {
      const match = expression.exec(core);
      if (!match) continue;
      const parts = match.slice(1).map(toChinese);
      // A comma joins the parts of a list, and stands in sentences that the catalogue does not have.
      if (english === LIST && parts.some((part, at) => /[A-Za-z]/.test(part) && part === match[at + 1])) continue;
      const filled = chinese.replace(/\{(\d)\}/g, (_, place) => parts[Number(place)]);
      return text.replace(core, () => filled);
    }
    return text;
  }

  const say = (text) => (language === "zh" ? toChinese(text) : text);

  // What a script wrote since the last time is English again.
  function show(node, slot, read, write) {
    const slots = written.get(node) || {};
    const entry = slots[slot];
    const current = read();
    const english = entry && entry.shown === current ? entry.english : current;
    const shown = say(english);
    written.set(node, { ...slots, [slot]: { english, shown } });
    if (shown !== current) write(shown);
  }

  function showText(node) {
    const parent = node.parentElement;
    if (!parent || parent.closest(KEPT)) return;
    show(node, "", () => node.data, (text) => (node.data = text));
  }

  function showElement(element) {
    for (const name of ATTRIBUTES) {
      if (!element.hasAttribute(name) || element.closest(KEPT)) continue;
      show(element, name, () => element.getAttribute(name), (text) => element.setAttribute(name, text));
    }
  }

  function showTree(root) {
    if (root.nodeType === Node.TEXT_NODE) return showText(root);
    if (root.nodeType !== Node.ELEMENT_NODE) return undefined;
    showElement(root);
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
    while (walker.nextNode()) {
      const node = walker.currentNode;
      if (node.nodeType === Node.TEXT_NODE) showText(node);
      else showElement(node);
    }
    return undefined;
  }

  function follow(changes) {
    for (const { type, target, addedNodes } of changes) {
      if (type === "childList") addedNodes.forEach(showTree);
      else if (type === "characterData") showText(target);
      else showElement(target);
    }
  }

  function use(name) {
    language = name;
    document.documentElement.lang = name === "zh" ? "zh-CN" : "en";
    showTree(document.body);
    show(document, "title", () => document.title, (text) => (document.title = text));
    button.textContent = name === "zh" ? "English" : "\u4e2d\u6587";
    button.lang = name === "zh" ? "en" : "zh-CN";
  }

  // Pages opened from a file may keep nothing.
  function stored() {
    try {
      return localStorage.getItem(STORED);
    } catch {
      return null;
    }
  }

  function store(name) {
    try {
      localStorage.setItem(STORED, name);
    } catch {
      // the next page asks the browser again
    }
  }

  const button = document.createElement("button");
  button.type = "button";
  button.className = "language";
  button.setAttribute("translate", "no");
  button.addEventListener("click", () => {
    use(language === "zh" ? "en" : "zh");
    store(language);
  });
  (document.querySelector("header") || document.querySelector("main")).prepend(button);
  new MutationObserver(follow).observe(document.body, {
    attributeFilter: ATTRIBUTES,
    attributes: true,
    characterData: true,
    childList: true,
    subtree: true,
  });
  use(stored() || (navigator.language.startsWith("zh") ? "zh" : "en"));
  return { say };
})();
