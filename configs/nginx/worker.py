"""Stands for an application server: worker.py NAME PORT [--starts SECONDS] [--ends SECONDS].

It takes its time to start (as one that fills a cache) or to end (as one that finishes what it has in hand), and answers
every request with the name of its node and the path that was asked for.
"""

import argparse
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{os.environ.get('FAILOVERD_NODE', '-')} {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("port", type=int)
    parser.add_argument("--starts", type=float, default=0.0)
    parser.add_argument("--ends", type=float, default=0.0)
    options = parser.parse_args()
    time.sleep(options.starts)
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.02)
    time.sleep(options.ends)


if __name__ == "__main__":
    main()
