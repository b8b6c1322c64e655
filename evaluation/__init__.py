"""The evaluation: did the student get better, how much, and are we sure?

lighteval asks the network for prices and lists while it is imported; these settings, which must
stand before that import, keep it off. A user's own values win.
"""

import os

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
