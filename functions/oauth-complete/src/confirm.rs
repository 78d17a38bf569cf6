//! `/oauth/confirm`: whoever started finishes on our page, for apps that cannot complete by
//! themselves.
//!
//! What proves the person here is the person: the page names who started, in the browser that was
//! sent to the provider. A form of another site does nothing: it has no completion code, and the
//! flow's cookie, which is SameSite=Lax, does not come with it.

use axum::extract::{self, Extension};
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use shared::catalogue::{self, Account};
use shared::domain::app::{App, Completion};
use shared::domain::audit::Origin;
use shared::domain::ending::Ending;
use shared::domain::handout::{missing_scopes, outlives_its_token};
use shared::domain::ids::ConnectionId;
use shared::domain::session::{AuthorizationSession, Returned, SessionToken, Stage};
use shared::domain::subject::Subject;
use shared::http::page::{
    Confirm, FlowCookie, Granted, NOT_OURS, Page, Told, UNAVAILABLE, WRONG_MODE, Wait, leave,
    returnable, same_browser, same_origin, unavailable,
};
use shared::http::problem::Problem;
use shared::http::request::{Form, Query, RequestFacts};

use crate::State;
use crate::redeem::{
    Completing, Connected, Failed, completing, connector, found, note_failed, redeem,
};

/// `GET`: asks.
pub(crate) async fn show(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
    facts: Option<Extension<RequestFacts>>,
    query: Result<Query, Problem>,
) -> Result<Response, Page> {
    let query = query.map_err(|_| NOT_OURS)?;
    let flow = Flow::find(&state, &headers, facts, query.get("code")).await?;
    match flow.at(&state)? {
        At::Asked(_) => flow.ask(&state).await,
        At::Elsewhere => Ok(flow.wait()),
        At::Over(end) => flow.over(&state, end).await,
    }
}

/// `POST`: does what was pressed.
pub(crate) async fn decide(
    extract::State(state): extract::State<State>,
    headers: HeaderMap,
    facts: Option<Extension<RequestFacts>>,
    form: Result<Form, Problem>,
) -> Result<Response, Page> {
    same_origin(&headers)?;
    let Form(form) = form.map_err(|_| NOT_OURS)?;
    let flow = Flow::find(&state, &headers, facts, form.get("code")).await?;
    match (form.get("decision"), flow.at(&state)?) {
        // Pressed twice, or after the back button: the same end (C7).
        (Some("connect" | "cancel"), At::Over(end)) => flow.over(&state, end).await,
        (Some("connect"), At::Elsewhere) => Ok(flow.wait()),
        (Some("connect"), At::Asked(returned)) => flow.connect(&state, returned).await,
        (Some("cancel"), At::Asked(_) | At::Elsewhere) => flow.cancel(&state).await,
        _ => Err(NOT_OURS),
    }
}

/// A flow that is finished on our page, in the browser it began in.
struct Flow {
    session: AuthorizationSession,
    token: SessionToken,
    app: App,
    /// Nobody has signed in here: whoever sits at the browser says to be who started.
    origin: Origin,
}

/// How far it is.
enum At<'a> {
    Asked(&'a Returned),
    Elsewhere,
    Over(End<'a>),
}

enum End<'a> {
    Connected(&'a ConnectionId),
    Not(Ending),
}

impl Flow {
    async fn find(
        state: &State,
        headers: &HeaderMap,
        facts: Option<Extension<RequestFacts>>,
        code: Option<&str>,
    ) -> Result<Self, Page> {
        let token = code.and_then(SessionToken::parse).ok_or(NOT_OURS)?;
        let session = read(state, &token).await?;
        same_browser(headers, &session)?;
        if session.completion != Completion::Screen {
            return Err(WRONG_MODE);
        }
        let app = returnable(&*state.registry, &session).await?;
        let origin = Origin {
            actor: session.starter.actor(),
            request_id: facts.and_then(|facts| facts.known().request_id),
        };
        Ok(Self {
            session,
            token,
            app,
            origin,
        })
    }

    fn at(&self, state: &State) -> Result<At<'_>, Page> {
        if let Stage::Ended(ending) = self.session.stage {
            return Ok(At::Over(End::Not(ending)));
        }
        let completing = completing(&self.session, &self.token).ok_or(NOT_OURS)?;
        let expired = self.session.is_expired(state.clock.now());
        Ok(match completing {
            Completing::Done(connection) => At::Over(End::Connected(connection)),
            _ if expired => At::Over(End::Not(Ending::Expired)),
            Completing::Now(returned) => At::Asked(returned),
            Completing::Elsewhere => At::Elsewhere,
        })
    }

    async fn ask(&self, state: &State) -> Result<Response, Page> {
        let found = connector(state, &self.session).await;
        let found = found.map_err(unavailable)?;
        let usable = found.filter(|connector| connector.serves(&self.session.app));
        let resolved = usable.and_then(|connector| {
            let told = Account::Told(&self.session.config);
            let rules = state.address_rules;
            let provider = catalogue::of_connector(&connector, told, rules).ok()?;
            Some((connector, provider))
        });
        let Some((connector, provider)) = resolved else {
            let ending = Ending::ConnectorChanged;
            let ended = state.sessions.end(&self.session.id, ending).await;
            ended.map_err(unavailable)?;
            note_failed(state, &self.session, ending, &self.origin).await;
            return Ok(self.leave_without(ending));
        };
        let code = self.token.to_secret();
        let page = Confirm {
            app: &self.app.name,
            shared: self.session.starter.subject() == Subject::App,
            starter: self.session.starter.id().as_str(),
            starter_label: self.session.starter_label.as_deref(),
            provider: &provider.name,
            connector: &connector.name,
            code: code.expose(),
        };
        Ok(page.answer(&self.session.return_url))
    }

    async fn connect(&self, state: &State, returned: &Returned) -> Result<Response, Page> {
        match redeem(state, &self.session, returned, &self.origin).await {
            Ok(connected) => Ok(self.leave_with(&connected)),
            Err(Failed::Over(ending, _)) => Ok(self.leave_without(ending)),
            Err(Failed::Elsewhere) => Ok(self.wait()),
            Err(Failed::NotYet(_)) => Err(UNAVAILABLE),
        }
    }

    /// The code is thrown away; tokens that are on their way are revoked. Whoever was faster and
    /// connected is told so.
    async fn cancel(self, state: &State) -> Result<Response, Page> {
        let ended = state.sessions.end(&self.session.id, Ending::Cancelled);
        ended.await.map_err(unavailable)?;
        let session = read(state, &self.token).await?;
        let flow = Self { session, ..self };
        match flow.at(state)? {
            At::Over(end) => {
                if let End::Not(ending) = end {
                    note_failed(state, &flow.session, ending, &flow.origin).await;
                }
                flow.over(state, end).await
            }
            At::Asked(_) | At::Elsewhere => Err(UNAVAILABLE),
        }
    }

    fn wait(&self) -> Response {
        let code = self.token.to_secret();
        Wait {
            code: code.expose(),
        }
        .into_response()
    }

    /// Where it has come to before (C7).
    async fn over(&self, state: &State, end: End<'_>) -> Result<Response, Page> {
        let id = match end {
            End::Not(ending) => return Ok(self.leave_without(ending)),
            End::Connected(id) => id,
        };
        let connected = found(state, &self.session, id).await.map_err(unavailable)?;
        // Disconnected since, it has been connected all the same.
        let gone = Granted {
            connection: id,
            missing_scopes: false,
            refreshable: true,
        };
        Ok(connected.map_or_else(
            || self.leave(&Told::Connected(gone)),
            |connected| self.leave_with(&connected),
        ))
    }

    fn leave_with(&self, connected: &Connected) -> Response {
        let Connected {
            connector,
            connection,
        } = connected;
        self.leave(&Told::Connected(Granted {
            connection: &connection.id,
            missing_scopes: !missing_scopes(connector, connection).is_empty(),
            refreshable: outlives_its_token(connection),
        }))
    }

    fn leave_without(&self, ending: Ending) -> Response {
        self.leave(&Told::Ended(ending))
    }

    /// The cookie stays: whoever presses again is to come to the same end.
    fn leave(&self, told: &Told<'_>) -> Response {
        leave(&self.session, told, &FlowCookie::Keep)
    }
}

async fn read(state: &State, token: &SessionToken) -> Result<AuthorizationSession, Page> {
    let session = state.sessions.session(&token.session).await;
    session.map_err(unavailable)?.ok_or(NOT_OURS)
}
