"""NVIDIA's data-designer: a seed data set and one LLM column with its reasoning,
https://nvidia-nemo.github.io/DataDesigner/latest/concepts/architecture-and-performance

`max_parallel_requests` is the one setting that its documentation would have tuned; its controller
(AIMD) finds its way below that. Early shutdown is off: rows are to be finished whatever fails. It
does not stream.
"""

import json
import sys
from pathlib import Path

import data_designer.config as dd
from data_designer.interface import DataDesigner


def main(job: dict) -> None:
    with open(job["problems"]) as lines:
        count = sum(1 for _ in lines)
    folder = Path(job["out"]).parent / "designer"
    provider = dd.ModelProvider(
        name="fake", endpoint=f"{job['url']}/v1", provider_type="openai", api_key="none"
    )
    parameters = dd.ChatCompletionInferenceParams(max_parallel_requests=job["streams"], timeout=600)
    model = dd.ModelConfig(
        alias="r1",
        model="r1",
        provider="fake",
        inference_parameters=parameters,
        skip_health_check=True,
    )
    designer = DataDesigner(artifact_path=folder, model_providers=[provider])
    designer.set_run_config(dd.RunConfig(disable_early_shutdown=True, otel_metrics_port=None))
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.with_seed_dataset(dd.LocalFileSeedSource(path=job["problems"]))
    builder.add_column(
        dd.LLMTextColumnConfig(
            name="response",
            model_alias="r1",
            prompt="{{ problem }}",
            extract_reasoning_content=True,
        )
    )
    results = designer.create(builder, num_records=count, dataset_name="bench")
    rows = results.load_dataset()
    with open(job["out"], "w") as out:
        for _, row in rows.iterrows():
            made = {
                "id": str(row["id"]),
                "reasoning": row["response__reasoning_content"] or "",
                "response": row["response"] or "",
            }
            out.write(json.dumps(made) + "\n")


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        main(json.load(file))
