"""What happens while a model trains: the steps, what is watched between them, the generation
eval.
"""
