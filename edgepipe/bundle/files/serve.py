#!/usr/bin/env python3
"""Serve a bundle's page: python3 serve.py [--port 8000]. Only this computer can reach it.

The headers let the page use several threads; a plain web server works too, with one.
"""

import argparse
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(SimpleHTTPRequestHandler):
    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".onnx": "application/octet-stream",
    }

    def end_headers(self):
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent, help="the bundle; here, if not given")
    args = parser.parse_args()
    if not 0 <= args.port <= 65535:
        parser.error(f"--port: must be in 0 to 65535, found {args.port}")
    try:
        server = ThreadingHTTPServer(("127.0.0.1", args.port), partial(Handler, directory=str(args.folder.resolve())))
    except OSError as error:
        sys.exit(f"error: port {args.port}: {error.strerror or error}. Choose another: --port 0 takes any that is free")
    with server:
        print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
