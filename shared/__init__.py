"""What the generator, the trainer and the evaluation all know: records, prompts, grading,
shards, configuration.
"""
