"""Checks what is not Rust: infra/template.yaml and the examples with the public linters, then the
promises that none of them knows; and that the envelope format is what it is said to be.

Prints every problem, and fails if there is one.
"""

import tools

tools.enter()

import os  # noqa: E402  the line above may restart the script
import subprocess  # noqa: E402
import sys  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import yaml  # noqa: E402

TEMPLATE = tools.ROOT / "infra" / "template.yaml"
EXAMPLES = sorted((tools.ROOT / "infra" / "examples").glob("*.yaml"))
# Routes without the JWT authorizer: two that a browser walks without a credential, and
# those that take an app's API key, which the function checks.
OPEN_ROUTES = {
    "GET /openapi.json",
    "GET /connect/{ticket}",
    "GET /oauth/callback/{connector_id}",
    "POST /oauth/callback/{connector_id}",
    "GET /oauth/confirm",
    "GET /oauth/finish",
    "POST /oauth/confirm",
    "POST /v1/tokens",
    "POST /v1/oauth/token",
    "POST /v1/users/{user_id}/connections",
    "DELETE /v1/users/{user_id}",
    "GET /v1/users/{user_id}/connections",
    "DELETE /v1/users/{user_id}/connections/{connector_id}",
    "GET /api/apps/{app_id}/app-user-auth/connectors/{connector_id}/token",
    "GET /api/apps/{app_id}/external-auth/tokens/{integration_type}",
    "GET /api/apps/{app_id}/external-auth/tokens/connectors/{connector_id}",
}
# Days a table's backups reach back. Keys must be gone from theirs soon after they are erased.
RECOVERY_DAYS = {"KeysTable": 7}
# The longest that SQS keeps a message, in seconds.
LONGEST_RETENTION = 1_209_600
# Reachable without a credential, so kept from everything that is stored for good, but that the
# callback adds how a flow ended to the audit.
BROWSER_ROLES = {"OauthStartRole", "OauthCallbackRole"}
STORED_FOR_GOOD = {"ConnectionsTable", "KeysTable", "AuditTable"}
MAY_ADD = ("OauthCallbackRole", ["dynamodb:PutItem"], {"AuditTable"})


def main() -> int:
    passed = [lint(), envelopes_open_without_our_code()]
    for path in [TEMPLATE, *EXAMPLES]:
        resources = yaml.load(path.read_text(), Loader)["Resources"]
        checks = CHECKS if path == TEMPLATE else CHECKS_OF_EXAMPLES
        for problem in (problem for check in checks for problem in check(resources)):
            print(f"{path.relative_to(tools.ROOT)}: {problem}", file=sys.stderr)
            passed.append(False)
    return 0 if all(passed) else 1


def lint() -> bool:
    bin = Path(sys.prefix) / "bin"
    # The region is one to resolve names in; nothing is called.
    env = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    commands = [
        [str(bin / "cfn-lint"), str(TEMPLATE), *map(str, EXAMPLES)],
        [str(bin / "sam"), "validate", "--lint", "--template-file", str(TEMPLATE)],
    ]
    return all([subprocess.run(command, env=env).returncode == 0 for command in commands])


def envelopes_open_without_our_code() -> bool:
    """H-41: stored tokens must not depend on one program or library to be readable."""
    opener = tools.ROOT / "tests" / "vectors" / "open_envelope.py"
    return subprocess.run([sys.executable, str(opener)]).returncode == 0


class Loader(yaml.SafeLoader):
    """Reads `!Ref X` as {"Ref": "X"} and the other short forms alike."""


def _long_form(loader: yaml.Loader, suffix: str, node: yaml.Node) -> dict:
    name = suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}


yaml.add_multi_constructor("!", _long_form, Loader)


# --- Helpers -------------------------------------------------------------------------


def of_type(resources: dict, kind: str) -> Iterator[tuple[str, dict]]:
    return ((name, one) for name, one in resources.items() if one["Type"] == kind)


def as_list(value) -> list:
    return value if isinstance(value, list) else [value]


def named(value) -> set[str]:
    """The logical ids that a value refers to."""
    if isinstance(value, list):
        return set().union(*map(named, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    if "Ref" in value:
        return {value["Ref"]}
    if "Fn::GetAtt" in value:
        return {value["Fn::GetAtt"].split(".")[0]}
    if "Fn::Sub" in value:
        return {part.split("}")[0].split(".")[0] for part in str(value["Fn::Sub"]).split("${")[1:]}
    return named(list(value.values()))


def identity_statements(resources: dict) -> Iterator[tuple[str, dict]]:
    """Every statement that grants a role something, with the name of the resource it stands in."""
    for name, role in of_type(resources, "AWS::IAM::Role"):
        for policy in role["Properties"].get("Policies", []):
            yield from ((name, statement) for statement in policy["PolicyDocument"]["Statement"])
    for name, policy in of_type(resources, "AWS::IAM::ManagedPolicy"):
        yield from ((name, statement) for statement in policy["Properties"]["PolicyDocument"]["Statement"])


def on_aws(statements: list) -> list[dict]:
    """Statements as they are where `OnAws` holds."""
    return [one["Fn::If"][1] if one.keys() == {"Fn::If"} and one["Fn::If"][0] == "OnAws" else one for one in statements]


# --- Promises ------------------------------------------------------------------------


def each_directory_is_a_function(resources: dict) -> Iterator[str]:
    built = {f"../target/lambda/{one.name}/" for one in (tools.ROOT / "functions").iterdir() if (one / "Cargo.toml").exists()}
    deployed = {one["Properties"]["CodeUri"] for _, one in of_type(resources, "AWS::Serverless::Function")}
    for path in built ^ deployed:
        yield f"{path} is not both a directory under functions/ and a function's CodeUri"


def each_function_has_its_own_role(resources: dict) -> Iterator[str]:
    for name, one in of_type(resources, "AWS::Serverless::Function"):
        if one["Properties"].get("Role") != {"Fn::GetAtt": f"{name.removesuffix('Function')}Role.Arn"}:
            yield f"{name} does not have a role of its own"


def no_role_scans_or_reaches_what_it_does_not_name(resources: dict) -> Iterator[str]:
    for name, statement in identity_statements(resources):
        actions = as_list(statement["Action"])
        if any("*" in action for action in actions) or "dynamodb:Scan" in actions:
            yield f"{name} allows {actions}"
        if "*" in as_list(statement["Resource"]):
            yield f"{name} allows {actions} on every resource"


def browser_roles_stay_away_from_what_is_stored_for_good(resources: dict) -> Iterator[str]:
    for name, statement in identity_statements(resources):
        reached = named(statement["Resource"]) & STORED_FOR_GOOD
        if name in BROWSER_ROLES and reached and (name, statement["Action"], reached) != MAY_ADD:
            yield f"{name} reaches {reached}"


def envelope_key_is_granted_by_its_own_policy_alone(resources: dict) -> Iterator[str]:
    for name, statement in identity_statements(resources):
        if "EnvelopeKey" in named(statement["Resource"]):
            yield f"{name} grants the use of EnvelopeKey"
    for statement in resources["EnvelopeKey"]["Properties"]["KeyPolicy"]["Statement"]:
        administers = statement["Sid"] == "Administer"
        if administers == bool(statement.get("Condition")):
            yield f"EnvelopeKey's statement {statement['Sid']} has the wrong condition"
        if administers and {"kms:*", "kms:CreateGrant"} & set(statement["Action"]):
            yield "EnvelopeKey's administrators can use it"


def keys_rotate_and_name_their_principals(resources: dict) -> Iterator[str]:
    for name, one in of_type(resources, "AWS::KMS::Key"):
        if not one["Properties"].get("EnableKeyRotation"):
            yield f"{name} does not rotate"
        for statement in one["Properties"]["KeyPolicy"]["Statement"]:
            if statement["Principal"] in ("*", {"AWS": "*"}):
                yield f"{name} trusts everyone"


def tables_and_keys_outlive_the_stack(resources: dict) -> Iterator[str]:
    for kind in ("AWS::DynamoDB::Table", "AWS::KMS::Key"):
        for name, one in of_type(resources, kind):
            if not one.get("DeletionPolicy") == one.get("UpdateReplacePolicy") == "Retain":
                yield f"{name} is not retained"


def tables_are_protected_encrypted_and_recoverable(resources: dict) -> Iterator[str]:
    for name, one in of_type(resources, "AWS::DynamoDB::Table"):
        properties = one["Properties"]
        recovery = {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": RECOVERY_DAYS.get(name, 35)}
        if properties.get("DeletionProtectionEnabled") is not True:
            yield f"{name} can be deleted"
        if properties.get("PointInTimeRecoverySpecification") != recovery:
            yield f"{name} has not {recovery}"
        if properties.get("SSESpecification", {}).get("KMSMasterKeyId") != {"Fn::GetAtt": "StorageKey.Arn"}:
            yield f"{name} is not under StorageKey"


def only_known_routes_are_open(resources: dict) -> Iterator[str]:
    routes = {one["Properties"]["RouteKey"]: one["Properties"] for _, one in of_type(resources, "AWS::ApiGatewayV2::Route")}
    is_open = {key for key, route in routes.items() if route["AuthorizationType"] != "JWT"}
    for key in is_open ^ OPEN_ROUTES:
        yield f"{key} is not both open here and known to be"
    for key, route in routes.items():
        if key not in is_open and route.get("AuthorizerId") != {"Ref": "JwtAuthorizer"}:
            yield f"{key} has no authorizer"


def access_log_keeps_tickets_and_codes_out(resources: dict) -> Iterator[str]:
    for name, one in of_type(resources, "AWS::ApiGatewayV2::Stage"):
        entry = one["Properties"]["AccessLogSettings"]["Format"].lower()
        for field in ("$context.path", "querystring", "$context.authorizer.claims", "$context.identity.useragent"):
            if field in entry:
                yield f"{name} logs {field}"


def no_failure_is_dropped(resources: dict) -> Iterator[str]:
    for name, one in of_type(resources, "AWS::Scheduler::Schedule"):
        target = one["Properties"]["Target"]
        if "DeadLetterConfig" not in target:
            yield f"{name} has no dead-letter queue"
        for function in named(target["Arn"]):
            destinations = resources[function]["Properties"].get("EventInvokeConfig", {}).get("DestinationConfig", {})
            if "OnFailure" not in destinations:
                yield f"{function} runs by schedule and drops its failures"


def queues_are_encrypted_and_refuse_cleartext(resources: dict) -> Iterator[str]:
    refused = set()
    for _, policy in of_type(resources, "AWS::SQS::QueuePolicy"):
        for statement in on_aws(policy["Properties"]["PolicyDocument"]["Statement"]):
            if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}:
                refused |= named(statement["Resource"])
    for name, one in of_type(resources, "AWS::SQS::Queue"):
        if one["Properties"].get("SqsManagedSseEnabled") is not True:
            yield f"{name} is not encrypted"
        if name not in refused:
            yield f"{name} takes cleartext"


def only_a_rule_sends_to_its_queue(resources: dict) -> Iterator[str]:
    """What a rule cannot deliver goes to a dead-letter queue, to which it may send as well."""
    sends, queues = set(), {name for name, _ in of_type(resources, "AWS::SQS::Queue")}
    for name, rule in of_type(resources, "AWS::Events::Rule"):
        for target in rule["Properties"]["Targets"]:
            if "DeadLetterConfig" not in target:
                yield f"{name} drops what it cannot deliver"
            reached = named(target["Arn"]) | named(target.get("DeadLetterConfig"))
            sends |= {(name, queue) for queue in reached & queues}
    allowed = set()
    for name, policy in of_type(resources, "AWS::SQS::QueuePolicy"):
        for statement in on_aws(policy["Properties"]["PolicyDocument"]["Statement"]):
            if statement["Effect"] != "Allow":
                continue
            if statement["Principal"] != {"Service": "events.amazonaws.com"} or statement["Action"] != "sqs:SendMessage":
                yield f"{name} lets others than a rule send"
            rules = named(statement.get("Condition", {}).get("ArnEquals", {}).get("aws:SourceArn"))
            allowed |= {(rule, queue) for queue in named(statement["Resource"]) for rule in rules or {"anybody"}}
    for rule, queue in sends ^ allowed:
        yield f"{rule} and the policy of {queue} do not say the same"


def a_queue_gives_its_function_time_and_keeps_its_failures(resources: dict) -> Iterator[str]:
    for name, source in of_type(resources, "AWS::Lambda::EventSourceMapping"):
        properties = source["Properties"]
        (queue_name,), (function_name,) = named(properties["EventSourceArn"]), named(properties["FunctionName"])
        queue, function = resources[queue_name]["Properties"], resources[function_name]["Properties"]
        if properties.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{name} delivers a whole batch again for one failure"
        # Six times the function's time is what AWS advises, so that throttled polls do not deliver
        # twice. Who must not wait that long, and may be delivered twice, is delivered until it is
        # done and given up by nobody.
        redrive = queue.get("RedrivePolicy")
        if queue["VisibilityTimeout"] < (6 if redrive else 1) * function["Timeout"]:
            yield f"{queue_name} shows a message again before {function_name} is done with it"
        # Longer than all receives take, or a poison message vanishes instead of being kept.
        lasts = redrive["maxReceiveCount"] * queue["VisibilityTimeout"] if redrive else LONGEST_RETENTION - 1
        if queue["MessageRetentionPeriod"] <= lasts:
            yield f"{queue_name} forgets a message before it is given up"
        role = f"{function_name.removesuffix('Function')}Role"
        reads = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
        granted = [statement for owner, statement in identity_statements(resources) if owner == role and queue_name in named(statement["Resource"])]
        if {action for statement in granted for action in as_list(statement["Action"])} != reads:
            yield f"{role} may not do exactly {sorted(reads)} with {queue_name}"


def logs_expire_and_are_encrypted(resources: dict) -> Iterator[str]:
    for name, one in of_type(resources, "AWS::Logs::LogGroup"):
        if not {"RetentionInDays", "KmsKeyId"} <= one["Properties"].keys():
            yield f"{name} lacks retention or encryption"


def a_function_of_an_example_drops_no_failure_and_has_a_log_that_ends(resources: dict) -> Iterator[str]:
    for name, one in of_type(resources, "AWS::Lambda::Function"):
        properties = one["Properties"]
        if not named(properties.get("DeadLetterConfig")) & {queue for queue, _ in of_type(resources, "AWS::SQS::Queue")}:
            yield f"{name} drops its failures"
        logs = named(properties.get("LoggingConfig", {}).get("LogGroup"))
        if not logs or any("RetentionInDays" not in resources[log]["Properties"] for log in logs):
            yield f"{name} has no log of its own that ends"


CHECKS = [
    each_directory_is_a_function,
    each_function_has_its_own_role,
    no_role_scans_or_reaches_what_it_does_not_name,
    browser_roles_stay_away_from_what_is_stored_for_good,
    envelope_key_is_granted_by_its_own_policy_alone,
    keys_rotate_and_name_their_principals,
    tables_and_keys_outlive_the_stack,
    tables_are_protected_encrypted_and_recoverable,
    only_known_routes_are_open,
    access_log_keeps_tickets_and_codes_out,
    no_failure_is_dropped,
    queues_are_encrypted_and_refuse_cleartext,
    only_a_rule_sends_to_its_queue,
    a_queue_gives_its_function_time_and_keeps_its_failures,
    logs_expire_and_are_encrypted,
]

CHECKS_OF_EXAMPLES = [
    no_role_scans_or_reaches_what_it_does_not_name,
    queues_are_encrypted_and_refuse_cleartext,
    only_a_rule_sends_to_its_queue,
    a_function_of_an_example_drops_no_failure_and_has_a_log_that_ends,
]

if __name__ == "__main__":
    sys.exit(main())
