//! One provider as it is played: what it is, and what has happened to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use catalogue_format::{AssumedLifetime, ErrorClass, Method, Template, blanks, fill};
use serde_json::{Value, json};

use super::call::Call;
use super::grants::Grants;
use super::pointer::put;
use super::sample::sample;

/// One of a provider's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Where the browser is sent.
    Authorize,
    /// Where codes are redeemed.
    Code,
    /// Where the token that a code brought is exchanged for another.
    AfterCode,
    /// Where tokens are refreshed.
    Refresh,
    /// Where grants are revoked.
    Revoke,
    /// Where the account is read.
    Identity,
}

/// What an endpoint does instead of its work.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// Refuses with an error code, in the provider's own shape.
    Refuses(String),
    /// Answers with this status and no JSON.
    Status(u16),
    /// Answers 200 with something else than JSON.
    Garbage,
    /// Sends whoever asks to another place.
    Redirects,
}

pub(super) struct Role {
    pub(super) template: Template,
    /// What the template's blanks are filled with.
    pub(super) values: BTreeMap<String, String>,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) grants: Grants,
    /// Everything that was not as the template has it.
    pub(super) faults: Vec<String>,
    pub(super) troubles: VecDeque<(Endpoint, Trouble)>,
    /// Which endpoints were asked, in order.
    pub(super) asked: Vec<Endpoint>,
    /// The ids of client assertions that were used.
    pub(super) assertions: BTreeSet<String>,
}

/// The account that consents, as the provider knows it.
pub(super) const ACCOUNT: &str = "account-1";
/// What the provider calls it.
pub(super) const LABEL: &str = "Alice of Acme";
/// What stands for the tenant of an issuer with many.
pub(super) const TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

impl Role {
    /// A text of the template with its blanks filled.
    pub(super) fn text(&self, text: &str) -> String {
        fill(text, |name| self.values.get(name).map(String::as_str))
    }

    /// Parameters with their blanks filled. One whose field was left empty is not there.
    pub(super) fn params(&self, params: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let later = |name: &str| name == "client_id" || name.starts_with("captured.");
        let known = |name: &str| later(name) || self.values.contains_key(name);
        let given = params.iter().filter(|(_, value)| blanks(value).all(known));
        given
            .map(|(name, value)| (name.clone(), self.text(value)))
            .collect()
    }

    /// For how many seconds its access tokens live; `None` for ever.
    pub(super) fn lifetime_s(&self) -> Option<i64> {
        let refresh = &self.template.refresh;
        match refresh.assumed_lifetime {
            AssumedLifetime::Seconds(seconds) => Some(seconds.into()),
            AssumedLifetime::Never => refresh.tokens.then_some(3600),
        }
    }

    /// What the callback brings beside the code: parameter to value.
    pub(super) fn callback_values(&self) -> Vec<(&str, String)> {
        let kept = self.template.callback.values();
        kept.map(|value| (value.param.as_str(), sample(&value.pattern)))
            .collect()
    }

    /// What a connection's `connection_config` has to hold.
    pub(super) fn connection_config(&self) -> BTreeMap<String, String> {
        let callback = self.template.callback.iter();
        let callback = callback.map(|(name, value)| (name.clone(), sample(&value.pattern)));
        let mut answer = Value::Null;
        self.put_beside(&mut answer);
        let captured = self.template.captured.iter().map(|(name, pointer)| {
            let value = answer.pointer(pointer).and_then(Value::as_str);
            (name.clone(), value.unwrap_or_default().to_owned())
        });
        callback.chain(captured).collect()
    }

    /// Puts into a token answer what it says beside the tokens.
    pub(super) fn put_beside(&self, answer: &mut Value) {
        let read_here = self.template.identity.as_ref();
        if let Some(identity) = read_here.filter(|identity| identity.url.is_none()) {
            put(answer, &identity.id, json!(ACCOUNT));
            if let Some(label) = &identity.label {
                put(answer, label, json!(LABEL));
            }
        }
        for (name, pointer) in &self.template.captured {
            put(answer, pointer, json!(format!("the {name} of acme")));
        }
    }

    /// The provider's own word for an error of a class, or the standard's.
    pub(super) fn word_for(&self, class: ErrorClass, standard: &str) -> String {
        let own = self.template.token.errors.iter();
        let mut own = own.filter(|(_, own)| **own == class);
        own.next()
            .map_or(standard.to_owned(), |(word, _)| word.clone())
    }

    /// A refusal in the provider's shape: status and body.
    pub(super) fn refusal(&self, word: &str) -> (u16, Value) {
        let token = &self.template.token;
        let mut body = Value::Null;
        let pointer = token.error_path.as_deref().unwrap_or("/error");
        let word = match word.parse::<u64>() {
            Ok(number) => json!(number),
            Err(_) => json!(word),
        };
        put(&mut body, pointer, word);
        match &token.success_flag {
            Some(flag) => {
                put(&mut body, &format!("/{flag}"), json!(false));
                (200, body)
            }
            None => (400, body),
        }
    }

    /// Which endpoint a call is for.
    pub(super) fn endpoint(&self, call: &Call) -> Option<Endpoint> {
        let template = &self.template;
        let at = |url: &str| is_at(call, &self.text(url));
        let refresh = template.refresh.request.as_ref();
        let refresh_url = refresh.and_then(|request| request.url.as_ref());
        let refresh_url = refresh_url.unwrap_or(&template.token.url);
        let grant_type = self.grant_type(call);
        let refreshes = refresh.map_or("refresh_token", |request| &request.grant_type);
        let is_post = call.method == http::Method::POST;
        if call.method == http::Method::GET && at(&template.authorize.url) {
            return Some(Endpoint::Authorize);
        }
        if let Some(after) = &template.after_code
            && at(&after.url)
            && grant_type.as_deref() == Some(&after.grant_type)
            && self.spends_short(call, &after.token_param)
        {
            return Some(Endpoint::AfterCode);
        }
        let says_refresh = grant_type.as_deref().is_none_or(|it| it == refreshes);
        let method = refresh.map_or(Method::Post, |request| request.method);
        if is_method(call, method) && at(refresh_url) && says_refresh && !self.says_code(call) {
            return Some(Endpoint::Refresh);
        }
        if is_post && at(&template.token.url) && self.says_code(call) {
            return Some(Endpoint::Code);
        }
        if let Some(revoke) = &template.revoke
            && is_method(call, revoke.method)
            && self.token_in_path(call).is_some_and(|named| {
                named.is_some() || revoke.send != catalogue_format::TokenCarrier::Path
            })
        {
            return Some(Endpoint::Revoke);
        }
        let identity = template.identity.as_ref()?.url.as_ref()?;
        at(identity).then_some(Endpoint::Identity)
    }

    /// The token that a revocation's path carries, where the call is at the revocation endpoint.
    pub(super) fn token_in_path(&self, call: &Call) -> Option<Option<String>> {
        let revoke = self.template.revoke.as_ref()?;
        let client_id = segment(&self.client_id);
        let url = self.text(&revoke.url).replace("{client_id}", &client_id);
        match url.split_once("{token}") {
            None => is_at(call, &url).then_some(None),
            Some((before, behind)) => {
                let named = call.place.strip_prefix(before)?.strip_suffix(behind)?;
                let is_segment = !named.is_empty() && !named.contains('/');
                is_segment.then(|| Some(unescaped(named)))
            }
        }
    }

    fn said(&self, call: &Call, name: &str) -> Option<String> {
        let rename = &self.template.token.rename;
        let name = rename.get(name).map_or(name, String::as_str);
        let members = catalogue_format::BodyEncoding::Json;
        let json = call.members(members).unwrap_or_default();
        let form = form_urlencoded::parse(&call.body).into_owned();
        let mut all = call.query().into_iter().chain(json).chain(form);
        all.find(|(given, _)| given == name).map(|(_, value)| value)
    }

    fn grant_type(&self, call: &Call) -> Option<String> {
        self.said(call, "grant_type")
    }

    fn says_code(&self, call: &Call) -> bool {
        self.said(call, "code").is_some()
    }

    fn spends_short(&self, call: &Call, param: &str) -> bool {
        let token = self.said(call, param).unwrap_or_default();
        let known = self.grants.known(&token);
        known.is_some_and(|(kind, _)| kind == super::grants::Kind::Short)
    }
}

/// Whether a call is at a URL, whose own query it has to repeat.
fn is_at(call: &Call, url: &str) -> bool {
    let (place, query) = url.split_once('?').unwrap_or((url, ""));
    let said = call.query();
    let mut own = form_urlencoded::parse(query.as_bytes()).into_owned();
    let with_path = |place: &str| match place.matches('/').count() {
        2 => format!("{place}/"),
        _ => place.to_owned(),
    };
    call.place == with_path(place) && own.all(|pair| said.contains(&pair))
}

pub(super) fn is_method(call: &Call, method: Method) -> bool {
    call.method
        == match method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Delete => http::Method::DELETE,
        }
}

/// A text as a segment of a path: everything escaped but the unreserved characters (RFC 3986
/// section 2.3).
fn segment(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    });
    escaped.collect()
}

fn unescaped(segment: &str) -> String {
    super::call::form_decoded(&segment.replace('+', "%2B"))
}
