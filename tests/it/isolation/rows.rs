//! Every route of the gateway, and how it is asked.

use serde_json::json;

use crate::world::{Call, RETURN};

/// What a call names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) connector: String,
    /// A connector whose account everyone in the app uses.
    pub(crate) shared: String,
    pub(crate) connection: String,
    pub(crate) app: String,
    pub(crate) key: String,
    pub(crate) user: String,
}

/// What may be named, and be somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    /// A connector as its workspace has it.
    Connector,
    /// A connector as an app has it.
    ConnectorOfApp,
    /// A connector of the other kind as its workspace has it.
    SharedConnector,
    /// A user's connection, named by its connector.
    Connection,
    /// A connection, named by its id.
    ConnectionId,
    App,
    Key,
    User,
}

pub(crate) type MakeCall = fn(&Named) -> Call;

/// What a route is about.
pub(super) enum About {
    /// Things that are named. The caller's own get this status.
    Things(&'static [Thing], MakeCall, u64),
    /// A thing that is made where none is: in the caller's own workspace, whoever else has one of
    /// this name.
    Made(Thing, MakeCall, u64),
    /// A thing whose id is one workspace's for good: to everybody else it is taken.
    Reserved(Thing, MakeCall),
    /// A list of what is the caller's own.
    Own(MakeCall),
    /// What has happened to what is the caller's own.
    Trail(MakeCall),
    /// The same for everybody.
    Everybody(MakeCall),
    /// A secret of one flow, known to whoever was given it; `tests/it/connect.rs`,
    /// `confirm.rs`, `window.rs`, `form_post.rs` and `shared_accounts.rs` have what that is good
    /// for.
    Flow,
}

fn admin(call: Call) -> Call {
    call.admin_of("acme").header("if-match", "\"1\"")
}

fn backend(call: Call) -> Call {
    // Replaced by the key of the world that the call is sent to.
    call.bearer("KEY")
}

/// A route of Base44's SDK.
fn base44(app: &str, parts: &[&str]) -> String {
    format!("/api/apps/{app}/{}", parts.join("/"))
}

fn at(parts: &[&str]) -> String {
    format!("/v1/{}", parts.join("/"))
}

/// A row for each route. A route without one fails `h20_every_route_has_a_row`.
pub(super) const ROWS: &[(&str, About)] = &[
    (
        "GET /openapi.json",
        About::Everybody(|_| Call::get("/openapi.json")),
    ),
    (
        "GET /v1/providers",
        About::Everybody(|_| Call::get("/v1/providers")),
    ),
    (
        "GET /v1/providers/{provider}",
        About::Everybody(|_| Call::get("/v1/providers/google")),
    ),
    (
        "POST /v1/connectors",
        About::Everybody(|_| Call::post("/v1/connectors").json(&json!({}))),
    ),
    (
        "GET /v1/connectors",
        About::Own(|_| admin(Call::get("/v1/connectors"))),
    ),
    (
        "GET /v1/connectors/{connector_id}",
        About::Things(
            &[Thing::Connector],
            |it| admin(Call::get(&at(&["connectors", &it.connector]))),
            200,
        ),
    ),
    (
        "PUT /v1/connectors/{connector_id}",
        About::Reserved(Thing::Connector, |it| {
            let body = json!({
                "name": "Mine now", "provider": "google", "client_id": "client",
                "scopes": ["openid"],
            });
            admin(Call::put(&at(&["connectors", &it.connector]))).json(&body)
        }),
    ),
    (
        "PATCH /v1/connectors/{connector_id}",
        About::Things(
            &[Thing::Connector],
            |it| {
                let patch = Call::patch(&at(&["connectors", &it.connector]));
                admin(patch).json(&json!({"name": "Mine now"}))
            },
            200,
        ),
    ),
    (
        "DELETE /v1/connectors/{connector_id}",
        About::Things(
            &[Thing::Connector],
            |it| {
                let path = at(&["connectors", &it.connector]);
                admin(Call::delete(&format!("{path}?confirm=Files")))
            },
            202,
        ),
    ),
    (
        "POST /v1/connectors/{connector_id}/scope-plan",
        About::Things(
            &[Thing::Connector],
            |it| {
                let post = Call::post(&at(&["connectors", &it.connector, "scope-plan"]));
                admin(post).json(&json!({"scopes": ["read"]}))
            },
            200,
        ),
    ),
    (
        "POST /v1/connectors/{connector_id}/disable",
        About::Things(
            &[Thing::Connector],
            |it| admin(Call::post(&at(&["connectors", &it.connector, "disable"]))),
            200,
        ),
    ),
    (
        "POST /v1/connectors/{connector_id}/enable",
        About::Things(
            &[Thing::Connector],
            |it| admin(Call::post(&at(&["connectors", &it.connector, "enable"]))),
            200,
        ),
    ),
    (
        "POST /v1/revocations",
        About::Things(
            &[Thing::Connector],
            |it| {
                let body = json!({"connector_id": it.connector, "confirm": "acme"});
                admin(Call::post("/v1/revocations")).json(&body)
            },
            202,
        ),
    ),
    (
        "POST /v1/connectors/{connector_id}/connect",
        About::Things(
            &[Thing::SharedConnector, Thing::App],
            |it| {
                let body = json!({"app_id": it.app, "return_url": RETURN});
                let path = at(&["connectors", &it.shared, "connect"]);
                admin(Call::post(&path)).json(&body)
            },
            201,
        ),
    ),
    (
        "GET /v1/connectors/{connector_id}/connections",
        About::Things(
            &[Thing::Connector],
            |it| {
                admin(Call::get(&at(&[
                    "connectors",
                    &it.connector,
                    "connections",
                ])))
            },
            200,
        ),
    ),
    (
        "DELETE /v1/connectors/{connector_id}/connections/{connection_id}",
        About::Things(
            &[Thing::ConnectionId],
            |it| {
                let path = at(&["connectors", &it.connector, "connections", &it.connection]);
                admin(Call::delete(&path))
            },
            200,
        ),
    ),
    (
        "GET /v1/apps/{app_id}",
        About::Things(
            &[Thing::App],
            |it| admin(Call::get(&at(&["apps", &it.app]))),
            200,
        ),
    ),
    (
        "PUT /v1/apps/{app_id}",
        About::Made(
            Thing::App,
            |it| {
                let body = json!({"name": "Shop", "return_urls": [RETURN]});
                admin(Call::put(&at(&["apps", &it.app]))).json(&body)
            },
            200,
        ),
    ),
    (
        "DELETE /v1/apps/{app_id}",
        About::Things(
            &[Thing::App],
            |it| {
                let path = at(&["apps", &it.app]);
                admin(Call::delete(&format!("{path}?confirm=Shop")))
            },
            202,
        ),
    ),
    (
        "POST /v1/apps/{app_id}/keys",
        About::Things(
            &[Thing::App],
            |it| {
                let post = Call::post(&at(&["apps", &it.app, "keys"]));
                admin(post).json(&json!({"name": "mine"}))
            },
            201,
        ),
    ),
    (
        "GET /v1/apps/{app_id}/keys",
        About::Things(
            &[Thing::App],
            |it| admin(Call::get(&at(&["apps", &it.app, "keys"]))),
            200,
        ),
    ),
    (
        "DELETE /v1/apps/{app_id}/keys/{key_id}",
        About::Things(
            &[Thing::Key],
            |it| admin(Call::delete(&at(&["apps", &it.app, "keys", &it.key]))),
            204,
        ),
    ),
    (
        "POST /v1/me/connections",
        About::Things(
            &[Thing::ConnectorOfApp],
            |it| {
                let body = json!({"connector_id": it.connector, "return_url": RETURN});
                Call::post("/v1/me/connections").user("alice").json(&body)
            },
            201,
        ),
    ),
    (
        "GET /v1/me/connectors",
        About::Own(|_| Call::get("/v1/me/connectors").user("alice")),
    ),
    (
        "DELETE /v1/me/connections/{connector_id}",
        About::Things(
            &[Thing::ConnectorOfApp, Thing::Connection],
            |it| Call::delete(&at(&["me", "connections", &it.connector])).user("alice"),
            200,
        ),
    ),
    (
        "GET /v1/users/{user_id}/connections",
        About::Things(
            &[Thing::User],
            |it| backend(Call::get(&at(&["users", &it.user, "connections"]))),
            200,
        ),
    ),
    (
        "POST /v1/users/{user_id}/connections",
        About::Things(
            &[Thing::ConnectorOfApp],
            |it| {
                let body = json!({"connector_id": it.connector, "return_url": RETURN});
                backend(Call::post(&at(&["users", &it.user, "connections"]))).json(&body)
            },
            201,
        ),
    ),
    (
        "DELETE /v1/users/{user_id}",
        About::Things(
            &[Thing::User],
            |it| backend(Call::delete(&at(&["users", &it.user]))),
            202,
        ),
    ),
    (
        "DELETE /v1/users/{user_id}/connections/{connector_id}",
        About::Things(
            &[Thing::ConnectorOfApp, Thing::Connection, Thing::User],
            |it| {
                let path = at(&["users", &it.user, "connections", &it.connector]);
                backend(Call::delete(&path))
            },
            200,
        ),
    ),
    (
        "POST /v1/tokens",
        About::Things(
            &[Thing::ConnectorOfApp, Thing::Connection, Thing::User],
            |it| {
                let body = json!({"connector_id": it.connector, "user_id": it.user});
                backend(Call::post("/v1/tokens").json(&body))
            },
            200,
        ),
    ),
    (
        "POST /v1/oauth/token",
        About::Things(
            &[Thing::ConnectorOfApp, Thing::Connection],
            |it| {
                let kind = "urn:ietf:params:oauth:token-type:jwt";
                backend(Call::post("/v1/oauth/token").form(&[
                    (
                        "grant_type",
                        "urn:ietf:params:oauth:grant-type:token-exchange",
                    ),
                    ("subject_token", "JWT"),
                    ("subject_token_type", kind),
                    ("audience", &it.connector),
                ]))
            },
            200,
        ),
    ),
    (
        "POST /api/apps/{app_id}/app-user-auth/connectors/{connector_id}/initiate",
        About::Things(
            &[Thing::ConnectorOfApp, Thing::App],
            |it| {
                let parts = ["app-user-auth/connectors", &it.connector, "initiate"];
                Call::post(&base44(&it.app, &parts)).user("alice")
            },
            200,
        ),
    ),
    (
        "DELETE /api/apps/{app_id}/app-user-auth/connectors/{connector_id}",
        About::Things(
            &[Thing::ConnectorOfApp, Thing::Connection, Thing::App],
            |it| {
                let parts = ["app-user-auth/connectors", &it.connector];
                Call::delete(&base44(&it.app, &parts)).user("alice")
            },
            200,
        ),
    ),
    (
        "GET /api/apps/{app_id}/app-user-auth/connectors/{connector_id}/token",
        About::Things(
            &[Thing::ConnectorOfApp, Thing::Connection, Thing::App],
            |it| {
                let parts = ["app-user-auth/connectors", &it.connector, "token"];
                backend(Call::get(&base44(&it.app, &parts))).on_behalf_of("JWT")
            },
            200,
        ),
    ),
    (
        "GET /api/apps/{app_id}/external-auth/tokens/connectors/{connector_id}",
        About::Things(
            &[Thing::SharedConnector, Thing::App],
            |it| {
                let parts = ["external-auth/tokens/connectors", &it.shared];
                backend(Call::get(&base44(&it.app, &parts)))
            },
            200,
        ),
    ),
    (
        "GET /api/apps/{app_id}/external-auth/tokens/{integration_type}",
        About::Things(
            &[Thing::App],
            |it| {
                backend(Call::get(&base44(
                    &it.app,
                    &["external-auth/tokens/custom"],
                )))
            },
            200,
        ),
    ),
    (
        "GET /v1/audit",
        About::Trail(|_| admin(Call::get("/v1/audit"))),
    ),
    (
        "GET /v1/me/audit",
        About::Trail(|_| Call::get("/v1/me/audit").user("alice")),
    ),
    ("GET /connect/{ticket}", About::Flow),
    ("GET /oauth/callback/{connector_id}", About::Flow),
    ("POST /oauth/callback/{connector_id}", About::Flow),
    ("GET /oauth/finish", About::Flow),
    ("GET /oauth/confirm", About::Flow),
    ("POST /oauth/confirm", About::Flow),
    ("POST /v1/me/connections/complete", About::Flow),
    (
        "POST /v1/connectors/{connector_id}/connect/complete",
        About::Flow,
    ),
];
