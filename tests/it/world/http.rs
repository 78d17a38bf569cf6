//! Calls as API Gateway hands them to a function, and answers as it takes them back (payload
//! format 2.0); and the same for the messages of an SQS queue.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use lambda_runtime::{Context, LambdaEvent};
use serde_json::{Map, Value, json};
use shared::runtime::lambda;
use url::Url;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: &'static str,
    path: String,
    query: String,
    headers: Map<String, Value>,
    cookies: Vec<String>,
    claims: Option<Value>,
    body: Option<String>,
}

impl Call {
    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub(crate) fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    pub(crate) fn put(path: &str) -> Self {
        Self::new("PUT", path)
    }

    pub(crate) fn patch(path: &str) -> Self {
        Self::new("PATCH", path)
    }

    pub(crate) fn delete(path: &str) -> Self {
        Self::new("DELETE", path)
    }

    fn new(method: &'static str, path: &str) -> Self {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        Self {
            method,
            path: path.into(),
            query: query.into(),
            headers: Map::new(),
            cookies: Vec::new(),
            claims: None,
            body: None,
        }
    }

    /// Its method and path.
    pub(super) fn target(&self) -> (&'static str, String) {
        (self.method, self.path.clone())
    }

    /// With these verified claims.
    pub(crate) fn claims(mut self, claims: Value) -> Self {
        self.claims = Some(claims);
        self
    }

    /// As the owner of a workspace on the plan `builder`.
    pub(crate) fn admin_of(self, workspace: &str) -> Self {
        self.claims(json!({
            "sub": "root", "workspace_id": workspace, "role": "owner", "plan": "builder",
        }))
    }

    /// As a user of `acme`'s app `shop`.
    pub(crate) fn user(self, user: &str) -> Self {
        self.user_of("acme", "shop", user)
    }

    /// As a user of any app.
    pub(crate) fn user_of(self, workspace: &str, app: &str, user: &str) -> Self {
        self.claims(json!({"sub": user, "workspace_id": workspace, "app_id": app}))
    }

    /// With a bearer credential that no gateway has looked at.
    pub(crate) fn bearer(self, credential: &str) -> Self {
        self.header("authorization", &format!("Bearer {credential}"))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.into(), json!(value));
        self
    }

    /// With a cookie, as `name=value`.
    pub(crate) fn cookie(mut self, cookie: &str) -> Self {
        self.cookies.push(cookie.into());
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text(&body.to_string())
    }

    pub(crate) fn text(mut self, body: &str) -> Self {
        self.body = Some(body.into());
        self.header("content-type", "application/json")
    }

    /// With the fields of a form.
    pub(crate) fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let mut form = form_urlencoded::Serializer::new(String::new());
        self.body = Some(form.extend_pairs(fields).finish());
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    /// With the JWT of the user for whom a back end calls.
    pub(crate) fn on_behalf_of(self, jwt: &str) -> Self {
        self.header("on-behalf-of", &format!("Bearer {jwt}"))
    }

    /// The same call with a user's JWT wherever its body says `JWT`, and where that rides along.
    pub(crate) fn with_jwt(mut self, jwt: &str) -> Self {
        self.body = self.body.map(|body| body.replace("JWT", jwt));
        match self.headers.get("on-behalf-of") {
            Some(rider) if rider == "Bearer JWT" => self.on_behalf_of(jwt),
            _ => self,
        }
    }

    /// The same call with an app's API key wherever it says `KEY`.
    pub(crate) fn with_key(mut self, key: &str) -> Self {
        for value in self.headers.values_mut() {
            *value = json!(value.as_str().unwrap_or_default().replace("KEY", key));
        }
        self
    }

    fn event(self) -> Value {
        let mut context = json!({
            "accountId": "000000000000", "apiId": "stories", "stage": "$default",
            "requestId": "r", "timeEpoch": 0,
            "http": {"method": self.method, "path": self.path, "protocol": "HTTP/1.1",
                     "sourceIp": "192.0.2.1", "userAgent": "story"},
        });
        if let Some(claims) = self.claims {
            context["authorizer"] = json!({"jwt": {"claims": claims, "scopes": null}});
        }
        json!({
            "version": "2.0", "routeKey": "$default",
            "rawPath": self.path, "rawQueryString": self.query,
            "cookies": self.cookies, "headers": self.headers,
            "requestContext": context, "body": self.body, "isBase64Encoded": false,
        })
    }
}

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) cookies: Vec<String>,
    /// The JSON body; a string when it is not JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// This answer, if it has the status.
    #[track_caller]
    pub(crate) fn expect_status(self, status: u64) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails unless this is a problem with the status and code.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u64, code: &str) -> Self {
        assert_eq!(
            (self.status, &self.body["code"]),
            (status, &json!(code)),
            "{self:?}"
        );
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(self.body["type"], format!("urn:grantry:problem:{code}"));
        assert_eq!(self.body["status"], status);
        self
    }

    /// A member of the body that is a string.
    #[track_caller]
    pub(crate) fn text(&self, member: &str) -> String {
        self.body[member]
            .as_str()
            .unwrap_or_else(|| panic!("no {member}: {self:?}"))
            .into()
    }

    #[track_caller]
    pub(crate) fn location(&self) -> String {
        self.headers["location"].clone()
    }

    /// The query parameters of the redirect.
    #[track_caller]
    pub(crate) fn location_params(&self) -> BTreeMap<String, String> {
        let url = Url::parse(&self.location()).unwrap();
        url.query_pairs().into_owned().collect()
    }

    /// The first cookie that is set, as `name=value`.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.cookies
            .first()
            .and_then(|cookie| cookie.split(';').next())
            .map(str::to_owned)
    }
}

/// Sends one call through a router as one event.
pub(crate) async fn send(router: Router, call: Call) -> Answer {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let mut context = Context::default();
    context.request_id = format!("r{}", REQUESTS.fetch_add(1, Ordering::Relaxed));
    let event = LambdaEvent::new(call.event(), context);
    let answer = lambda::answer(router, event).await.unwrap();
    let body = answer["body"].as_str().unwrap_or_default();
    let headers = ["headers", "multiValueHeaders"]
        .iter()
        .filter_map(|members| answer[*members].as_object())
        .flatten()
        .map(|(name, value)| (name.clone(), first(value)))
        .collect();
    Answer {
        status: answer["statusCode"].as_u64().unwrap(),
        headers,
        cookies: strings(&answer["cookies"]),
        body: serde_json::from_str(body).unwrap_or_else(|_| json!(body)),
    }
}

/// Messages with these bodies, as the event source mapping of a queue hands them over.
pub(super) fn batch(bodies: &[&str]) -> LambdaEvent<Value> {
    let records = bodies.iter().enumerate().map(|(n, body)| {
        json!({
            "messageId": format!("m{n}"), "receiptHandle": "r", "body": body,
            "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {},
            "eventSource": "aws:sqs", "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:stories",
        })
    });
    let event = json!({"Records": records.collect::<Vec<_>>()});
    LambdaEvent::new(event, Context::default())
}

/// What became of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Delivered {
    /// The places in the batch of what is to be delivered again.
    pub(crate) failed: Vec<usize>,
    /// How often what happened, as the log tells it.
    pub(crate) counts: BTreeMap<String, u64>,
    /// The log line.
    pub(crate) line: Value,
}

impl Delivered {
    pub(super) fn read(answer: &Value, line: &str) -> Self {
        let failures = answer["batchItemFailures"].as_array().expect("failures");
        let place = |id: &Value| id.as_str()?.strip_prefix('m')?.parse().ok();
        let failed = failures.iter().map(|one| place(&one["itemIdentifier"]));
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        let counts = line.as_object().expect("an object").iter();
        Self {
            failed: failed.map(|place| place.expect("one of ours")).collect(),
            // Metrics are fractions, as everything that is measured.
            counts: counts
                .filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)))
                .collect(),
            line,
        }
    }
}

fn first(value: &Value) -> String {
    value
        .as_str()
        .or_else(|| value[0].as_str())
        .unwrap_or_default()
        .to_owned()
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
