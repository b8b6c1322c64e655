"""Before the first step: the card, the plan, the learning rate, and the proof that it fits in
memory.
"""
