//! infra/template.yaml and the code, where the two must say the same: routes, tables, variables.
//!
//! The template is read as lines. It is written in one style throughout, and whoever breaks the
//! style breaks these tests and not a deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_dynamodb::types::{KeySchemaElement, ProjectionType};
use serde_json::json;
use shared::domain::connection::{CLOCK_SKEW, LEASE};
use shared::domain::idempotency::RUN_LIMIT;
use shared::domain::job::Job;
use shared::domain::rate::Caps;
use shared::domain::refresh_protocol::{RETRY_DELAY, TOKEN_TIMEOUT};
use shared::events::eventbridge::{JOB_SOURCE, detail_type};
use shared::runtime::config::Config;
use shared::runtime::telemetry::NAMESPACE;
use shared::storage::schema::{
    APP_PK, BY_APP, BY_CONNECTOR, BY_CONNECTOR_SHOWS, BY_USER, GSI_PK, GSI_SK, PK, SK, TTL,
};
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;

use crate::tidy::source::{code, read};
use crate::world::{Call, Limits, World};

const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// The template's resources by their logical ids.
pub(crate) struct Template(BTreeMap<String, Vec<String>>);

/// One route, as `GET /v1/providers`, and the crate whose function answers it.
pub(crate) type Route = (String, String);

impl Template {
    pub(crate) fn read() -> Self {
        let text = read("infra/template.yaml");
        let (_, text) = text.split_once("\nResources:\n").unwrap();
        let (text, _) = text.split_once("\nOutputs:\n").unwrap();
        let mut resources: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut current = String::new();
        let lines = text.lines().filter(|line| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#')
        });
        for line in lines {
            match line.strip_prefix("  ") {
                Some(id) if !id.starts_with(' ') => current = id.trim_end_matches(':').into(),
                _ => resources
                    .entry(current.clone())
                    .or_default()
                    .push(line.trim().into()),
            }
        }
        Self(resources)
    }

    /// What stands behind a name in a resource.
    #[track_caller]
    fn value(&self, id: &str, name: &str) -> &str {
        let mut lines = self.0[id].iter();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("{id} has no {name}"))
    }

    fn of_type(&self, kind: &str) -> Vec<&str> {
        let resources = self.0.keys().map(String::as_str);
        resources
            .filter(|id| self.value(id, "Type") == kind)
            .collect()
    }

    /// The routes; each stands for the function that its integration names.
    pub(crate) fn routes(&self) -> BTreeMap<Route, bool> {
        let routes = self.of_type("AWS::ApiGatewayV2::Route").into_iter();
        routes
            .map(|id| {
                let target = self.value(id, "Target");
                let integration = target
                    .strip_prefix("!Sub integrations/${")
                    .unwrap()
                    .trim_end_matches('}');
                let function = self.value(integration, "IntegrationUri");
                let function = function
                    .strip_prefix("!GetAtt ")
                    .unwrap()
                    .trim_end_matches(".Arn");
                let built = self.value(function, "CodeUri");
                let built = built
                    .strip_prefix("../target/lambda/")
                    .unwrap()
                    .trim_end_matches('/');
                let route = (self.value(id, "RouteKey").to_owned(), built.to_owned());
                (route, self.value(id, "AuthorizationType") == "JWT")
            })
            .collect()
    }
}

/// The routes that the functions' routers are made of.
fn routers() -> BTreeSet<Route> {
    let mut routes = BTreeSet::new();
    for file in code(&["functions"]) {
        let function = file.path.split('/').nth(1).unwrap();
        for rest in file.text.split(".route(").skip(1) {
            let (_, rest) = rest.split_once('"').unwrap();
            let (path, rest) = rest.split_once('"').unwrap();
            let end = rest.find(".route(").or_else(|| rest.find(".with_state("));
            let handlers = &rest[..end.unwrap_or(rest.len())];
            let methods = METHODS.iter().filter(|method| {
                let call = format!("{}(", method.to_lowercase());
                handlers.contains(&format!(" {call}")) || handlers.contains(&format!(".{call}"))
            });
            routes.extend(methods.map(|method| (format!("{method} {path}"), function.to_owned())));
        }
    }
    routes
}

#[test]
fn the_gateway_has_the_routers_routes_and_sends_each_to_its_function() {
    let routes: BTreeSet<_> = Template::read().routes().into_keys().collect();
    assert!(routes.len() > 20, "{routes:?}");
    assert_eq!(routes, routers());
}

#[tokio::test]
async fn the_routers_answer_the_gateways_routes_and_no_other_method() {
    let world = World::start().await;
    let routes = Template::read().routes();
    let keys: BTreeMap<_, _> = routes
        .iter()
        .map(|((key, _), jwt)| (key.as_str(), *jwt))
        .collect();
    let paths: BTreeSet<_> = keys
        .keys()
        .map(|key| key.split_once(' ').unwrap().1)
        .collect();
    for path in paths {
        let somewhere = path
            .split('/')
            .map(|part| if part.starts_with('{') { "x1" } else { part });
        let somewhere = somewhere.collect::<Vec<_>>().join("/");
        for method in METHODS {
            let answer = world.send(call(method, &somewhere)).await;
            let code = answer.body["code"].as_str().unwrap_or_default();
            match keys.get(format!("{method} {path}").as_str()) {
                // The function does not rely on the authorizer having been there.
                Some(true) => assert_eq!(code, "unauthenticated", "{method} {path}"),
                Some(false) => {
                    assert_ne!(code, "method_not_allowed", "{method} {path}");
                    assert_ne!(
                        answer.body["detail"], "there is no such path",
                        "{method} {path}"
                    );
                }
                None => assert_eq!(code, "method_not_allowed", "{method} {path}"),
            }
        }
    }
}

/// A call by the name of its method.
pub(crate) fn call(method: &str, path: &str) -> Call {
    match method {
        "GET" => Call::get(path),
        "POST" => Call::post(path),
        "PUT" => Call::put(path),
        "PATCH" => Call::patch(path),
        "DELETE" => Call::delete(path),
        other => panic!("no call with {other}"),
    }
}

/// F14, B2: an answer is awaited for 8 s; two seconds before that and five after it a function has
/// left; and by when it is stopped, its lease stands.
#[test]
fn f14_b2_the_lease_outlives_the_function_and_the_function_the_provider_and_the_store() {
    let template = Template::read();
    assert_eq!(TOKEN_TIMEOUT, Duration::from_secs(8));
    for function in ["TokenLookupFunction", "TokenRefresherFunction"] {
        let stopped = template.value(function, "Timeout").parse().unwrap();
        let stopped = Duration::from_secs(stopped);
        assert!(TOKEN_TIMEOUT + Duration::from_secs(2 + 5) <= stopped);
        assert!(stopped + CLOCK_SKEW <= LEASE, "{function}");
    }
}

/// H-85: who may open an answer is who gave it, and no route that changes something is without.
#[test]
fn h85_each_function_that_keeps_answers_may_open_its_own_alone() {
    let template = Template::read();
    let statements = template.0["EnvelopeKey"].split(|line| line.starts_with("- Sid: "));
    let value = |lines: &[String], name: &str| {
        let mut found = lines.iter().filter_map(|line| line.strip_prefix(name));
        found.next().map(str::to_owned)
    };
    let of_answers = statements.filter(|lines| {
        value(lines, "kms:EncryptionContext:purpose: ").as_deref() == Some("answer")
    });
    let opened: BTreeMap<_, _> = of_answers
        .map(|lines| {
            let role = value(lines, "Principal: {AWS: !GetAtt ").expect("one principal");
            let function = value(lines, "kms:EncryptionContext:function: ");
            (role, function.expect("one function"))
        })
        .collect();
    let functions = template.of_type("AWS::Serverless::Function").into_iter();
    let keeping = functions.filter_map(|id| {
        let built = template.value(id, "CodeUri").split('/').nth(3).unwrap();
        let keeps = "wiring.once(&store, env!(\"CARGO_PKG_NAME\"))";
        let main = read(&format!("functions/{built}/src/main.rs"));
        let role = id.replace("Function", "Role.Arn}");
        main.contains(keeps).then(|| (role, built.to_owned()))
    });
    let keeping: BTreeMap<_, _> = keeping.collect();
    assert_eq!(opened, keeping);
    assert_eq!(opened.len(), 4);
    // Who runs on while another begins would do it twice.
    for role in keeping.keys() {
        let function = role.replace("Role.Arn}", "Function");
        let mut lines = template.0[&function].iter();
        let limit = lines.find_map(|line| line.strip_prefix("Timeout: "));
        let limit = limit.map_or(10, |limit| limit.parse().unwrap());
        assert!(Duration::from_secs(2 * limit) <= RUN_LIMIT, "{function}");
    }
}

/// F44: whatever else takes the account's concurrency, look-ups keep theirs, where some is set
/// aside; and no other function takes it out of the common pool.
#[test]
fn f44_concurrency_can_be_set_aside_for_look_ups() {
    let template = Template::read();
    let reserved = template.value("TokenLookupFunction", "ReservedConcurrentExecutions");
    let asked_for =
        "!If [ReserveTokenLookup, !Ref TokenLookupReservedConcurrency, !Ref AWS::NoValue]";
    assert_eq!(reserved, asked_for);
    let text = read("infra/template.yaml");
    let condition =
        "\n  ReserveTokenLookup: !Not [!Equals [!Ref TokenLookupReservedConcurrency, 0]]\n";
    assert!(text.contains(condition));
    assert_eq!(text.matches("ReservedConcurrentExecutions").count(), 1);
}

/// H-82: codes and states travel in query strings, and tickets in paths.
#[test]
fn h82_the_access_log_has_no_path_no_query_and_no_claim() {
    let text = read("infra/template.yaml");
    let formats = text
        .lines()
        .filter(|line| line.trim().starts_with("Format: "));
    let formats: Vec<_> = formats.collect();
    assert_eq!(formats.len(), 1, "{formats:?}");
    let fields = formats[0].split('"').filter(|it| it.contains('$'));
    let fields: BTreeSet<_> = fields
        .map(|field| {
            field
                .trim_matches([':', ','])
                .trim_start_matches("$context.")
        })
        .collect();
    let allowed = [
        "authorizer.error",
        "identity.sourceIp",
        "integrationErrorMessage",
        "integrationLatency",
        "requestId",
        "requestTime",
        "responseLatency",
        "responseLength",
        "routeKey",
        "status",
    ];
    let others: Vec<_> = fields.iter().filter(|it| !allowed.contains(it)).collect();
    assert!(
        fields.contains("routeKey") && others.is_empty(),
        "{others:?}"
    );
}

/// What a table is made of, in words: keys, index, projection, time to live.
fn declared(template: &Template, table: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for line in &template.0[table] {
        let member = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}: "))?;
            Some(rest.split([',', '}']).next().unwrap_or_default())
        };
        let attribute = member("AttributeName").unwrap_or_default();
        if let Some(kind) = member("KeyType") {
            parts.push(format!("{kind} {attribute}"));
        } else if let Some(index) = member("IndexName") {
            parts.push(format!("index {index}"));
        } else if let Some(projection) = member("ProjectionType") {
            parts.push(projection.to_owned());
            if let Some((_, names)) = line.split_once("NonKeyAttributes: [") {
                let (names, _) = names.split_once(']').unwrap();
                parts.extend(names.split(", ").map(str::to_owned));
            }
        } else if line.starts_with("TimeToLiveSpecification: ") {
            parts.push(format!(
                "{attribute} {}",
                member("Enabled").unwrap_or_default()
            ));
        } else if let Some(kind) = member("AttributeType") {
            assert_eq!(kind, "S", "{table}: {line}");
        }
    }
    parts
}

#[test]
fn the_tables_keys_index_and_time_to_live_are_the_schemas() {
    let template = Template::read();
    let keys = [format!("HASH {PK}"), format!("RANGE {SK}")];
    let index = [
        format!("index {BY_CONNECTOR}"),
        format!("HASH {GSI_PK}"),
        format!("RANGE {GSI_SK}"),
        "INCLUDE".into(),
    ];
    let by_app = [
        format!("index {BY_APP}"),
        format!("HASH {APP_PK}"),
        format!("RANGE {GSI_SK}"),
        "KEYS_ONLY".into(),
    ];
    let shown = BY_CONNECTOR_SHOWS.map(str::to_owned);
    let index = [&index[..], &shown, &by_app].concat();
    let by_user = [
        format!("index {BY_USER}"),
        format!("HASH {GSI_PK}"),
        format!("RANGE {GSI_SK}"),
        "ALL".into(),
    ];
    let ttl = [format!("{TTL} true")];
    let expected = BTreeMap::from([
        ("AuditTable", [&keys[..], &by_user, &ttl].concat()),
        ("ConnectionsTable", [&keys[..], &index, &ttl].concat()),
        ("DueTable", [&keys[..], &ttl].concat()),
        ("KeysTable", keys.to_vec()),
        ("RegistryTable", keys.to_vec()),
        ("SessionsTable", [&keys[..], &ttl].concat()),
    ]);
    let tables = template.of_type("AWS::DynamoDB::Table").into_iter();
    let found: BTreeMap<_, _> = tables
        .map(|table| (table, declared(&template, table)))
        .collect();
    assert_eq!(found, expected);
}

/// The store's tests are worth what the tables they run on are.
#[tokio::test]
async fn the_store_is_tested_on_the_templates_tables() {
    let template = Template::read();
    let engine = LocalDynamo::start(&ManualClock::new(), 1).await;
    let tables = &engine.tables;
    for (id, name) in [
        ("AuditTable", &tables.audit),
        ("ConnectionsTable", &tables.connections),
        ("DueTable", &tables.due),
        ("KeysTable", &tables.keys),
        ("RegistryTable", &tables.registry),
        ("SessionsTable", &tables.sessions),
    ] {
        let asked = engine.client.describe_table().table_name(name).send().await;
        let table = asked.unwrap().table.unwrap();
        let mut parts = in_words(table.key_schema());
        for index in table.global_secondary_indexes() {
            parts.push(format!("index {}", index.index_name().unwrap()));
            parts.extend(in_words(index.key_schema()));
            let projection = index.projection().unwrap();
            let kind = projection.projection_type().map(ProjectionType::as_str);
            parts.push(kind.unwrap().to_owned());
            parts.extend_from_slice(projection.non_key_attributes());
        }
        let asked = engine
            .client
            .describe_time_to_live()
            .table_name(name)
            .send()
            .await;
        let ttl = asked.unwrap().time_to_live_description;
        let ttl = ttl.and_then(|it| it.attribute_name);
        parts.extend(ttl.map(|attribute| format!("{attribute} true")));
        assert_eq!(parts, declared(&template, id), "{id}");
    }
}

fn in_words(keys: &[KeySchemaElement]) -> Vec<String> {
    let keys = keys.iter();
    keys.map(|key| format!("{} {}", key.key_type().as_str(), key.attribute_name()))
        .collect()
}

/// One job of each kind.
fn jobs() -> [Job; 3] {
    let of = json!({"workspace": "w", "app": "a", "user": "u", "connector": "c"});
    let escrow = json!({
        "job": "store_tokens", "connection": of, "id": "k", "attempt": "t", "generation": 1,
        "connector_generation": 1, "sealed": "", "refreshable": true, "granted_scopes": [],
        "validity": {"issued_at": "2026-11-22T17:00:00Z", "expires_at": null}, "due_at": null,
    });
    [
        json!({"job": "refresh_shard", "shard": 0}),
        json!({"job": "retry_refresh", "connection": of, "id": "k"}),
        escrow,
    ]
    .map(|job| serde_json::from_value(job).unwrap())
}

#[test]
fn the_bus_has_a_rule_for_each_kind_of_job_and_hands_over_the_job_alone() {
    let template = Template::read();
    let rules = template.of_type("AWS::Events::Rule");
    let patterns: BTreeSet<_> = rules
        .iter()
        .map(|rule| template.value(rule, "EventPattern").to_owned())
        .collect();
    let kinds = jobs();
    let expected = kinds.iter().map(|job| {
        let kind = detail_type(job);
        format!("{{source: [{JOB_SOURCE}], detail-type: [{kind}]}}")
    });
    assert_eq!(patterns, expected.collect());
    for rule in rules {
        assert_eq!(template.value(rule, "InputPath"), "$.detail");
    }
}

#[test]
fn a_retry_is_delivered_when_the_code_expects_it() {
    let delay = RETRY_DELAY.as_secs().to_string();
    assert_eq!(Template::read().value("RetryQueue", "DelaySeconds"), delay);
}

#[tokio::test]
async fn the_lag_alarm_watches_a_figure_that_the_tick_tells() {
    let template = Template::read();
    let alarm = |name| template.value("RefreshLagAlarm", name);
    assert_eq!(alarm("Namespace"), NAMESPACE);
    assert!(alarm("Dimensions").contains("Name: function, Value: !Ref TokenRefresherFunction"));
    let told = World::start().await.tick_alone().await.metrics;
    assert!(told.iter().any(|metric| metric.name == alarm("MetricName")));
}

/// A-21, H-25.
#[tokio::test]
async fn a21_the_bulk_read_alarm_watches_a_figure_that_a_look_up_tells_within_a_minute() {
    let template = Template::read();
    let alarm = |name| template.value("BulkReadAlarm", name);
    assert_eq!(alarm("Namespace"), NAMESPACE);
    assert!(alarm("Dimensions").contains("Name: function, Value: !Ref TokenLookupFunction"));
    assert_eq!((alarm("Period"), alarm("EvaluationPeriods")), ("60", "1"));
    let caps = Caps {
        credential: 100,
        workspace: 100,
    };
    let limits = Limits {
        caps,
        bulk_connections: 1,
        ..Limits::default()
    };
    let world = World::limited(limits).await;
    let connector = world.connector(&["read"]).await;
    for user in ["alice", "bob"] {
        world.connect(user, &connector).await;
        world.token(user, &connector).await;
    }
    let lines = world.lines.lock().unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(line[alarm("MetricName")], 1.0);
    let defined = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
    let defined = defined.as_array().unwrap().iter();
    assert!(
        defined
            .into_iter()
            .any(|it| it["Name"] == alarm("MetricName"))
    );
}

#[test]
fn the_functions_are_told_every_variable_they_ask_for_and_no_other() {
    let text = read("infra/template.yaml");
    let names = text
        .lines()
        .map(str::trim)
        .filter_map(|line| line.split_once(": "));
    let told: BTreeSet<_> = names
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("GRANTRY_"))
        .collect();
    let asked = Mutex::new(BTreeSet::new());
    let config = Config::read(|name| {
        asked.lock().unwrap().insert(name.to_owned());
        // Lambda itself sets what has not our prefix.
        let known = told.contains(name) || name.starts_with("AWS_LAMBDA_");
        let value = match name {
            "GRANTRY_PUBLIC_URL" => "https://api.example",
            "GRANTRY_LOCAL_HTTP" => "false",
            "GRANTRY_DUE_SHARDS"
            | "GRANTRY_REFRESH_CONCURRENCY"
            | "GRANTRY_AUDIT_RETENTION_DAYS"
            | "GRANTRY_BULK_CONNECTIONS"
            | "GRANTRY_CREDENTIAL_READS"
            | "GRANTRY_WORKSPACE_READS" => "1",
            "GRANTRY_PROVIDER_HOSTS" | "GRANTRY_RESTORED_AT" => "",
            _ => "x",
        };
        known.then(|| value.to_owned())
    });
    assert!(config.is_ok(), "{config:?}");
    let asked = asked.into_inner().unwrap();
    let asked = asked
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with("GRANTRY_"));
    assert_eq!(asked.collect::<BTreeSet<_>>(), told);
}
