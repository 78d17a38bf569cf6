"""Runs the code of infra/examples/signed-webhooks.yaml as it stands there, against an endpoint on
loopback with a certificate of the tests, a Secrets Manager of two stages, and a clock set by hand.

Reads from standard input what to do, as JSON, and prints how each call of the function ended and
what the endpoint was sent.
"""

import http.server
import json
import os
import ssl
import sys
import tempfile
import threading
import time
import traceback
import types
from pathlib import Path

WORK = json.load(sys.stdin)
CERTIFICATES = Path(WORK["certificates"])
received, outcomes = [], []
step = {}


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        received.append({"line": f"{self.command} {self.path}", "headers": headers, "body": body})
        self.send_response(step["answer"])
        # Taken for what it is, it ends the call; followed, it comes in again.
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_):
        pass


class Missing(Exception):
    pass


class SecretsManager:
    exceptions = types.SimpleNamespace(ResourceNotFoundException=Missing)

    def get_secret_value(self, SecretId, VersionStage):  # boto3's names
        if SecretId != "arn:secret" or VersionStage not in step["secrets"]:
            raise Missing(SecretId, VersionStage)
        return {"SecretString": step["secrets"][VersionStage]}


def pem(name: str, label: str = "CERTIFICATE") -> str:
    text = ssl.DER_cert_to_PEM_cert((CERTIFICATES / f"{name}.der").read_bytes())
    return text.replace("CERTIFICATE", label)


def serve(folder: Path) -> http.server.ThreadingHTTPServer:
    shown = folder / "server.pem"
    shown.write_text(pem(WORK["certificate"]) + pem("server_key", "PRIVATE KEY"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


with tempfile.TemporaryDirectory() as folder:
    server = serve(Path(folder))
    trusted = Path(folder) / "trusted.pem"
    trusted.write_text(pem("ca"))
    endpoint = f"https://localhost:{server.server_port}/hooks?of=grantry"
    # Where OpenSSL looks for whom to trust.
    os.environ.update(ENDPOINT=endpoint, SECRET_ARN="arn:secret", SSL_CERT_FILE=str(trusted))
    sys.modules["boto3"] = types.SimpleNamespace(client={"secretsmanager": SecretsManager()}.__getitem__)
    time.time = lambda: step["at"]
    function = {}
    exec(compile(WORK["code"], "index.py", "exec"), function)
    for step in WORK["steps"]:
        try:
            function["handler"](step["event"], None)
            outcomes.append(None)
        except Exception:
            # What the runtime would log.
            outcomes.append(traceback.format_exc())
    server.shutdown()

print(json.dumps({"outcomes": outcomes, "received": received}))
