//! Connects users: a code from the authorization server, a session that waits for it, and
//! oauth-complete's own router to redeem it and to store what it brings.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use lambda_runtime::{Context, LambdaEvent};
use oauth_complete::{State, router};
use serde::Deserialize;
use serde_json::{Value, json};
use shared::crypto::hash::{hash, random_id, random_secret};
use shared::domain::app::{AccountChange, Completion};
use shared::domain::connector::Connector;
use shared::domain::ids::{AppId, ConnectorId, SessionId, UserId, WorkspaceId};
use shared::domain::provider::ResponseMode;
use shared::domain::secret::Secret;
use shared::domain::session::{
    AuthorizationSession, CODE_LIFETIME, Display, Returned, SessionToken, Stage, Starter,
};
use shared::http::idempotency::Once;
use shared::id_token::IdTokens;
use shared::ports::SessionField;
use shared::runtime::lambda;
use shared::runtime::wiring::Wiring;
use testkit::loopback;
use url::Url;

/// How many users connect at a time.
const AT_ONCE: usize = 8;

/// Who is to be connected to what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    workspace: WorkspaceId,
    app: AppId,
    return_url: Url,
    connections: Vec<Wanted>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    user: UserId,
    connector: ConnectorId,
    authorize_url: Url,
    /// The user's account at the provider.
    account: String,
}

/// Connects everybody in the plan. The environment is that of the deployed oauth-complete.
pub(crate) async fn all(plan: &Path) {
    let plan: Plan = crate::read(plan);
    let wiring = Wiring::start().await.expect("the function's environment");
    let store = wiring.store();
    let state = State {
        registry: Arc::clone(&store) as _,
        sessions: Arc::clone(&store) as _,
        connections: Arc::clone(&store) as _,
        due: Arc::clone(&store) as _,
        jobs: wiring.bus(),
        audit: Arc::clone(&store) as _,
        keys: wiring.kms(),
        vault: wiring.vault(&store),
        providers: wiring.providers(),
        id_tokens: Arc::new(IdTokens::new(wiring.documents(), Arc::clone(&wiring.clock))),
        publisher: wiring.publisher(&store),
        clock: Arc::clone(&wiring.clock),
        entropy: Arc::clone(&wiring.entropy),
        identity: wiring.config.identity.clone(),
        public_url: wiring.config.public_url.clone(),
        address_rules: wiring.config.address_rules,
    };
    let once = wiring.once(&store, "oauth-complete");
    let browser = loopback::client();
    stream::iter(&plan.connections)
        .map(|wanted| connect(&state, &once, &browser, &plan, wanted))
        .buffer_unordered(AT_ONCE)
        .collect::<()>()
        .await;
}

async fn connect(
    state: &State,
    once: &Once,
    browser: &reqwest::Client,
    plan: &Plan,
    wanted: &Wanted,
) {
    let found = state.registry.connector(&plan.workspace, &wanted.connector);
    let connector = found.await.expect("the table answers");
    let connector = connector.expect("the connector was made");
    let code = code_of(state, browser, &connector, wanted).await;
    let completion = wait_for(state, plan, &connector, wanted, &code).await;
    let answer = lambda::answer(
        router(state.clone(), once.clone()),
        completing(state, plan, wanted, &completion),
    );
    let answer = answer.await.expect("the router answers");
    assert_eq!(answer["statusCode"], 200, "{}: {answer}", wanted.account);
}

/// The account consents; the code that the browser would bring back.
async fn code_of(
    state: &State,
    browser: &reqwest::Client,
    connector: &Connector,
    wanted: &Wanted,
) -> Secret {
    let mut url = wanted.authorize_url.clone();
    let redirect_uri = connector.redirect_uri(&state.public_url);
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &connector.client_id)
        .append_pair("redirect_uri", redirect_uri.as_str())
        .append_pair("scope", "read write")
        .append_pair("login_hint", &wanted.account);
    let sent = browser.get(url).send().await.expect("the provider answers");
    let back = sent.headers()["location"].to_str().expect("a location");
    let back = Url::parse(back).expect("a URL");
    let code = back.query_pairs().find(|(name, _)| name == "code");
    Secret::new(code.expect("a code").1)
}

/// What oauth-start and oauth-callback leave behind: a session that has its code. Answers the
/// completion code.
async fn wait_for(
    state: &State,
    plan: &Plan,
    connector: &Connector,
    wanted: &Wanted,
    code: &Secret,
) -> SessionToken {
    let id = SessionId::parse(random_id(&*state.entropy)).expect("base64url is an id");
    let secret = random_secret(&*state.entropy);
    let sealed = state.keys.seal_for_session(&id, SessionField::Code, code);
    let now = state.clock.now();
    let session = AuthorizationSession {
        id: id.clone(),
        workspace: plan.workspace.clone(),
        app: plan.app.clone(),
        starter: Starter::User(wanted.user.clone()),
        connector: connector.id.clone(),
        alias: None,
        connector_generation: connector.generation,
        issuer: None,
        iss_promised: false,
        return_url: plan.return_url.clone(),
        response_mode: ResponseMode::Query,
        callback: Default::default(),
        config: Default::default(),
        display: Display::Redirect,
        starter_label: None,
        completion: Completion::App,
        account_change: AccountChange::Refuse,
        cookie: None,
        login_hint: None,
        created_at: now.before(Duration::from_secs(1)),
        expires_at: now.after(CODE_LIFETIME),
        stage: Stage::Returned(Returned {
            completion: hash(&secret),
            code: sealed.await.expect("KMS answers"),
            verifier: None,
            nonce: None,
            kept: Default::default(),
        }),
    };
    let added = state.sessions.add(&session).await;
    added.expect("the table answers");
    SessionToken {
        session: id,
        secret,
    }
}

/// The app's call as the gateway hands it over, with the user's claims that it has verified.
fn completing(
    state: &State,
    plan: &Plan,
    wanted: &Wanted,
    completion: &SessionToken,
) -> LambdaEvent<Value> {
    let path = "/v1/me/connections/complete";
    let names = &state.identity.claims;
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "",
        "headers": {"content-type": "application/json"}, "isBase64Encoded": false,
        "body": json!({"code": completion.to_secret().expose()}).to_string(),
        "requestContext": {
            "accountId": "000000000000", "apiId": "fire", "stage": "$default",
            "requestId": "fire", "timeEpoch": 0,
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1",
                     "sourceIp": "127.0.0.1", "userAgent": "fire"},
            "authorizer": {"jwt": {"scopes": null, "claims": {
                "sub": wanted.user.as_str(),
                names.workspace.as_str(): plan.workspace.as_str(),
                names.app.as_str(): plan.app.as_str(),
            }}},
        },
    });
    LambdaEvent::new(event, Context::default())
}
