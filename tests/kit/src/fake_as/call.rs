//! A request to a form endpoint, parsed once, and the answer to it before HTTP.

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Value, json};

use super::script::Endpoint;
use super::state::State;

/// What a client sent to one of the [`Endpoint`]s.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) endpoint: Endpoint,
    pub(crate) query: Option<String>,
    pub(crate) form: Vec<(String, String)>,
    pub(crate) authorization: Option<String>,
    is_form: bool,
}

impl Call {
    pub(crate) fn read(
        endpoint: Endpoint,
        query: Option<String>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let is_form = text(header::CONTENT_TYPE).is_some_and(|kind| {
            let essence = kind.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
        let form = if is_form {
            form_urlencoded::parse(body).into_owned().collect()
        } else if endpoint == Endpoint::Exchange {
            let query = query.as_deref().unwrap_or_default();
            form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect()
        } else {
            Vec::new()
        };
        let authorization = text(header::AUTHORIZATION).map(str::to_owned);
        Self {
            endpoint,
            query,
            form,
            authorization,
            is_form,
        }
    }

    /// A form field; an empty one counts as left out (RFC 6749 section 3.2).
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let (_, value) = self.form.iter().find(|(key, _)| key == name)?;
        (!value.is_empty()).then_some(value.as_str())
    }

    pub(crate) fn bearer(&self) -> Option<&str> {
        scheme(self.authorization.as_deref()?, "bearer")
    }

    /// The client that says it is calling, proven or not.
    pub(crate) fn claimed_client(&self) -> Option<String> {
        match self.basic() {
            Some((id, _)) => Some(id),
            None => self.field("client_id").map(str::to_owned),
        }
    }

    /// The registered client that proves to be calling, by `client_secret_basic` or
    /// `client_secret_post` (RFC 6749 section 2.3.1).
    pub(crate) fn authenticate(&self, state: &State) -> Result<String, Answer> {
        if !self.is_form {
            return Err(Answer::invalid_request("the body must be form-urlencoded"));
        }
        let mut names: Vec<_> = self.form.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Answer::invalid_request("a parameter is repeated"));
        }
        let in_body = self.field("client_secret");
        if self.authorization.is_some() && in_body.is_some() {
            return Err(Answer::invalid_request(
                "two ways of client authentication at once",
            ));
        }
        let (id, secret) = match (self.basic(), self.field("client_id"), in_body) {
            (Some(basic), _, _) => basic,
            (None, Some(id), Some(secret)) => (id.to_owned(), secret.to_owned()),
            (None, _, _) => return Err(self.invalid_client()),
        };
        match state.client(&id) {
            Some(client) if client.secrets.contains(&secret) => Ok(id),
            _ => Err(self.invalid_client()),
        }
    }

    /// Id and secret of a Basic header, each form-encoded before it was joined.
    fn basic(&self) -> Option<(String, String)> {
        let encoded = scheme(self.authorization.as_deref()?, "basic")?;
        let joined = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (id, secret) = joined.split_once(':')?;
        Some((form_decode(id), form_decode(secret)))
    }

    fn invalid_client(&self) -> Answer {
        let answer = Answer::oauth_error(StatusCode::UNAUTHORIZED, "invalid_client");
        if self.authorization.is_some() {
            return answer.with(header::WWW_AUTHENTICATE, "Basic realm=\"fake_as\"");
        }
        answer
    }
}

fn scheme<'a>(authorization: &'a str, name: &str) -> Option<&'a str> {
    let (scheme, rest) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case(name).then(|| rest.trim())
}

fn form_decode(text: &str) -> String {
    // A lone value without `=` parses as a key.
    form_urlencoded::parse(text.replace('&', "%26").replace('=', "%3D").as_bytes())
        .next()
        .map_or_else(String::new, |(key, _)| key.into_owned())
}

/// An answer that a behaviour may still alter before it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        let headers = vec![
            (header::CONTENT_TYPE, "application/json".to_owned()),
            // RFC 6749 section 5.1.
            (header::CACHE_CONTROL, "no-store".to_owned()),
        ];
        Self {
            status,
            headers,
            body: body.to_string(),
        }
    }

    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn oauth_error(status: StatusCode, code: &str) -> Self {
        Self::json(status, &json!({ "error": code }))
    }

    pub(crate) fn refused(code: &str, description: &str) -> Self {
        let body = json!({ "error": code, "error_description": description });
        Self::json(StatusCode::BAD_REQUEST, &body)
    }

    pub(crate) fn invalid_request(description: &str) -> Self {
        Self::refused("invalid_request", description)
    }

    pub(crate) fn invalid_grant(description: &str) -> Self {
        Self::refused("invalid_grant", description)
    }

    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        // The text body brought a content type along; the answer names its own.
        response.headers_mut().remove(header::CONTENT_TYPE);
        for (name, value) in self.headers {
            if let Ok(value) = value.parse() {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::form_decode;

    #[test]
    fn basic_credentials_are_form_decoded() {
        assert_eq!(form_decode("a%3Ab+c%25"), "a:b c%");
        assert_eq!(form_decode("plain=1&2"), "plain=1&2");
        assert_eq!(form_decode(""), "");
    }
}
