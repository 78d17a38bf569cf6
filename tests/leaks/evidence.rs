//! What there is to search, and what to search for.
//!
//! The dump is taken once for all tests, by the command that the stack's description names. The
//! secrets come from both ends of the deployed stack: from the provider, which issued them or
//! was shown them, and from the end-to-end tests, which noted what they were handed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::fake_as::{
    Behaviour, Endpoint, FakeAsControl, LoggedRequest, SecretKind, When, consent,
};
use tokio::sync::OnceCell;
use url::{Position, Url};

use crate::search::{Searcher, binary};
use crate::stack::{RETURN, Workspace};

/// What `make test` says about the stack it deployed.
#[derive(Debug, Deserialize)]
pub(crate) struct Described {
    provider_url: String,
    /// The deployed functions' names, by ours.
    pub(crate) functions: BTreeMap<String, String>,
    /// The log groups, by our names of the functions.
    pub(crate) log_groups: BTreeMap<String, String>,
    tables: BTreeMap<String, String>,
    pub(crate) dlq_urls: Vec<String>,
    pub(crate) events_queue_url: String,
    dump_command: Vec<String>,
    seen_secrets: PathBuf,
    received: PathBuf,
}

/// The stack that the end-to-end tests used.
#[expect(clippy::disallowed_methods, reason = "how make test names the stack")]
pub(crate) static STACK: LazyLock<Described> = LazyLock::new(|| {
    let path = std::env::var("GRANTRY_E2E_STACK").expect(
        "these tests look at the stack that the end-to-end tests used: run `make test`, or \
         `make quick` for those that need no stack",
    );
    let description = std::fs::read(path).expect("the stack's description can be read");
    serde_json::from_slice(&description).expect("the stack's description is complete")
});

/// Everything the stack keeps.
#[derive(Debug, Deserialize)]
pub(crate) struct Dump {
    tables: BTreeMap<String, Vec<Value>>,
    queues: BTreeMap<String, Vec<String>>,
    /// Lines, by the log group's name; the emulator's own under its file's.
    pub(crate) logs: BTreeMap<String, Vec<String>>,
    /// What the stories were answered, other than what had to hand them a secret.
    #[serde(skip)]
    pub(crate) received: Vec<Received>,
    /// Secrets of the flows that were half-way, as far as only their browser knew them.
    #[serde(skip)]
    unfinished: Vec<Secret>,
}

/// An answer's body.
#[derive(Debug, Deserialize)]
pub(crate) struct Received {
    /// Method, path and status.
    pub(crate) of: String,
    pub(crate) body: String,
}

/// How many sealed values each table holds at least, or a search of it would prove little: those
/// that [`Unfinished`] leaves, and what is always there.
const SEALED: [(&str, usize); 5] = [
    ("registry", 1),
    ("connections", 1),
    ("sessions", 3),
    ("due", 1),
    ("keys", 2),
];

/// The dump of [`STACK`], taken when it is first asked for.
pub(crate) async fn dump() -> &'static Dump {
    static DUMP: OnceCell<Dump> = OnceCell::const_new();
    DUMP.get_or_init(async || {
        let unfinished = Unfinished::begin().await;
        let (program, arguments) = STACK.dump_command.split_first().expect("a program");
        let run = Command::new(program)
            .args(arguments)
            .stderr(Stdio::inherit())
            .output();
        let run = run.expect("the program that dumps the stack starts");
        assert!(run.status.success(), "the dump failed with {}", run.status);
        let mut dump: Dump = serde_json::from_slice(&run.stdout).expect("the dump is complete");
        dump.unfinished = unfinished.finish().await;
        let received = std::fs::read_to_string(&STACK.received).expect("the noted answers");
        let received = received.lines().map(serde_json::from_str);
        dump.received = received
            .collect::<Result<_, _>>()
            .expect("the notes are JSON");
        for (table, least) in SEALED {
            let items = &dump.tables[&STACK.tables[table]];
            let sealed: usize = items.iter().map(sealed_values).sum();
            assert!(
                sealed >= least,
                "{sealed} sealed values in {table}, not {least}"
            );
        }
        for group in STACK.log_groups.values() {
            assert!(!dump.logs[group].is_empty(), "{group} is empty");
        }
        dump
    })
    .await
}

/// What a flow or a disconnect keeps for its next step is gone when that step is done, and the
/// stories do theirs. So some stop half-way while the dump is taken, and what is sealed then is
/// in it. Going on afterwards tells what was sealed: a verifier is shown to nobody before.
struct Unfinished {
    acme: Workspace,
    connector: String,
    authorize_url: String,
    cookie: String,
    code: String,
}

impl Unfinished {
    async fn begin() -> Self {
        let acme = Workspace::new("unfinished").await;
        let connector = acme.connector("Files", &["read"]).await;
        // Alice is at the provider: state, cookie and verifier.
        let begin = json!({"connector_id": connector, "return_url": RETURN});
        let jwt = acme.user("alice").await;
        let begun = acme
            .call(Method::POST, "/v1/me/connections", &jwt, Some(begin))
            .await;
        let link = Url::parse(&begun.expect(201).text("connect_url")).expect("a link");
        let away = acme.call(Method::GET, link.path(), "", None).await;
        let headers = away.expect(303).headers;
        let (cookie, _) = headers["set-cookie"]
            .split_once(';')
            .expect("a cookie has attributes");
        // Bob has returned: verifier and code.
        let code = acme
            .authorize("bob", &acme.account("bob"), &connector)
            .await;
        // Carol has disconnected while the provider is down: the token to revoke.
        acme.connect("carol", &connector).await;
        let down = Behaviour::Respond {
            status: 503,
            headers: vec![],
            body: String::new(),
        };
        let revoking = When::from(Endpoint::Revoke).account(&acme.account("carol"));
        acme.provider.always(revoking, down).await;
        let path = format!("/v1/users/carol/connections/{connector}");
        let gone = acme.call(Method::DELETE, &path, &acme.key, None).await;
        gone.expect(200);
        Self {
            connector,
            authorize_url: headers["location"].clone(),
            cookie: cookie.to_owned(),
            code,
            acme,
        }
    }

    /// Goes on, and answers what Alice's browser was given.
    async fn finish(self) -> Vec<Secret> {
        let acme = &self.acme;
        let callback = consent(&self.authorize_url, &acme.account("alice")).await;
        let callback = Url::parse(&callback).expect("a link");
        let (path, cookie) = (&callback[Position::BeforePath..], self.cookie.as_str());
        let headers = [("cookie", cookie)];
        let back = acme
            .call_with(Method::GET, path, "", &headers, None)
            .await
            .expect(303);
        let back = Url::parse(&back.headers["location"]).expect("a link");
        let code = back.query_pairs().find(|(name, _)| name == "code");
        let code = code.expect("a completion code").1.into_owned();
        acme.complete("alice", &code).await.expect(200);
        acme.complete("bob", &self.code).await.expect(200);
        acme.lookup("alice", &self.connector).await.expect(200);
        let (_, cookie) = cookie.split_once('=').expect("a cookie has a value");
        [("completion code", code), ("cookie", cookie.to_owned())]
            .map(|(kind, value)| Secret { kind, value })
            .into()
    }
}

/// The binary values in a document that are longer than a SHA-256: nothing else is binary.
fn sealed_values(value: &Value) -> usize {
    match value {
        Value::Object(members) if members.contains_key("b64") => {
            binary(members).is_some_and(|bytes| bytes.len() > 32).into()
        }
        Value::Object(members) => members.values().map(sealed_values).sum(),
        Value::Array(values) => values.iter().map(sealed_values).sum(),
        _ => 0,
    }
}

impl Dump {
    /// The messages of a queue. Its address ends with its account and name, which name it; the
    /// emulator calls its own host now by name, now by address.
    pub(crate) fn messages(&self, url: &str) -> &[String] {
        let path = |url: &str| {
            Url::parse(url)
                .expect("a queue has a URL")
                .path()
                .to_owned()
        };
        let mut queues = self.queues.iter();
        let queue = queues.find(|(other, _)| path(other) == path(url));
        queue.unwrap_or_else(|| panic!("{url} was not dumped")).1
    }

    /// Where in the dump the searcher finds what, one line each.
    pub(crate) fn search(&self, searcher: &Searcher) -> Vec<String> {
        let items = self.tables.iter().flat_map(|(table, items)| {
            items
                .iter()
                .map(move |item| (table, searcher.in_json(item)))
        });
        let texts = self
            .queues
            .iter()
            .chain(&self.logs)
            .flat_map(|(place, texts)| {
                texts
                    .iter()
                    .map(move |text| (place, searcher.in_bytes(text.as_bytes())))
            });
        let answers = self.received.iter();
        let answers = answers.map(|one| (&one.of, searcher.in_bytes(one.body.as_bytes())));
        items
            .chain(texts)
            .chain(answers)
            .flat_map(|(place, found)| {
                found
                    .into_iter()
                    .map(move |what| format!("{place}: {what}"))
            })
            .collect()
    }
}

/// A line or message that is JSON.
pub(crate) fn parsed(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// Something nobody may find in the dump.
#[derive(Debug)]
pub(crate) struct Secret {
    pub(crate) kind: &'static str,
    pub(crate) value: String,
}

impl Secret {
    /// The name and the part to search for. Tickets, states, completion codes, API keys and
    /// JWTs say publicly what they are about and end with what proves it: whoever has the end
    /// has the secret, and where all of it was written, so was the end.
    pub(crate) fn telling_part(&self) -> (String, Vec<u8>) {
        let end = self.value.rsplit('.').next().filter(|end| end.len() >= 32);
        let part = end.unwrap_or(&self.value);
        (
            format!("{} {}…", self.kind, part.get(..12).unwrap_or(part)),
            part.into(),
        )
    }
}

/// Every secret there was when the dump was taken, each once. They are listed after it, so that
/// none in it is younger than the list.
pub(crate) async fn secrets(dump: &Dump) -> Vec<Secret> {
    let provider = FakeAsControl::new(&STACK.provider_url);
    let unfinished = dump.unfinished.iter();
    let mut all: BTreeMap<String, &'static str> = unfinished
        .map(|secret| (secret.value.clone(), secret.kind))
        .collect();
    let noted = std::fs::read_to_string(&STACK.seen_secrets).expect("the noted secrets");
    all.extend(
        noted
            .lines()
            .map(|line| (line.to_owned(), "noted by a story")),
    );
    for request in provider.requests().await {
        all.extend(
            shown(&request)
                .into_iter()
                .map(|(kind, value)| (value, kind)),
        );
    }
    for issued in provider.issued_secrets().await {
        let kind = match issued.kind {
            SecretKind::Code => "authorization code",
            SecretKind::AccessToken => "access token",
            SecretKind::RefreshToken => "refresh token",
            SecretKind::IdToken => "id token",
        };
        all.insert(issued.value, kind);
    }
    all.into_iter()
        .map(|(value, kind)| Secret { kind, value })
        .collect()
}

/// The secrets that a request showed to the provider.
fn shown(request: &LoggedRequest) -> Vec<(&'static str, String)> {
    let query = request.query.as_deref().unwrap_or_default();
    let query = form_urlencoded::parse(query.as_bytes()).into_owned();
    let mut shown: Vec<_> = query
        .chain(request.form.iter().cloned())
        .filter_map(|(name, value)| Some((kind_of(&name)?, value)))
        .collect();
    match request
        .authorization
        .as_deref()
        .and_then(|header| header.split_once(' '))
    {
        Some(("Basic", pair)) => {
            let pair = STANDARD.decode(pair).expect("Basic is base64");
            let pair = String::from_utf8(pair).expect("Basic is text");
            let (_, secret) = pair.split_once(':').expect("Basic is a pair");
            // Each half is form-encoded before they are joined (RFC 6749 section 2.3.1).
            let secret = form_urlencoded::parse(format!("secret={secret}").as_bytes())
                .map(|(_, value)| value.into_owned())
                .next();
            shown.extend(secret.map(|secret| ("client secret", secret)));
        }
        Some((_, token)) => shown.push(("presented token", token.to_owned())),
        None => {}
    }
    shown
}

fn kind_of(parameter: &str) -> Option<&'static str> {
    Some(match parameter {
        "state" => "state",
        "code" => "authorization code",
        "code_verifier" => "code verifier",
        "client_secret" => "client secret",
        "refresh_token" => "refresh token",
        "token" => "presented token",
        _ => return None,
    })
}
