//! Pieces of requests that the `oauth2` crate does not make.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Request};
use serde_json::{Map, Value};

use crate::domain::provider::{BodyEncoding, Method, Provider};
use crate::domain::secret::Secret;
use crate::ports::ClientCredentials;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// Why a request could not be built: a part of it cannot stand where HTTP would have it.
#[derive(Debug, thiserror::Error)]
#[error("the request to the provider cannot be built")]
pub(super) struct Unbuildable;

/// A request with no body that asks for JSON.
pub(super) fn empty(method: Method, url: &str) -> Result<Request<Vec<u8>>, Unbuildable> {
    let method = match method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
        Method::Delete => http::Method::DELETE,
    };
    Request::builder()
        .method(method)
        .uri(url)
        .header(ACCEPT, JSON)
        .body(Vec::new())
        .map_err(|_| Unbuildable)
}

/// Gives the request a body.
pub(super) fn set_body(request: &mut Request<Vec<u8>>, kind: HeaderValue, body: Vec<u8>) {
    request.headers_mut().insert(CONTENT_TYPE, kind);
    *request.body_mut() = body;
}

/// Parameters of a request, by name.
pub(super) type Members = Vec<(String, String)>;

/// Gives the request a body of these members.
pub(super) fn set_members(
    request: &mut Request<Vec<u8>>,
    encoding: BodyEncoding,
    members: &Members,
) {
    match encoding {
        BodyEncoding::Form => {
            let mut form = form_urlencoded::Serializer::new(String::new());
            let body = form.extend_pairs(members).finish();
            set_body(request, FORM, body.into_bytes());
        }
        BodyEncoding::Json => {
            let text = |value: &String| Value::String(value.clone());
            let object: Map<String, Value> = members
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect();
            set_body(
                request,
                JSON,
                Value::Object(object).to_string().into_bytes(),
            );
        }
    }
}

/// Leaves out of a request what the provider does not want, and calls the rest as it does.
pub(super) fn rename(
    members: &mut Members,
    renamed: &BTreeMap<String, String>,
    omitted: &[String],
) {
    members.retain(|(name, _)| !omitted.contains(name));
    for (name, _) in members {
        if let Some(own) = renamed.get(name) {
            name.clone_from(own);
        }
    }
}

/// HTTP Basic with both parts form-encoded first, as RFC 6749 section 2.3.1 wants and plain
/// HTTP does not: a colon in a client id would otherwise move into the secret.
pub(super) fn basic(client: &ClientCredentials) -> Result<HeaderValue, Unbuildable> {
    let encode =
        |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let pair = format!(
        "{}:{}",
        encode(&client.client_id),
        encode(client.client_secret.expose())
    );
    sensitive(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

/// HTTP Basic with the secret alone, as a user name that has no password.
pub(super) fn secret_basic(secret: &Secret) -> Result<HeaderValue, Unbuildable> {
    let pair = format!("{}:", secret.expose());
    sensitive(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

/// The secret under a scheme of its own.
pub(super) fn client_header(secret: &Secret) -> Result<HeaderValue, Unbuildable> {
    sensitive(format!("Client {}", secret.expose()))
}

/// The token as RFC 6750 section 2.1 has it.
pub(super) fn bearer(token: &Secret) -> Result<HeaderValue, Unbuildable> {
    sensitive(format!("Bearer {}", token.expose()))
}

/// Authorizes the request.
pub(super) fn authorize(request: &mut Request<Vec<u8>>, value: HeaderValue) {
    request.headers_mut().insert(AUTHORIZATION, value);
}

/// Adds the headers the provider wants on every request.
pub(super) fn add_headers(request: &mut Request<Vec<u8>>, provider: &Provider) {
    for (name, value) in &provider.headers {
        let header = (name.parse::<HeaderName>(), value.parse::<HeaderValue>());
        if let (Ok(name), Ok(value)) = header {
            request.headers_mut().insert(name, value);
        }
    }
}

fn sensitive(text: String) -> Result<HeaderValue, Unbuildable> {
    let mut value = HeaderValue::try_from(text).map_err(|_| Unbuildable)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r24_basic_credentials_are_form_encoded_first() {
        let client = ClientCredentials {
            client_id: "a:b".into(),
            client_secret: Secret::new("p w%ä"),
            previous_secret: None,
        };
        let value = basic(&client).unwrap();
        let text = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(BASE64_STANDARD.decode(text).unwrap(), b"a%3Ab:p+w%25%C3%A4");
        assert!(value.is_sensitive(), "debug output of a request hides it");
    }

    #[test]
    fn the_same_members_make_a_form_or_a_json_object() {
        let members = || vec![("a".to_owned(), "b+c".to_owned()), ("d".into(), "é".into())];
        let body = |encoding, members| {
            let mut request = empty(Method::Post, "https://p.example/token").unwrap();
            set_members(&mut request, encoding, &members);
            let kind = request.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
            (kind, String::from_utf8(request.into_body()).unwrap())
        };
        assert_eq!(
            body(BodyEncoding::Form, members()),
            (
                "application/x-www-form-urlencoded".into(),
                "a=b%2Bc&d=%C3%A9".into()
            )
        );
        assert_eq!(
            body(BodyEncoding::Json, members()),
            ("application/json".into(), r#"{"a":"b+c","d":"é"}"#.into())
        );
    }

    #[test]
    fn a_token_that_would_break_out_of_its_header_is_refused() {
        assert!(bearer(&Secret::new("a\r\nX-Evil: 1")).is_err());
    }
}
