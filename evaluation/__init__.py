"""The evaluation: did the student get better, how much, and are we sure?

These settings must stand before lighteval is imported: it would ask the network for lists, and
GitPython, which it imports, refuses where there is no git. A user's own values win.
"""

import os

os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
