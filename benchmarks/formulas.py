"""How many formulas of a data set the report's renderer draws; the others are shown as their source. Needs Chromium.

.venv/evaluation/bin/python -m benchmarks.formulas FILE.jsonl ...      every text field of every line
"""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

MATHS = Path(__file__).parent.parent / "evaluation" / "report" / "maths.js"
# A drawn formula is a <math>; one that is not understood is a span of class "tex".
COUNT = """(texts) => texts.map((text) => {
  const made = document.createElement("div");
  made.append(rendered(text, true));
  return [made.querySelectorAll("math").length, [...made.querySelectorAll(".tex")].map((e) => e.textContent)];
})"""


def main() -> int:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None or not sys.argv[1:]:
        print(__doc__ if found else "no Chromium here: install chromium")
        return 2
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.add_script_tag(content=MATHS.read_text(encoding="utf-8"))
        print(f"{'file':<32}{'texts':>8}{'formulas':>10}{'as source':>10}{'drawn':>9}")
        for name in sys.argv[1:]:
            measure(page, Path(name))
        browser.close()
    return 0


def measure(page: Page, path: Path) -> None:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [value for row in rows for value in row.values() if isinstance(value, str)]
    counted = page.evaluate(COUNT, texts)
    drawn, left = sum(count for count, _ in counted), Counter(source for _, sources in counted for source in sources)
    total = drawn + left.total()
    share = f"{drawn / total:.2%}" if total else "–"
    print(f"{path.parent.name + '/' + path.name:<32}{len(texts):>8,}{total:>10,}{left.total():>10}{share:>9}")
    for source, _ in left.most_common(3):
        print(f"    {' '.join(source.split())[:100]}")


if __name__ == "__main__":
    sys.exit(main())
