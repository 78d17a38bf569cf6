"""`make logs`: the functions' log lines, as they come, from the stack that `make up` runs."""

import tools

tools.enter()

import argparse  # noqa: E402  the line above may restart the script
import sys  # noqa: E402
import time  # noqa: E402

from botocore.exceptions import EndpointConnectionError  # noqa: E402

import stack as local  # noqa: E402


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--aws-port", type=int, default=4566)
    logs = local.client("logs", f"http://{local.HOST}:{arguments.parse_args().aws_port}")
    since, printed = 0, set()
    while True:
        fresh = []
        for name in local.FUNCTIONS:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/grantry/grantry-local/{name}", startTime=since)
            for event in (event for page in pages for event in page["events"]):
                # The emulator numbers no events, and opens a stream for each invocation.
                line = (event["timestamp"], name, event["logStreamName"], event["message"])
                if line not in printed:
                    fresh.append(line)
        for line in sorted(fresh, key=lambda line: line[0]):
            since, name, _, message = line
            # The emulator puts the platform's own lines around each invocation.
            if not message.startswith(("START ", "END ", "REPORT ")):
                print(f"{name:16} {message}", flush=True)
            printed.add(line)
        time.sleep(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
    except EndpointConnectionError:
        sys.exit("No local stack is running; start one with `make up`.")
