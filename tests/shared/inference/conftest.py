"""What runs a model is tested where torch is installed: not in the generator's environment."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]
