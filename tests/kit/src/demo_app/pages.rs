//! What the person sees. Every page says what happened and what to do next.

use axum::response::Response;
use http::StatusCode;

use super::grantry::{Connector, Trouble};
use crate::loopback::html::{escape, page};

/// The front page: who is signed in, and what about the connector.
pub(crate) fn home(user: &str, connector: &Connector) -> Response {
    let name = name(connector);
    let account = match &connector.account_label {
        Some(label) => format!(" as <strong>{}</strong>", escape(label)),
        None => String::new(),
    };
    let (state, actions) = match connector.status.as_str() {
        "connected" => (
            format!("<span class=\"good\">Connected</span>{account}"),
            DISCONNECT.to_owned(),
        ),
        "reconnect_required" => (
            format!(
                "<span class=\"bad\">Needs to be connected again</span>{account}: {}",
                reconnect_reason(connector.reason.as_deref())
            ),
            [connect_button("Reconnect"), DISCONNECT.to_owned()].concat(),
        ),
        "not_connected" => ("Not connected".to_owned(), connect_button("Connect")),
        other => (escape(other), connect_button("Connect")),
    };
    let main = format!(
        "<h1>Demo app</h1>\n\
         <p>You are signed in as <strong>{user}</strong>.</p>\n\
         <dl><dt>{name}</dt><dd>{state}</dd>{scopes}</dl>\n\
         <div class=\"actions\">{actions}</div>",
        user = escape(user),
        scopes = scopes(connector),
    );
    page(StatusCode::OK, "Demo app", &main)
}

/// The end of a walk that worked.
pub(crate) fn connected(connector: &Connector) -> Response {
    let account = match &connector.account_label {
        Some(label) => format!("You are connected as <strong>{}</strong>.", escape(label)),
        None => "Your account is connected.".to_owned(),
    };
    let main = format!(
        "<h1><span class=\"good\">Connected</span> to {}</h1>\n\
         <p>{account} The app's back end can now ask Grantry for a fresh access token whenever \
         it needs one.</p>\n<dl>{}</dl>\n{BACK}",
        name(connector),
        scopes(connector),
    );
    page(StatusCode::OK, "Connected", &main)
}

/// The end of a walk that stopped before the app was asked to complete it.
pub(crate) fn not_connected(status: &str, code: Option<&str>) -> Response {
    let (what, next) = match status {
        "denied" | "cancelled" => (
            "You chose not to connect",
            "Nothing was stored. You can connect whenever you like.",
        ),
        "expired" => (
            "That took too long",
            "For safety a connection has to be finished within ten minutes. Please start again.",
        ),
        _ => (
            "The connection did not work",
            advice(code.unwrap_or_default()),
        ),
    };
    let code = code_line(code.unwrap_or_default());
    let main = format!(
        "<h1>{what}</h1>\n<p>{next}</p>\n{code}<div class=\"actions\">{}</div>",
        connect_button("Try again")
    );
    page(StatusCode::OK, what, &main)
}

/// Something the app asked for did not happen.
pub(crate) fn trouble(trouble: &Trouble) -> Response {
    let (status, what, why, next, code) = match trouble {
        Trouble::NotSetUp(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The demo is not set up yet".to_owned(),
            format!("Its configuration cannot be read: {reason}."),
            "Run the set-up and load this page again.",
            "",
        ),
        Trouble::Unreachable(who) => (
            StatusCode::BAD_GATEWAY,
            format!("No usable answer from {who}"),
            String::new(),
            "Check that the stack is running, then load this page again.",
            "",
        ),
        Trouble::NoSuchConnector => (
            StatusCode::NOT_FOUND,
            "This app has no such connector".to_owned(),
            "Grantry does not list it for the signed-in user.".to_owned(),
            "Run the set-up again, or ask an admin to share the connector with this app.",
            "",
        ),
        Trouble::Refused(problem) => (
            StatusCode::BAD_GATEWAY,
            problem.title.clone(),
            problem.detail.clone(),
            advice(&problem.code),
            problem.code.as_str(),
        ),
    };
    let main = format!(
        "<h1>{}</h1>\n<p>{} {next}</p>\n{}{BACK}",
        escape(&what),
        escape(&why),
        code_line(code),
    );
    page(status, &what, &main)
}

/// A form that another site sent.
pub(crate) fn foreign_form() -> Response {
    let main = format!("<h1>Please use the button on this app's own page</h1>\n{BACK}");
    page(StatusCode::FORBIDDEN, "Not from here", &main)
}

const BACK: &str = "<p><a class=\"button quiet\" href=\"/\">Back to the app</a></p>";

const DISCONNECT: &str = "<form method=\"post\" action=\"/disconnect\">\
    <button type=\"submit\" class=\"quiet\">Disconnect</button></form>";

fn connect_button(label: &str) -> String {
    format!(
        "<form method=\"post\" action=\"/connect\"><button type=\"submit\">{label}</button></form>"
    )
}

fn name(connector: &Connector) -> String {
    escape(connector.name.as_deref().unwrap_or(&connector.connector_id))
}

fn scopes(connector: &Connector) -> String {
    let list = |title: &str, scopes: &[String]| match scopes {
        [] => String::new(),
        scopes => format!(
            "<dt>{title}</dt><dd><code>{}</code></dd>",
            escape(&scopes.join(" "))
        ),
    };
    list("Granted", &connector.granted_scopes) + &list("Missing", &connector.missing_scopes)
}

fn code_line(code: &str) -> String {
    if code.is_empty() {
        return String::new();
    }
    format!(
        "<p class=\"soft\">Code: <code>{}</code></p>\n",
        escape(code)
    )
}

fn reconnect_reason(reason: Option<&str>) -> &'static str {
    match reason {
        Some("scopes_changed") => "the app now asks for more than you granted.",
        Some("missing_scopes") => "you left out something the app needs.",
        Some("grant_revoked") => "the provider says that access was withdrawn.",
        Some("refresh_expired") => "the grant was not used for too long.",
        Some("refresh_outcome_lost") => "the provider's last answer was lost.",
        Some("connector_changed") => "an admin changed the connector.",
        Some(_) | None => "the grant no longer works.",
    }
}

fn advice(code: &str) -> &'static str {
    match code {
        "unauthorized" => "The sign-in was not accepted. Load the app again to sign in anew.",
        "account_mismatch" => {
            "Connect the account that was connected before, or disconnect first to change it."
        }
        "connector_disabled" => "An admin has paused this connector. Please try again later.",
        "provider_unavailable" | "kms_unavailable" | "rate_limited" => {
            "This usually passes. Please try again in a moment."
        }
        _ => {
            "Please start again from the app. If it keeps happening, tell an admin the code below."
        }
    }
}
