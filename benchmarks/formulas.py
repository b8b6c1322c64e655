"""How many formulas of a data set the pages' renderer draws; the others are shown as their source.
Needs Chromium.

.venv/evaluation/bin/python -m benchmarks.formulas FILE.jsonl ...      every text field of every line
"""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from shared.pages import math_script

# A drawn formula is a <math>; one that is not understood is a span of class "tex".
COUNT = """(texts) => texts.map((text) => {
  const holder = document.createElement("div");
  holder.append(renderText(text, true));
  const sources = [...holder.querySelectorAll(".tex")].map((element) => element.textContent);
  return [holder.querySelectorAll("math").length, sources];
})"""


def main() -> int:
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None or not sys.argv[1:]:
        print(__doc__ if executable else "no Chromium here: install chromium")
        return 2
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.set_content("<!doctype html><html><body></body></html>")
        page.add_script_tag(content=math_script())
        print(f"{'file':<32}{'texts':>8}{'formulas':>10}{'as source':>10}{'drawn':>9}")
        for name in sys.argv[1:]:
            measure(page, Path(name))
        browser.close()
    return 0


def measure(page: Page, path: Path) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [value for row in rows for value in row.values() if isinstance(value, str)]
    counted = page.evaluate(COUNT, texts)
    drawn = sum(count for count, _ in counted)
    as_source = Counter(source for _, sources in counted for source in sources)
    total = drawn + as_source.total()
    share = f"{drawn / total:.2%}" if total else "–"
    name = f"{path.parent.name}/{path.name}"
    print(f"{name:<32}{len(texts):>8,}{total:>10,}{as_source.total():>10}{share:>9}")
    for source, _ in as_source.most_common(3):
        print(f"    {' '.join(source.split())[:100]}")


if __name__ == "__main__":
    sys.exit(main())
