//! A request as it came in, and its parameters as a check takes them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalogue_format::BodyEncoding;
use http::{HeaderMap, Method, header};
use serde_json::Value;

/// A request to one provider of a peer.
pub(super) struct Call {
    pub(super) method: Method,
    /// The URL that the provider has in the world, without its query.
    pub(super) place: String,
    /// The query as it stands in the URL.
    pub(super) raw_query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The query's parameters, in order.
    pub(super) fn query(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.raw_query.as_bytes())
            .into_owned()
            .collect()
    }

    /// What stands behind a scheme in `Authorization`.
    pub(super) fn credentials(&self, scheme: &str) -> Option<&str> {
        let value = self.header(header::AUTHORIZATION.as_str())?;
        value.strip_prefix(scheme)?.strip_prefix(' ')
    }

    /// User name and password of HTTP Basic, still encoded as RFC 6749 section 2.3.1 has them.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let decoded = STANDARD.decode(self.credentials("Basic")?).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.rsplit_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// The members of the body, if it is of that kind and says so.
    pub(super) fn members(&self, kind: BodyEncoding) -> Result<Vec<(String, String)>, String> {
        let told = self
            .header(header::CONTENT_TYPE.as_str())
            .unwrap_or_default();
        let (essence, _) = told.split_once(';').unwrap_or((told, ""));
        let wanted = match kind {
            BodyEncoding::Form => "application/x-www-form-urlencoded",
            BodyEncoding::Json => "application/json",
        };
        if essence != wanted {
            return Err(format!("the body is {told:?} and not {wanted}"));
        }
        match kind {
            BodyEncoding::Form => Ok(form_urlencoded::parse(&self.body).into_owned().collect()),
            BodyEncoding::Json => {
                let read: Result<BTreeMap<String, Value>, _> = serde_json::from_slice(&self.body);
                let members = read.map_err(|error| format!("the body is no object: {error}"))?;
                let text = |value: Value| match value {
                    Value::String(text) => Ok(text),
                    other => Err(format!("{other} is not a text")),
                };
                members
                    .into_iter()
                    .map(|(name, value)| Ok((name, text(value)?)))
                    .collect()
            }
        }
    }
}

/// The text that form encoding made `encoded` of.
pub(super) fn form_decoded(encoded: &str) -> String {
    let pair = format!("x={encoded}");
    let mut pairs = form_urlencoded::parse(pair.as_bytes());
    pairs
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// Parameters that a check takes one by one: what is left in the end should not have been sent.
#[derive(Default)]
pub(super) struct Params {
    left: BTreeMap<String, String>,
    /// What is wrong with the request so far.
    pub(super) faults: Vec<String>,
}

impl Params {
    pub(super) fn of(pairs: Vec<(String, String)>) -> Self {
        let mut params = Self::default();
        for (name, value) in pairs {
            if params.left.contains_key(&name) {
                params.fault(format!("{name} is there twice"));
            }
            params.left.insert(name, value);
        }
        params
    }

    pub(super) fn fault(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    pub(super) fn require(&mut self, holds: bool, otherwise: &str) {
        if !holds {
            self.fault(otherwise);
        }
    }

    /// A parameter that may be there.
    pub(super) fn optional(&mut self, name: &str) -> Option<String> {
        self.left.remove(name)
    }

    /// A parameter that has to be there; empty if it is not.
    pub(super) fn take(&mut self, name: &str) -> String {
        let value = self.left.remove(name).unwrap_or_default();
        if value.is_empty() {
            self.fault(format!("{name} is missing"));
        }
        value
    }

    /// A parameter that has to have this value.
    pub(super) fn must_be(&mut self, name: &str, value: &str) {
        match self.left.remove(name) {
            Some(given) if given == value => {}
            Some(given) => self.fault(format!("{name} is {given:?} and not {value:?}")),
            None => self.fault(format!("{name} is missing")),
        }
    }

    /// All that is wrong, with whatever nobody asked for.
    pub(super) fn end(mut self) -> Vec<String> {
        for name in self.left.into_keys() {
            self.faults.push(format!("nobody asked for {name}"));
        }
        self.faults
    }
}
