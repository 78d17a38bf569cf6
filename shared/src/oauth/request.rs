//! Pieces of requests that the `oauth2` crate does not make.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use serde_json::{Map, Value};

use crate::domain::provider::Provider;
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

/// Gives the request a form for its body.
pub(super) fn set_form(request: &mut Request<Vec<u8>>, members: &[(&str, &str)]) {
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(members)
        .finish();
    set_body(request, FORM, body.into_bytes());
}

/// Turns a form body into a JSON object of the same members.
pub(super) fn form_to_json(request: &mut Request<Vec<u8>>) {
    let members: Map<String, Value> = form_urlencoded::parse(request.body())
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    set_body(
        request,
        JSON,
        Value::Object(members).to_string().into_bytes(),
    );
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
    fn a_form_becomes_a_json_object_of_the_same_members() {
        let mut request = empty(Method::POST, "https://p.example/token").unwrap();
        set_body(
            &mut request,
            FORM,
            b"grant_type=refresh_token&refresh_token=a%2Bb".to_vec(),
        );
        form_to_json(&mut request);
        assert_eq!(request.headers()[CONTENT_TYPE], "application/json");
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"grant_type": "refresh_token", "refresh_token": "a+b"})
        );
    }

    #[test]
    fn a_token_that_would_break_out_of_its_header_is_refused() {
        assert!(bearer(&Secret::new("a\r\nX-Evil: 1")).is_err());
    }
}
