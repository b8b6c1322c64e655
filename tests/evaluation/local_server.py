"""An OpenAI-compatible server in a process of its own: `python -m tests.evaluation.local_server`.

It prints its address, and answers every second problem rightly, after a moment.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(float(sys.argv[1]))
        number = int(body["messages"][-1]["content"].split(":")[0].removeprefix("Problem "))
        right_of = 2 if body["model"] == "base" else 3
        text = f"so \\boxed{{{number if number % right_of else -1}}}"
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
        data = json.dumps({"choices": [choice], "usage": usage, "model": "local"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    server.serve_forever(0.05)
