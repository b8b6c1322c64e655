"""What every page of ours is made of: the frame with its policy, the style, charts, formulas.
Self-contained, offline.

page = document(title, body, style=..., script=...)      HTML as text, with its Content-Security-Policy
bars, histogram, line_chart, ...                         inline SVG (charts.py)
math_script()                                            TeX to MathML for a page's own script
"""

from shared.pages.frame import asset, document, math_script, policy

__all__ = ["asset", "document", "math_script", "policy"]
