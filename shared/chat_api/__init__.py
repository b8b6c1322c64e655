"""One call to an OpenAI-compatible chat API: asked over HTTP, read as a stream, understood in every
dialect, failed with a typed error.
"""

from shared.chat_api.client import ChatClient
from shared.chat_api.clocks import Clocks

__all__ = ["ChatClient", "Clocks"]
