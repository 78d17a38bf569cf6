//! `POST /oauth/callback/{connector_id}`: the return of providers that post a form
//! (`response_mode=form_post`), in two steps (H-13).
//!
//! What the provider's page posts comes from another site, so without the flow's cookie. It is
//! answered with a page of ours that posts the same fields again, marked; only that one goes up
//! the ladder. A POST that is not marked never does, whatever cookie it has.

use axum::extract::{self, Extension, Path};
use axum::response::Response;
use http::HeaderMap;
use shared::domain::provider::ResponseMode;
use shared::http::page::{BOUNCED, Bounce, NOT_OURS, Page, same_origin};
use shared::http::problem::Problem;
use shared::http::request::{Form, Query, RequestFacts};

use crate::State;
use crate::callback::{Answer, climb, expecting};

/// What of an authorization response is passed on (RFC 6749 section 4.1.2, RFC 9207) beside the
/// state, the code and what is kept with it. Not what is said about an error: no page of ours
/// carries a provider's sentences, not even hidden (H-09).
const FIELDS: [&str; 2] = ["iss", "error"];

pub(crate) async fn posted(
    extract::State(state): extract::State<State>,
    Path(connector): Path<String>,
    headers: HeaderMap,
    facts: Option<Extension<RequestFacts>>,
    form: Result<Form, Problem>,
) -> Result<Response, Page> {
    let Form(params) = form.map_err(|_| NOT_OURS)?;
    let marked = params.get(BOUNCED).is_some();
    if marked {
        same_origin(&headers)?;
    }
    let answer = Answer::read(&state, &connector, params, ResponseMode::FormPost).await?;
    if marked {
        climb(&state, &headers, facts, answer).await
    } else {
        bounce(&answer)
    }
}

fn bounce(answer: &Answer) -> Result<Response, Page> {
    expecting(&answer.session, &answer.token)?;
    let session = &answer.session;
    let params: &Query = &answer.params;
    let callback = &session.callback;
    let values = callback.values.values().map(|value| value.param.as_str());
    let fields = ["state", callback.code_param.as_str()].into_iter();
    let fields = fields.chain(FIELDS).chain(values);
    let page = Bounce {
        action: format!("/oauth/callback/{}", session.connector),
        fields: fields
            .filter_map(|name| Some((name, params.get(name)?)))
            .collect(),
    };
    Ok(page.answer(&session.return_url))
}
