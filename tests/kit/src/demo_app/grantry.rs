//! The app's side of Grantry's user API, as one signed-in user.

use http::{Method, StatusCode, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::Url;

use super::AppConfig;

/// Why something did not work, as far as the page can tell.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The configuration is missing or unreadable.
    NotSetUp(String),
    /// Nobody answered, or not in the language of the API.
    Unreachable(&'static str),
    /// Grantry refused.
    Refused(Problem),
    /// Grantry does not offer this app the connector.
    NoSuchConnector,
}

/// A problem document (RFC 9457) with Grantry's `code`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub(crate) title: String,
    pub(crate) detail: String,
    pub(crate) code: String,
}

/// One item of `GET /v1/me/connectors`.
#[derive(Debug, Deserialize)]
pub(crate) struct Connector {
    pub(crate) connector_id: String,
    pub(crate) status: String,
    pub(crate) name: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) account_label: Option<String>,
    #[serde(default)]
    pub(crate) granted_scopes: Vec<String>,
    #[serde(default)]
    pub(crate) missing_scopes: Vec<String>,
}

#[derive(Deserialize)]
struct Items {
    items: Vec<Connector>,
}

#[derive(Deserialize)]
struct Begun {
    connect_url: String,
}

#[derive(Deserialize)]
struct Minted {
    token: String,
}

/// The signed-in user, with the JWT that proves it.
pub(crate) struct Session {
    http: reqwest::Client,
    config: AppConfig,
    jwt: String,
}

impl Session {
    /// Stands for the platform's sign-in: the demo issuer vouches for whom it is told.
    pub(crate) async fn sign_in(http: reqwest::Client, config: AppConfig) -> Result<Self, Trouble> {
        let wanted = json!({
            "sub": config.user_id,
            "claims": { "workspace_id": config.workspace_id, "app_id": config.app_id },
        });
        let url = endpoint(&config.issuer_url, &["_mint"], "the issuer")?;
        let request = http
            .post(url)
            .header(header::CONTENT_TYPE, "application/json");
        let answer = answer(request.body(wanted.to_string()), "the issuer").await?;
        let Minted { token } = parsed(&answer, "the issuer")?;
        Ok(Self {
            http,
            config,
            jwt: token,
        })
    }

    pub(crate) fn user(&self) -> &str {
        &self.config.user_id
    }

    /// The configured connector and the user's status in it.
    pub(crate) async fn connector(&self) -> Result<Connector, Trouble> {
        let answer = self.call(Method::GET, &["connectors"], None).await?;
        let Items { items } = parsed(&answer, GRANTRY)?;
        let wanted = |item: &Connector| item.connector_id == self.config.connector_id;
        items
            .into_iter()
            .find(wanted)
            .ok_or(Trouble::NoSuchConnector)
    }

    /// Begins a connection; the browser has to go to the URL returned.
    pub(crate) async fn begin(&self, return_url: &str) -> Result<String, Trouble> {
        let body = json!({ "connector_id": self.config.connector_id, "return_url": return_url });
        let answer = self
            .call(Method::POST, &["connections"], Some(body))
            .await?;
        let Begun { connect_url } = parsed(&answer, GRANTRY)?;
        Ok(connect_url)
    }

    /// Proves with the user's own JWT that whoever finished is who started.
    pub(crate) async fn complete(&self, code: &str) -> Result<(), Trouble> {
        let body = json!({ "code": code });
        self.call(Method::POST, &["connections", "complete"], Some(body))
            .await
            .map(drop)
    }

    pub(crate) async fn disconnect(&self) -> Result<(), Trouble> {
        let path = ["connections", self.config.connector_id.as_str()];
        self.call(Method::DELETE, &path, None).await.map(drop)
    }

    async fn call(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Value>,
    ) -> Result<String, Trouble> {
        let url = endpoint(
            &self.config.api_url,
            &[&["v1", "me"], path].concat(),
            GRANTRY,
        )?;
        let mut request = self.http.request(method, url).bearer_auth(&self.jwt);
        if let Some(body) = body {
            let kind = "application/json";
            request = request
                .header(header::CONTENT_TYPE, kind)
                .body(body.to_string());
        }
        answer(request, GRANTRY).await
    }
}

const GRANTRY: &str = "Grantry";

/// `base` with the segments appended, each encoded as one.
fn endpoint(base: &str, segments: &[&str], who: &'static str) -> Result<Url, Trouble> {
    let mut url = Url::parse(base).map_err(|_| Trouble::Unreachable(who))?;
    {
        let mut path = url
            .path_segments_mut()
            .map_err(|()| Trouble::Unreachable(who))?;
        path.pop_if_empty().extend(segments);
    }
    Ok(url)
}

async fn answer(request: reqwest::RequestBuilder, who: &'static str) -> Result<String, Trouble> {
    let response = request
        .send()
        .await
        .map_err(|_| Trouble::Unreachable(who))?;
    let status = response.status();
    let text = response
        .text()
        .await
        .map_err(|_| Trouble::Unreachable(who))?;
    if status.is_success() {
        return Ok(text);
    }
    let mut problem: Problem = serde_json::from_str(&text).unwrap_or_default();
    // The gateway answers without a problem document when the JWT does not pass it.
    if problem.code.is_empty() && status == StatusCode::UNAUTHORIZED {
        problem.code = "unauthorized".to_owned();
    }
    if problem.title.is_empty() {
        problem.title = format!("{who} answered {status}");
    }
    Err(Trouble::Refused(problem))
}

fn parsed<T: DeserializeOwned>(text: &str, who: &'static str) -> Result<T, Trouble> {
    serde_json::from_str(text).map_err(|_| Trouble::Unreachable(who))
}
