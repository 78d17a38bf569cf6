//! `Idempotency-Key`: a change that is asked for again is not made again, and gets the answer it
//! got (H-85).
//!
//! It stands around the routes that change something, so that no handler knows of it, and costs
//! a request without the header nothing. Who proves no identity gets to none of it: the route
//! refuses them as ever, and nothing is stored.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, response};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::identity::{Caller, IdentityRules};
use super::problem::{Code, OutcomeName, Problem};
use super::request::body_of;
use crate::crypto::answer::{AnswerError, AnswerKey, AnswerVault};
use crate::crypto::hash::{digest_of_parts, random_id};
use crate::domain::idempotency::{Earlier, RequestKey, Run, SealedAnswer};
use crate::domain::ids::RunId;
use crate::ports::{Clock, Entropy, Idempotency, Registry};

/// The header by which a caller names a change.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The header of an answer that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const MAX_KEY: usize = 128;
/// When to ask again for what is being done: most of it takes less.
const SOON: Duration = Duration::from_secs(1);

/// What routes need to be asked twice and do once.
#[derive(Clone)]
pub struct Once {
    /// What was asked before.
    pub runs: Arc<dyn Idempotency>,
    /// API keys.
    pub registry: Arc<dyn Registry>,
    /// Seals the answers that are kept.
    pub answers: Arc<AnswerVault>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Claim names.
    pub identity: IdentityRules,
}

impl Once {
    /// The same routes, which take `Idempotency-Key` wherever they change something.
    pub fn around(self, routes: Router) -> Router {
        routes.route_layer(from_fn_with_state(self, once))
    }

    async fn answer(&self, request: Request, next: Next) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let caller = Caller::of(&parts, &self.identity, &*self.registry).await?;
        let Some(caller) = caller else {
            return Ok(next.run(Request::from_parts(parts, body)).await);
        };
        let key = key_in(&parts.headers)?;
        let body = body_of(Request::new(body)).await?;
        let run = self.run_of(&caller, &key, &parts, &body)?;
        let kept = self.begin(&run).await?;
        if let Some(kept) = kept {
            return self.repeat(&caller, &run, &kept).await;
        }
        // Before anything is done: an answer that could not be kept would be given once.
        let key = match self.answers.key(&run.request).await {
            Ok(key) => key,
            Err(error) => {
                self.give_up(&run).await;
                return Err(error.into());
            }
        };
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        // An answer that asks for another try is not the last word on the request.
        let again = response.headers().contains_key(header::RETRY_AFTER);
        if response.status().is_server_error() || again {
            self.give_up(&run).await;
            return Ok(response);
        }
        self.keep(&caller, &run, key, response).await
    }

    fn run_of(
        &self,
        caller: &Caller,
        key: &str,
        parts: &Parts,
        body: &Bytes,
    ) -> Result<Run, Problem> {
        let (method, path) = (parts.method.as_str(), parts.uri.path());
        let names = caller.names.iter().map(String::as_str);
        let request = [caller.workspace.as_str(), method, path, key].into_iter();
        let request = RequestKey(digest_of_parts(request.chain(names).map(str::as_bytes)));
        let version = parts.headers.get(header::IF_MATCH);
        let version = version.map(HeaderValue::as_bytes).unwrap_or_default();
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let asked = digest_of_parts([query, version, body]);
        let id = RunId::parse(random_id(&*self.entropy))?;
        Ok(Run::begin(request, asked, id, self.clock.now()))
    }

    /// Begins the run, unless the request is answered: then its answer.
    async fn begin(&self, run: &Run) -> Result<Option<SealedAnswer>, Problem> {
        let earlier = self.runs.begin(run).await?;
        match earlier.found_by(run, self.clock.now()) {
            Earlier::Itself => Ok(None),
            Earlier::Over if self.runs.take_over(run, &earlier).await? => Ok(None),
            Earlier::Over | Earlier::Running => Err(Problem::new(
                Code::IdempotencyInProgress,
                "the first request with this Idempotency-Key is not answered yet",
            )
            .retry_after(SOON)),
            Earlier::OtherRequest => Err(Problem::new(
                Code::IdempotencyKeyReused,
                "another request had this Idempotency-Key; take a new one for each change",
            )),
            Earlier::Answered(answer) => Ok(Some(answer.clone())),
        }
    }

    /// The answer that was given before.
    async fn repeat(
        &self,
        caller: &Caller,
        run: &Run,
        kept: &SealedAnswer,
    ) -> Result<Response, Problem> {
        let opening = self.answers.open(&caller.workspace, &run.request, kept);
        let plain = opening.await?;
        Kept::read(plain.expose()).ok_or_else(|| {
            tracing::error!("a kept answer cannot be read");
            Problem::new(Code::Internal, "the fault has been recorded")
        })
    }

    /// Keeps the answer. It is given whether or not that succeeds: what was asked is done.
    async fn keep(
        &self,
        caller: &Caller,
        run: &Run,
        key: AnswerKey,
        response: Response,
    ) -> Result<Response, Problem> {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.map_err(|error| {
            tracing::error!(error = %error, "an answer broke off");
            Problem::new(Code::Internal, "the fault has been recorded")
        })?;
        let plain = Zeroizing::new(Kept::write(&parts, &body));
        let answers = &self.answers;
        let sealed = answers.seal(key, &caller.workspace, &run.request, &plain);
        match self.runs.finish(run, &sealed).await {
            Ok(true) => {}
            Ok(false) => tracing::error!("a request took longer than it may and was done again"),
            Err(error) => tracing::error!(error = %error, "an answer was not kept"),
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    /// A run that is not given up is over by itself a minute later.
    async fn give_up(&self, run: &Run) {
        if let Err(error) = self.runs.give_up(run, self.clock.now()).await {
            tracing::warn!(error = %error, "a request was not given up");
        }
    }
}

async fn once(State(once): State<Once>, request: Request, next: Next) -> Response {
    if request.method().is_safe() || !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    let answered = once.answer(request, next).await;
    answered.unwrap_or_else(IntoResponse::into_response)
}

fn key_in(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let only = values.next().filter(|_| values.next().is_none());
    only.and_then(|value| value.to_str().ok())
        .filter(|key| (1..=MAX_KEY).contains(&key.len()))
        .filter(|key| key.bytes().all(|byte| matches!(byte, b' '..=b'~')))
        .map(str::to_owned)
        .ok_or_else(|| {
            let rule = format!("must be one value of 1 to {MAX_KEY} printable ASCII characters");
            Problem::field(IDEMPOTENCY_KEY.as_str(), rule)
        })
}

/// An answer as it is sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Kept {
    fn write(parts: &response::Parts, body: &Bytes) -> Vec<u8> {
        // The length is told anew, by who sends the answer.
        let headers = parts.headers.iter();
        let headers = headers.filter(|(name, _)| *name != header::CONTENT_LENGTH);
        let kept = Self {
            status: parts.status.as_u16(),
            headers: headers
                .filter_map(|(name, value)| {
                    Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
                })
                .collect(),
            body: STANDARD.encode(body),
        };
        serde_json::to_vec(&kept).expect("strings serialize")
    }

    fn read(plain: &[u8]) -> Option<Response> {
        let kept: Self = serde_json::from_slice(plain).ok()?;
        let body = STANDARD.decode(&kept.body).ok()?;
        let status: StatusCode = kept.status.try_into().ok()?;
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.clear();
        for (name, value) in kept.headers {
            let name = HeaderName::try_from(name).ok()?;
            headers.append(name, HeaderValue::try_from(value).ok()?);
        }
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        response.extensions_mut().insert(OutcomeName("replayed"));
        Some(response)
    }
}

impl From<AnswerError> for Problem {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Kms(error) => error.into(),
            AnswerError::Sealed(error) => {
                tracing::error!(error = %error, "a kept answer does not open");
                Self::new(Code::Internal, "the fault has been recorded")
            }
        }
    }
}
