//! What the stack answers, and the record of it for the search that follows these tests.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;

use http::Method;
use serde_json::{Value, json};

use super::STACK;

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Answer {
    /// This answer, if it has the status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Fails unless this is a problem with the status and code.
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status, &self.body["code"]),
            (status, &json!(code)),
            "{self:?}"
        );
        assert_eq!(self.headers["content-type"], "application/problem+json");
        self
    }

    /// Fails unless this is a page with the status and heading.
    #[track_caller]
    pub(crate) fn page(self, status: u16, heading: &str) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "text/html; charset=utf-8");
        let html = self.body.as_str().unwrap_or_default();
        assert!(html.contains(&format!("<h1>{heading}</h1>")), "{html}");
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

    /// The name and value of the cookie that is set.
    #[track_caller]
    pub(crate) fn cookie(&self) -> String {
        self.headers["set-cookie"]
            .split(';')
            .next()
            .unwrap()
            .to_owned()
    }

    /// The parameters of the address that the browser is sent to.
    #[track_caller]
    pub(crate) fn told(&self) -> BTreeMap<String, String> {
        let location = url::Url::parse(&self.headers["location"]).unwrap();
        location.query_pairs().into_owned().collect()
    }
}

/// Sends a request and records what must not hold a secret.
pub(super) async fn send(request: reqwest::RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.expect("a request of a story is well-formed");
    let (method, url) = (request.method().clone(), request.url().clone());
    let response = client.execute(request).await.expect("the stack answers");
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                value.to_str().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let body = response.bytes().await.expect("a whole answer");
    if url.as_str().starts_with(&STACK.public_url) && !hands_out(&method, url.path(), status) {
        // The path of a connect link is a secret of its own.
        let path = url.path().split("/connect/").next();
        let line = json!({
            "of": format!("{method} {} {status}", path.unwrap_or_default()),
            "body": String::from_utf8_lossy(&body),
        });
        append(&STACK.received, &line.to_string());
    }
    let text = || json!(String::from_utf8_lossy(&body));
    Answer {
        status,
        headers,
        body: serde_json::from_slice(&body).unwrap_or_else(|_| text()),
    }
}

/// Whether an answer is there to hand its caller a secret: a token, a new API key, a connect
/// link, or a page on which a flow goes on. No refusal is.
fn hands_out(method: &Method, path: &str, status: u16) -> bool {
    let route = (method.as_str(), path);
    status < 400
        && (matches!(
            route,
            ("POST", "/v1/tokens" | "/v1/me/connections")
                | ("GET", "/oauth/confirm" | "/oauth/finish")
        ) || method == Method::POST
            && (path.ends_with("/keys") || path.starts_with("/oauth/callback/")))
}

/// Adds a line to a file.
pub(super) fn append(path: &str, line: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .expect("what is seen can be noted");
    // In one write: stories note at the same time.
    file.write_all(format!("{line}\n").as_bytes())
        .expect("what is seen can be noted");
}
