//! What a caller sent: bodies and parameters, refused with the field that is wrong.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::header;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::{Code, Problem};
use crate::domain::ids::{ApiKeyId, ConnectionId, WorkspaceId};

/// The largest request body.
pub const MAX_BODY: usize = 64 * 1024;
/// The longest query: what API Gateway lets through of a request's line and headers together
/// (quotas of HTTP APIs).
pub const MAX_QUERY: usize = 10_240;

/// A JSON body. Unknown members are refused by the types, so that a misspelt field is an error
/// and not a default.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = body_of(request).await?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json).map_err(wrong_member)?;
        json.end()
            .map_err(|error| Problem::new(Code::InvalidRequest, format!("body: {error}")))?;
        Ok(Self(value))
    }
}

/// What is wrong with a body, and with which member of it where that can be told.
fn wrong_member(error: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let path = error.path().to_string();
    let detail = error.into_inner().to_string();
    if path == "." {
        Problem::new(Code::InvalidRequest, format!("body: {detail}"))
    } else {
        Problem::field(path, detail)
    }
}

/// An id from the path. One that cannot be an id is answered like one that does not exist.
pub struct PathIds<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathIds<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::<T>::from_request_parts(parts, state)
            .await
            .map(|Path(ids)| Self(ids))
            .map_err(|_| Problem::not_found())
    }
}

/// Query parameters, each at most once.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string.
    ///
    /// # Errors
    /// `invalid_request` when a parameter comes twice (RFC 6749 section 3.1).
    pub fn parse(query: &str) -> Result<Self, Problem> {
        let mut params: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if params.iter().any(|(known, _)| *known == name) {
                return Err(Problem::new(
                    Code::InvalidRequest,
                    "a parameter may be given once",
                ));
            }
            params.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(params))
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let params = self.0.iter();
        params.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// `cursor`, as an earlier page gave it.
    pub fn cursor(&self) -> Option<&str> {
        self.get("cursor")
    }

    /// `limit`, from 1 to 100, 50 when absent.
    ///
    /// # Errors
    /// `invalid_request` naming the field.
    pub fn limit(&self) -> Result<u32, Problem> {
        self.get("limit").map_or(Ok(50), |text| {
            text.parse()
                .ok()
                .filter(|limit| (1..=100).contains(limit))
                .ok_or_else(|| Problem::field("limit", "must be a number from 1 to 100"))
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        if query.len() > MAX_QUERY {
            let detail = format!("a query has at most {MAX_QUERY} bytes");
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        Self::parse(query)
    }
}

/// Fields of a form (`application/x-www-form-urlencoded`), each at most once.
#[derive(Clone, Debug)]
pub struct Form(pub Query);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Problem::new(Code::InvalidRequest, "body: must be a form"));
        }
        let bytes = body_of(request).await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Problem::new(Code::InvalidRequest, "body: must be UTF-8"))?;
        Query::parse(text).map(Self)
    }
}

/// The whole body, if it is not too large.
pub(super) async fn body_of(request: Request) -> Result<Bytes, Problem> {
    to_bytes(request.into_body(), MAX_BODY).await.map_err(|_| {
        Problem::new(
            Code::PayloadTooLarge,
            format!("a body has at most {MAX_BODY} bytes"),
        )
    })
}

/// What the request's log line says beyond status and time; filled in along the way.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The id that the platform gave the request.
    pub request_id: Option<String>,
    /// The workspace, once the caller is authenticated.
    pub workspace: Option<WorkspaceId>,
    /// The API key, likewise.
    pub key: Option<ApiKeyId>,
    /// The connection whose token was handed out.
    pub connection: Option<ConnectionId>,
    /// How many bulk reads the request was the first to tell of.
    pub bulk_reads: u64,
}

/// The facts of one request, shared by whoever knows some.
#[derive(Clone, Debug)]
pub struct RequestFacts(Arc<Mutex<Facts>>);

impl RequestFacts {
    /// Those of a request of which nothing else is known yet.
    pub fn new(request_id: Option<String>) -> Self {
        Self(Arc::new(Mutex::new(Facts {
            request_id,
            ..Facts::default()
        })))
    }

    /// Adds to the facts of the request.
    pub fn note(parts: &Parts, add: impl FnOnce(&mut Facts)) {
        if let Some(facts) = parts.extensions.get::<Self>() {
            add(&mut facts.0.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The id of the request.
    pub fn request_id(parts: &Parts) -> Option<String> {
        parts.extensions.get::<Self>()?.known().request_id
    }

    /// What is known by now.
    pub fn known(&self) -> Facts {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a24_a_repeated_query_parameter_is_refused() {
        assert!(Query::parse("state=a&state=b").is_err());
        assert_eq!(
            Query::parse("state=a&code=b").unwrap().get("code"),
            Some("b")
        );
    }

    #[test]
    fn a_limit_out_of_range_names_the_field() {
        assert_eq!(Query::parse("").unwrap().limit(), Ok(50));
        for text in ["limit=0", "limit=101", "limit=x"] {
            assert!(Query::parse(text).unwrap().limit().is_err(), "{text}");
        }
    }
}
