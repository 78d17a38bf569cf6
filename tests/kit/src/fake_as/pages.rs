//! The pages a person sees at the provider.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::Response;
use http::StatusCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::observe::{GrantState, GrantView};
use super::server::Server;
use super::state::Request;
use crate::loopback::html::{escape, page};

/// Asks `account` whether `request` may have what it wants.
pub(crate) fn consent(name: &str, request: &Request, ticket: &str, account: &str) -> Response {
    let mut scopes = String::new();
    for scope in &request.scopes {
        let _ = write!(scopes, "<li><code>{}</code></li>", escape(scope));
    }
    if scopes.is_empty() {
        scopes.push_str("<li>nothing beyond who you are</li>");
    }
    let main = format!(
        "<h1>Connect your {name} account to <strong>{client}</strong>?</h1>\n\
         <p>It asks for:</p>\n<ul>{scopes}</ul>\n\
         <form method=\"post\" action=\"/authorize/decision\">\n\
         <input type=\"hidden\" name=\"request\" value=\"{ticket}\">\n\
         <label for=\"account\">Signed in as</label>\n\
         <input type=\"text\" id=\"account\" name=\"account\" value=\"{account}\" \
         autocomplete=\"username\" aria-describedby=\"account-note\">\n\
         <p class=\"soft\" id=\"account-note\">There are no passwords here: \
         any name is an account.</p>\n\
         <div class=\"actions\">\n\
         <button type=\"submit\" name=\"decision\" value=\"connect\">Connect</button>\n\
         <button type=\"submit\" name=\"decision\" value=\"cancel\" class=\"quiet\">Cancel</button>\n\
         </div>\n</form>",
        name = escape(name),
        client = escape(&request.client_id),
        ticket = escape(ticket),
        account = escape(account),
    );
    page(StatusCode::OK, &format!("Connect {name}"), &main)
}

/// An authorization response that the browser posts. Without a script, by a button.
pub(crate) fn form_post<'a>(
    to: &str,
    params: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Response {
    let mut fields = String::new();
    for (name, value) in params {
        let value = escape(value);
        let _ = writeln!(
            fields,
            "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"
        );
    }
    let main = format!(
        "<h1>Back to the application</h1>\n<form method=\"post\" action=\"{}\">\n{fields}\
         <button type=\"submit\">Continue</button>\n</form>",
        escape(to)
    );
    page(StatusCode::OK, "Back to the application", &main)
}

/// A request that cannot be answered by a redirect.
pub(crate) fn refusal(reason: &str) -> Response {
    let reason = escape(reason);
    let main = format!("<h1>This cannot go on</h1>\n<p>{reason}</p>");
    page(StatusCode::BAD_REQUEST, "This cannot go on", &main)
}

/// `GET /grants`: who gave what to whom, and whether it still holds.
pub(crate) async fn grants(Shared(server): Shared<Arc<Server>>) -> Response {
    let grants = server.lock().state.grants();
    let mut rows = String::new();
    for grant in grants.iter().rev() {
        rows.push_str(&row(grant));
    }
    let list = if rows.is_empty() {
        "<p>Nobody has granted anything yet.</p>".to_owned()
    } else {
        format!(
            "<div class=\"scroll\" role=\"region\" aria-label=\"Grants\" tabindex=\"0\">\n<table>\n\
             <thead><tr><th scope=\"col\">Account</th><th scope=\"col\">Client</th>\
             <th scope=\"col\">Scopes</th><th scope=\"col\">State</th>\
             <th scope=\"col\">Since</th><th scope=\"col\">Refreshed</th></tr></thead>\n\
             <tbody>{rows}</tbody>\n</table>\n</div>"
        )
    };
    let main = format!("<h1>Grants at {}</h1>\n{list}", escape(&server.name));
    page(StatusCode::OK, &format!("Grants at {}", server.name), &main)
}

fn row(grant: &GrantView) -> String {
    let state = match grant.state {
        GrantState::Live => "<span class=\"good\">live</span>".to_owned(),
        GrantState::Revoked | GrantState::None => {
            let why = grant.ended_because.as_deref().unwrap_or_default();
            format!(
                "<span class=\"bad\">revoked</span> <span class=\"soft\">{}</span>",
                escape(why)
            )
        }
    };
    format!(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{state}</td><td>{}</td><td>{}×</td></tr>\n",
        escape(&grant.account),
        escape(&grant.client_id),
        escape(&grant.scopes.join(" ")),
        moment(grant.ended_at_ms.unwrap_or(grant.created_at_ms)),
        grant.refreshes,
    )
}

/// RFC 3339, to the second.
fn moment(epoch_ms: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(epoch_ms.div_euclid(1000)).ok();
    time.and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}
