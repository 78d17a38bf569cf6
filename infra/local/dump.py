"""Prints everything a stack of `make test` keeps, as one JSON document: the tests search it for secrets.

Items of all tables, messages of all queues, lines of all log groups and of the emulator's
own log; of every one in the emulated account, not only of those the template names.
Nothing is deleted. A dump that cannot be complete is an error: a search of half of it
would prove nothing.
"""

import tools

tools.enter()

import argparse  # noqa: E402  the line above may restart the script
import base64  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

import stack as local  # noqa: E402

# How long, in seconds, messages stay hidden while they are read, and how long to wait for
# those another reader hides.
HIDDEN = 60


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("stack", type=Path, help="the stack's description, stack.json")
    description = json.loads(arguments.parse_args().stack.read_text())

    def client(service: str):
        return local.client(service, description["aws_endpoint"])

    try:
        # Logs last: reading the others may leave lines there.
        document = {"tables": tables(client("dynamodb")), "queues": queues(client("sqs")), "logs": logs(client("logs"))}
    except local.Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    emulator = Path(description["ministack_log"])
    document["logs"][emulator.name] = emulator.read_text(errors="replace").splitlines()
    json.dump(document, sys.stdout)
    return 0


# --- Tables --------------------------------------------------------------------------


def tables(dynamodb) -> dict:
    names = [name for page in dynamodb.get_paginator("list_tables").paginate() for name in page["TableNames"]]
    return {name: items(dynamodb, name) for name in names}


def items(dynamodb, table: str) -> list:
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    return [{name: plain(value) for name, value in item.items()} for page in pages for item in page["Items"]]


def plain(attribute: dict):
    """A DynamoDB value without its types, and with binary values as `{"b64": ...}`."""
    ((kind, value),) = attribute.items()
    match kind:
        case "B":
            return {"b64": base64.b64encode(value).decode()}
        case "BS":
            return [plain({"B": one}) for one in value]
        case "L":
            return [plain(one) for one in value]
        case "M":
            return {name: plain(one) for name, one in value.items()}
        case "NULL":
            return None
        # Numbers stay text, as on the wire: JSON's may not hold their 38 digits.
        case _:
            return value


# --- Queues --------------------------------------------------------------------------


def queues(sqs) -> dict:
    urls = [url for page in sqs.get_paginator("list_queues").paginate() for url in page.get("QueueUrls", [])]
    return {url: bodies(sqs, url) for url in urls}


def bodies(sqs, url: str) -> list:
    """Receives until there are as many different messages as the queue says it holds, then lets go of them."""
    found, receipts = {}, {}
    deadline = time.monotonic() + HIDDEN
    try:
        while True:
            for message in received(sqs, url):
                found[message["MessageId"]] = message["Body"]
                receipts[message["MessageId"]] = message["ReceiptHandle"]
            if len(found) >= (held := count(sqs, url)):
                return list(found.values())
            if time.monotonic() > deadline:
                raise local.Failed(f"{url} gave out {len(found)} of its {held} messages.")
            time.sleep(0.5)
    finally:
        handles = list(receipts.values())
        for start in range(0, len(handles), 10):
            entries = [
                {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                for number, handle in enumerate(handles[start : start + 10])
            ]
            sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)


def received(sqs, url: str):
    while batch := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=HIDDEN).get("Messages"):
        yield from batch


def count(sqs, url: str) -> int:
    """Messages a queue holds: to be had, hidden by a reader, and not due yet."""
    names = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


# --- Logs ----------------------------------------------------------------------------


def logs(client) -> dict:
    pages = client.get_paginator("describe_log_groups").paginate()
    return {group: lines(client, group) for page in pages for group in (one["logGroupName"] for one in page["logGroups"])}


def lines(client, group: str) -> list:
    pages = client.get_paginator("describe_log_streams").paginate(logGroupName=group)
    streams = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    return [line for stream in streams for line in lines_of(client, group, stream)]


def lines_of(client, group: str, stream: str):
    """The end of a stream is where its next page is the one just read."""
    asked = {"logGroupName": group, "logStreamName": stream, "startFromHead": True}
    while True:
        page = client.get_log_events(**asked)
        yield from (event["message"] for event in page["events"])
        if page["nextForwardToken"] == asked.get("nextToken"):
            return
        asked["nextToken"] = page["nextForwardToken"]


if __name__ == "__main__":
    sys.exit(main())
