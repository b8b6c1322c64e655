"""Real, small weights without a model hub, for the demo and the tests."""
