//! The application of the walk-through: one signed-in user, one connector, Connect and
//! Disconnect.
//!
//! Its server side shows all that an app has to do: mint or forward the user's JWT, begin a
//! connection and send the browser to the answer's `connect_url`, post the completion code that
//! comes back with the same user's JWT, and delete the connection. It never sees a token.
//!
//! It signs its one user in by asking the demo issuer, which a real app must not be able to.

mod grantry;
mod pages;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use http::{HeaderMap, header};
use serde::Deserialize;

use crate::loopback::{Port, Serving, client};
use grantry::{Session, Trouble};

/// Whom the app talks to and for whom. Read again on each request, so that the stack behind a
/// running app can be deployed anew.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct AppConfig {
    /// Base of Grantry's API.
    pub api_url: String,
    /// The demo issuer.
    pub issuer_url: String,
    /// The workspace the app belongs to.
    pub workspace_id: String,
    /// The app's own id.
    pub app_id: String,
    /// The connector its page offers.
    pub connector_id: String,
    /// The user who is signed in.
    pub user_id: String,
}

/// Where the configuration comes from.
pub type ConfigSource = Arc<dyn Fn() -> io::Result<AppConfig> + Send + Sync>;

/// Reads the configuration from a JSON file.
#[must_use]
pub fn config_file(path: PathBuf) -> ConfigSource {
    // A blocking read of a few hundred bytes; the app serves one person.
    Arc::new(move || Ok(serde_json::from_slice(&std::fs::read(&path)?)?))
}

/// A running app. Dropping it frees its port.
pub struct DemoApp {
    url: String,
    _serving: Serving,
}

impl DemoApp {
    /// Starts the app at `address`.
    ///
    /// # Errors
    /// Those of binding the address.
    pub async fn bind(address: SocketAddr, config: ConfigSource) -> io::Result<Self> {
        let port = Port::bind(address).await?;
        let url = port.url();
        let app = App {
            url: url.clone(),
            config,
            http: client(),
        };
        let router = Router::new()
            .route("/", get(home))
            .route("/connect", post(connect))
            .route("/return", get(returned))
            .route("/disconnect", post(disconnect))
            .with_state(Arc::new(app));
        Ok(Self {
            url,
            _serving: port.serve(router),
        })
    }

    /// Where to open it, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The return URL it names to Grantry; the app's allow-list has to contain it.
    #[must_use]
    pub fn return_url(&self) -> String {
        return_url(&self.url)
    }
}

impl fmt::Debug for DemoApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DemoApp")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

struct App {
    url: String,
    config: ConfigSource,
    http: reqwest::Client,
}

impl App {
    /// Signs the demo user in.
    async fn session(&self) -> Result<Session, Trouble> {
        let config = (self.config)().map_err(|error| Trouble::NotSetUp(error.to_string()))?;
        Session::sign_in(self.http.clone(), config).await
    }
}

fn return_url(app_url: &str) -> String {
    format!("{app_url}/return")
}

async fn home(State(app): State<Arc<App>>) -> Response {
    let session = match app.session().await {
        Ok(session) => session,
        Err(trouble) => return pages::trouble(&trouble),
    };
    match session.connector().await {
        Ok(connector) => pages::home(session.user(), &connector),
        Err(trouble) => pages::trouble(&trouble),
    }
}

async fn connect(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if !same_origin(&headers) {
        return pages::foreign_form();
    }
    let begun = async { app.session().await?.begin(&return_url(&app.url)).await };
    match begun.await {
        Ok(connect_url) => Redirect::to(&connect_url).into_response(),
        Err(trouble) => pages::trouble(&trouble),
    }
}

/// What Grantry appends to the return URL.
#[derive(Deserialize)]
struct Outcome {
    status: Option<String>,
    code: Option<String>,
}

async fn returned(State(app): State<Arc<App>>, Query(outcome): Query<Outcome>) -> Response {
    match (outcome.status.as_deref(), outcome.code) {
        (Some("authorized"), Some(code)) => {
            let completed = async {
                let session = app.session().await?;
                session.complete(&code).await?;
                session.connector().await
            };
            match completed.await {
                Ok(connector) => pages::connected(&connector),
                Err(trouble) => pages::trouble(&trouble),
            }
        }
        (Some(status @ ("denied" | "expired" | "failed")), code) => {
            pages::not_connected(status, code.as_deref())
        }
        _ => Redirect::to("/").into_response(),
    }
}

async fn disconnect(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if !same_origin(&headers) {
        return pages::foreign_form();
    }
    let done = async { app.session().await?.disconnect().await };
    match done.await {
        Ok(()) => Redirect::to("/").into_response(),
        Err(trouble) => pages::trouble(&trouble),
    }
}

/// Whether a form post comes from this app's own pages: another site must not press Connect
/// or Disconnect for the person signed in here. Browsers send `Origin` with every post; a
/// caller without it is no browser and carries nobody's session.
fn same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    authority.is_some_and(|(_, authority)| Some(authority) == host)
}
