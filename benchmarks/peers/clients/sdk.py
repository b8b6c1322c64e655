"""The openai SDK as scripts use it: AsyncOpenAI, a semaphore, tries of its own around each call.

The SDK tries again after a status (`max_retries`) and before the first byte; a stream that tears is
the caller's to repeat. So each call has the ten tries that open-r1's `generate_reasoning.py` gives
it. Like that script it takes what comes: neither finish_reason nor an empty text is looked at.
"""

import asyncio
import json
import sys
from typing import TextIO

import openai
import uvloop

TRIES = 10
PAUSE_SECONDS = 1.0  # open-r1 waits ten


async def answer(client: openai.AsyncOpenAI, prompt: str) -> tuple[str, str]:
    """(reasoning, response) of one streamed call."""
    stream = await client.chat.completions.create(
        model="r1", messages=[{"role": "user", "content": prompt}], stream=True
    )
    thoughts: list[str] = []
    words: list[str] = []
    async for chunk in stream:
        for choice in chunk.choices:
            thought = getattr(choice.delta, "reasoning_content", None)
            if thought:
                thoughts.append(thought)
            if choice.delta.content:
                words.append(choice.delta.content)
    return "".join(thoughts), "".join(words)


async def patient_answer(client: openai.AsyncOpenAI, prompt: str) -> tuple[str, str] | None:
    """The same, tried again where it fails; None after ten tries."""
    for _ in range(TRIES):
        try:
            return await answer(client, prompt)
        except Exception as error:  # as open-r1 does
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            await asyncio.sleep(PAUSE_SECONDS)
    return None


async def main(job: dict, problems: list[dict], out: TextIO) -> None:
    turn = asyncio.Semaphore(job["streams"])
    client = openai.AsyncOpenAI(
        api_key="none", base_url=f"{job['url']}/v1", max_retries=TRIES, timeout=600
    )

    async def one(row: dict) -> None:
        async with turn:
            texts = await patient_answer(client, row["problem"])
        if texts is not None:
            reasoning, response = texts
            made = {"id": row["id"], "reasoning": reasoning, "response": response}
            out.write(json.dumps(made) + "\n")

    async with client:
        await asyncio.gather(*(one(row) for row in problems))


def start(path: str) -> None:
    with open(path) as file:
        job = json.load(file)
    with open(job["problems"]) as lines:
        problems = [json.loads(line) for line in lines]
    with open(job["out"], "w") as out:
        uvloop.run(main(job, problems, out))


if __name__ == "__main__":
    start(sys.argv[1])
