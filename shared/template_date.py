"""The date in a chat template (Llama-3.2, SmolLM3, Granite), made the same on every day.

    {{ "Today Date: " ~ strftime_now("%d %b %Y") }}                                  as it is shipped
    {# The date is 2026-11-27, as in training. -#}{{ "Today Date: " ~ "27 Nov 2026" }}     as a run saves it

A model is then asked, by whatever serves it, with the day that it was trained with; and answers of
yesterday are those of the same prompt.
"""

import json
import re
from datetime import datetime

# A call with a format that stands there, which is how templates ask for the day.
_CALL = re.compile(r"""strftime_now\(\s*(?P<quote>["'])(?P<format>[^"']*)(?P=quote)\s*\)""")
_CONDITION = re.compile(r"\bstrftime_now\s+is\s+defined\b")
_MARK = re.compile(r"\A\{# The date is (\d{4}-\d\d-\d\d), as in training\. -?#\}")


def freeze_date(template: str, today: datetime) -> str:
    """The template with the day written in; one without a date, or with a day already, as it is."""
    if _CALL.search(template) is None:
        return template
    dated_template = _CALL.sub(lambda call: json.dumps(today.strftime(call["format"])), template)
    # Servers without this function would take their own day.
    dated_template = _CONDITION.sub("true", dated_template)
    return f"{{# The date is {today.date().isoformat()}, as in training. -#}}{dated_template}"


def has_date(template: str) -> bool:
    """Whether a template shows a day: the one on which it is rendered, or one written in."""
    return _CALL.search(template) is not None or frozen_date(template) is not None


def frozen_date(template: str) -> datetime | None:
    """The day that `freeze_date` wrote into a template; None for any other."""
    mark = _MARK.match(template)
    if mark:
        return datetime.fromisoformat(mark[1])
    return None
