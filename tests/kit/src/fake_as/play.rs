//! Performs one step of the script on one request.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::Value;

use super::call::{Answer, Call};
use super::script::Behaviour;
use super::server::{Admitted, Flight, Server};
use super::token::Handle;
use crate::loopback::Line;

pub(crate) async fn play(
    server: &Arc<Server>,
    line: Line,
    call: Call,
    admitted: Admitted,
    handle: Handle,
) -> Response {
    let Admitted {
        number,
        behaviour,
        flight,
    } = admitted;
    let work = Work {
        server: Arc::clone(server),
        call,
        handle,
    };
    let response = match behaviour {
        None => work.handle().into_response(),
        Some(behaviour) => misbehave(behaviour, work, line, flight).await,
    };
    server.answered(number, response.status().as_u16());
    response
}

/// A request that is yet to be handled.
struct Work {
    server: Arc<Server>,
    call: Call,
    handle: Handle,
}

impl Work {
    fn handle(&self) -> Answer {
        let now = self.server.now();
        (self.handle)(&mut self.server.lock().state, &self.call, now)
    }

    /// Handles the request once `moment` has come. The task outlives the connection: a
    /// provider that got the request late does not know that nobody listens any more.
    async fn handle_after(self, moment: impl Future<Output = ()> + Send + 'static) -> Response {
        let late = tokio::spawn(async move {
            moment.await;
            self.handle()
        });
        late.await
            .expect("handling a request does not panic")
            .into_response()
    }
}

async fn misbehave(behaviour: Behaviour, work: Work, line: Line, flight: Flight) -> Response {
    match behaviour {
        Behaviour::Respond {
            status,
            headers,
            body,
        } => respond(status, headers, body),
        Behaviour::OAuthError { status, code } => {
            Answer::oauth_error(code_of(status), &code).into_response()
        }
        Behaviour::RetryAfter { status, seconds } => {
            let answer = Answer::oauth_error(code_of(status), "temporarily_unavailable");
            match seconds {
                Some(s) => answer
                    .with(header::RETRY_AFTER, &s.to_string())
                    .into_response(),
                None => answer.into_response(),
            }
        }
        Behaviour::Redirect { to } => Answer::empty(StatusCode::TEMPORARY_REDIRECT)
            .with(header::LOCATION, &to)
            .into_response(),
        Behaviour::Garbage => {
            let html = "<!doctype html><title>Sign in to the network</title><p>Welcome.";
            let kind = (
                "content-type".to_owned(),
                "text/html; charset=utf-8".to_owned(),
            );
            respond(200, vec![kind], html.to_owned())
        }
        Behaviour::HugeBody { bytes } => huge(bytes, flight),
        Behaviour::RefuseBeforeProcessing => cut(line, flight).await,
        Behaviour::ProcessThenRespond {
            status,
            headers,
            body,
        } => {
            work.handle();
            respond(status, headers, body)
        }
        Behaviour::Amend { set, remove } => {
            let mut answer = work.handle();
            if let Ok(Value::Object(mut members)) = serde_json::from_str(&answer.body) {
                remove.iter().for_each(|name| drop(members.remove(name)));
                members.extend(set);
                answer.body = Value::Object(members).to_string();
            }
            answer.into_response()
        }
        Behaviour::TruncatedJson => {
            let mut answer = work.handle();
            answer
                .body
                .truncate(answer.body.floor_char_boundary(answer.body.len() / 2));
            answer.into_response()
        }
        Behaviour::ProcessThenDrop => {
            work.handle();
            cut(line, flight).await
        }
        Behaviour::ProcessThenHold => hold(work, flight),
        Behaviour::SlowDrip { bytes, interval_ms } => drip(
            work.handle(),
            bytes,
            Duration::from_millis(interval_ms),
            flight,
        ),
        Behaviour::Hang => {
            let hold = work.server.holds.hold();
            work.handle_after(hold.released()).await
        }
        Behaviour::Delay { ms } => {
            work.handle_after(tokio::time::sleep(Duration::from_millis(ms)))
                .await
        }
    }
}

fn code_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A scripted answer; JSON unless its headers say otherwise.
fn respond(status: u16, headers: Vec<(String, String)>, body: String) -> Response {
    let mut answer = Answer {
        status: code_of(status),
        headers: Vec::new(),
        body,
    };
    for (name, value) in headers {
        if let Ok(name) = name.parse::<HeaderName>() {
            answer = answer.with(name, &value);
        }
    }
    if !answer
        .headers
        .iter()
        .any(|(name, _)| name == header::CONTENT_TYPE)
    {
        answer = answer.with(header::CONTENT_TYPE, "application/json");
    }
    answer.into_response()
}

/// Ends the connection. The server drops this future as soon as it notices.
async fn cut(line: Line, flight: Flight) -> Response {
    drop(flight);
    line.cut();
    pending().await
}

fn hold(work: Work, flight: Flight) -> Response {
    let answer = work.handle();
    let (first, rest) = answer
        .body
        .split_at(answer.body.floor_char_boundary(answer.body.len() / 2));
    let (first, rest) = (Bytes::from(first.to_owned()), Bytes::from(rest.to_owned()));
    let hold = work.server.holds.hold();
    let rest = stream::once(async move {
        hold.released().await;
        drop(flight);
        Ok::<_, Infallible>(rest)
    });
    let body = stream::once(async move { Ok(first) }).chain(rest);
    with_body(answer, Body::from_stream(body))
}

fn drip(answer: Answer, bytes: usize, interval: Duration, flight: Flight) -> Response {
    let pieces: Vec<_> = answer
        .body
        .as_bytes()
        .chunks(bytes.max(1))
        .map(<[u8]>::to_vec)
        .collect();
    let body = stream::unfold(
        (pieces.into_iter(), flight),
        move |(mut pieces, flight)| async move {
            let piece = pieces.next()?;
            tokio::time::sleep(interval).await;
            Some((Ok::<_, Infallible>(piece), (pieces, flight)))
        },
    );
    with_body(answer, Body::from_stream(body))
}

/// JSON that promises an access token and goes on for as long as it was told.
fn huge(bytes: u64, flight: Flight) -> Response {
    const OPENING: &[u8] = b"{\"access_token\":\"";
    static PIECE: [u8; 16 * 1024] = [b'a'; 16 * 1024];
    let body = stream::unfold((0_u64, flight), move |(sent, flight)| async move {
        let left = usize::try_from(bytes - sent).unwrap_or(usize::MAX);
        let piece = if sent == 0 { OPENING } else { PIECE.as_slice() };
        let piece = Bytes::from_static(&piece[..piece.len().min(left)]);
        let sent = sent + piece.len() as u64;
        (!piece.is_empty()).then_some((Ok::<_, Infallible>(piece), (sent, flight)))
    });
    let kind = "application/json".to_owned();
    let headers = vec![(header::CONTENT_TYPE, kind)];
    let answer = Answer {
        status: StatusCode::OK,
        headers,
        body: String::new(),
    };
    sized(
        answer.into_response().map(|_| Body::from_stream(body)),
        bytes,
    )
}

/// The answer with its body arriving as `body` does, under the length it was to have.
fn with_body(answer: Answer, body: Body) -> Response {
    let length = answer.body.len() as u64;
    sized(answer.into_response().map(|_| body), length)
}

fn sized(mut response: Response, length: u64) -> Response {
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}
