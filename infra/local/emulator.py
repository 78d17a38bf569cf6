"""Starts MiniStack, corrected where this stack needs it to behave as AWS does.

The corrections rest on the pinned version's insides: look at each again when the pin
moves. Left as they are, because nothing here depends on them: a failed job is tried
twice more whatever its function's settings say, and a job started by a schedule leaves
nothing in the queue of failed jobs.
"""

import queue
import socketserver
import sys

# Answers to the functions' runtime leave in several small writes; delayed by Nagle's
# algorithm they cost 40 ms and more per invocation.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True

from ministack.services import apigateway  # noqa: E402  the line above must come first


def _as_the_service_spells_it(cors: dict) -> dict:
    """CloudFormation's CORS settings, `AllowOrigins`, as the data plane reads them, `allowOrigins`."""
    return {key[:1].lower() + key[1:]: value for key, value in (cors or {}).items()}


_headers = apigateway._cors_response_headers
_preflight = apigateway._cors_preflight_response
apigateway._cors_response_headers = lambda cors, origin: _headers(_as_the_service_spells_it(cors), origin)
apigateway._cors_preflight_response = lambda cors, origin: _preflight(_as_the_service_spells_it(cors), origin)

from ministack.services import lambda_svc  # noqa: E402

_concurrency = lambda_svc._sqs_esm_concurrency


def _of_a_number(esm: dict, *rest):
    """A template's parameter comes as text, and its comparison with a number stops all polling."""
    scaling = esm.get("ScalingConfig") or {}
    if "MaximumConcurrency" in scaling:
        esm = {**esm, "ScalingConfig": {**scaling, "MaximumConcurrency": int(scaling["MaximumConcurrency"])}}
    return _concurrency(esm, *rest)


lambda_svc._sqs_esm_concurrency = _of_a_number

from ministack.core import lambda_runtime  # noqa: E402

# How long, in seconds, the next line of an invocation may be under way after its answer.
LINE = 0.25


def _to_the_last_line(worker: lambda_runtime.Worker, **_) -> str:
    """What an invocation has logged. Its last line is the one with its metrics; the emulator stops
    at the first 5 ms without a line, and loses what a busy machine brings later."""
    lines = []
    try:
        while not lines or '"_aws"' not in lines[-1]:
            lines.append(worker._stderr_queue.get(timeout=LINE))
    except queue.Empty:
        pass
    return "\n".join(lines)


lambda_runtime.Worker._drain_stderr_bounded = _to_the_last_line

from ministack.app import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
