"""What must hold of every page of ours, in a real browser: axe finds nothing, nothing is wider than
the screen, and in Chinese nothing of our own is left in English.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

AXE = Path(__file__).parent / "vendor" / "axe.min.js"  # axe-core 4.14.1, MPL-2.0

# Each value of each of the three stands beside each value of the two others.
CASES = [
    (390, "light", "en-US"),
    (390, "dark", "zh-CN"),
    (1440, "light", "zh-CN"),
    (1440, "dark", "en-US"),
]
# Of our own texts that stay in a Chinese page: names of things, units and formats.
NAMES = re.compile(
    r"\b(stillhouse|tokens?|GiB|UTC|McNemar|Wilson|lighteval|JavaScript|sha256|Python|git|manifest|json"
    r"|axe|GENERATOR_TOKEN|TRL|LoRA|CPU|GPU|n-gram|gram|fp32|bf16|max_new_tokens|temperature|top_p|"
    r"probe|problems|p|s|h|min)\b"
)
TEXTS = """() => {
  const kept = "[translate=no], pre, code, math, script, style, noscript";
  const texts = new Set([document.title]);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.parentElement.closest(kept)) texts.add(node.data.trim());
  }
  for (const element of document.querySelectorAll("[aria-label], [title], [placeholder]")) {
    if (element.closest(kept)) continue;
    for (const name of ["aria-label", "title", "placeholder"]) texts.add(element.getAttribute(name) || "");
  }
  return [...texts];
}"""


def check_page(
    chromium: Any, address: str, ready: Callable[[Any], None], data_texts: str = ""
) -> None:
    """Open a page on all screens and hold it to the rules. `ready` waits until it is drawn;
    `data_texts`: a regular expression of what the page has from its data outside of what is marked.
    """
    for width, scheme, locale in CASES:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            locale=locale,
            bypass_csp=True,  # for axe; the policy is tested elsewhere
        )
        requests: list[str] = []
        page = context.new_page()
        page.on("request", lambda request, seen=requests: seen.append(request.url))
        page.goto(address)
        ready(page)
        where = f"{address} at {width} {scheme} {locale}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, where
        faults = violations(page)
        assert faults == [], f"{where}: {faults}"
        own = address.split("/")[2]
        assert [url for url in requests if own not in url.split("/")[2:3]] == [], where
        if locale == "zh-CN":
            texts = english_texts(page, data_texts)
            assert texts == [], f"{where}: {texts}"
        context.close()


def violations(page: Any) -> list[str]:
    """What axe finds, a line each."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    results = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:120]}" for rule in results["violations"]]


def english_texts(page: Any, data_texts: str) -> list[str]:
    """Texts of ours that have English words in them, data and names left out."""
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    texts = []
    for text in page.evaluate(TEXTS):
        own_text = re.sub(data_texts, "", text) if data_texts else text
        if re.search(r"[A-Za-z]{2,}", NAMES.sub("", own_text)):
            texts.append(text)
    return texts
