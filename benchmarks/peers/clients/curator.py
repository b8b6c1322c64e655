"""bespokelabs-curator, online mode: https://docs.bespokelabs.ai/curator/guides/online-processing

Limits are set beyond what the server gives, so that concurrency alone holds it back (unset, it
would send 200 calls a minute); retries are its default of ten. It does not stream. The whole reply
is asked for (`return_completions_object`), since only that has the reasoning.
"""

import json
import sys

from bespokelabs import curator

PLENTY = 1_000_000_000


class Reasoner(curator.LLM):
    """One row in, one row out."""

    return_completions_object = True

    def prompt(self, input: dict) -> str:
        return input["problem"]

    def parse(self, input: dict, response: dict) -> dict:
        message = response["choices"][0]["message"]
        return {
            "id": input["id"],
            "reasoning": message["reasoning_content"],
            "response": message["content"],
        }


def main(job: dict) -> None:
    with open(job["problems"]) as lines:
        problems = [json.loads(line) for line in lines]
    model = Reasoner(
        model_name="r1",
        backend="openai",
        backend_params={
            "base_url": f"{job['url']}/v1",
            "api_key": "none",
            "max_concurrent_requests": job["streams"],
            "max_requests_per_minute": PLENTY,
            "max_tokens_per_minute": PLENTY,
            "require_all_responses": False,
        },
    )
    made = model(problems)
    with open(job["out"], "w") as out:
        for row in made.dataset:
            out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        main(json.load(file))
