//! A peer that plays providers from their descriptions: whatever a file of the catalogue says of
//! a provider, the peer serves, over HTTP, as that provider would.
//!
//! It takes nothing that the description does not have: each request is compared with it down to
//! the last parameter, and whatever differs is refused in the provider's own shape and kept as a
//! fault. It shares the format's types with the product and none of the code that makes
//! requests.
//!
//! One peer plays many providers. `https://host/path` of the provider `id` is
//! `http://127.0.0.1:port/id/host/path`, and [`PeerApi`] leads the product's requests there.

mod api;
mod authorize;
mod call;
mod client;
mod grants;
mod id_token;
mod identity;
mod pointer;
mod revoke;
mod role;
mod sample;
#[cfg(test)]
mod tests;
mod token;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::response::{IntoResponse as _, Response};
use catalogue_format::{Method, Template};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

pub use api::{PeerApi, PeerDocuments};
pub use authorize::Returned;
pub use role::{Endpoint, Trouble};

use self::call::Call;
use self::grants::{Grants, Kind};
use self::id_token::Keys;
use self::role::{ACCOUNT, LABEL, Role};
use self::token::Refusal;
use crate::fake_as::{form_post, posted};
use crate::issuer::key::SigningKey;
use crate::loopback::{Clock, Port, Serving, client};

/// The client that every provider of a peer knows.
#[derive(Clone, Debug)]
pub struct KnownClient {
    /// Its id.
    pub id: String,
    /// Its secret; a private key (PEM) where the provider wants assertions.
    pub secret: String,
}

impl KnownClient {
    /// A client with a new key to sign with.
    #[must_use]
    pub fn signing(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            secret: SigningKey::generate_pem(),
        }
    }
}

/// A running peer. Dropping it takes its providers off the network.
pub struct Peer {
    stage: Arc<Stage>,
    _serving: Serving,
}

struct Stage {
    url: String,
    clock: Clock,
    keys: Keys,
    roles: Mutex<BTreeMap<String, Role>>,
}

impl Stage {
    fn roles(&self) -> MutexGuard<'_, BTreeMap<String, Role>> {
        self.roles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer {
    /// Starts a peer that plays nothing yet.
    ///
    /// # Panics
    /// When the system has no port left.
    pub async fn start(clock: Clock) -> Self {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let port = Port::bind(here).await.expect("a free port");
        let stage = Arc::new(Stage {
            url: port.url(),
            clock,
            keys: Keys::default(),
            roles: Mutex::default(),
        });
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&stage));
        Self {
            stage,
            _serving: port.serve(router),
        }
    }

    /// Where it is, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.stage.url
    }

    /// Plays `template` as the provider `id`, from the start. `config` fills its blanks, and what
    /// it leaves out the fields' defaults.
    pub fn play(
        &self,
        id: &str,
        template: Template,
        config: &BTreeMap<String, String>,
        client: KnownClient,
    ) {
        let given = |name: &String, default: &Option<String>| {
            let value = config.get(name).or(default.as_ref())?;
            Some((name.clone(), value.clone()))
        };
        let fields = template.fields.iter();
        let values = fields.filter_map(|field| given(&field.name, &field.default));
        let role = Role {
            values: values.collect(),
            template,
            client_id: client.id,
            client_secret: client.secret,
            grants: Grants::default(),
            faults: Vec::new(),
            troubles: Default::default(),
            asked: Vec::new(),
            assertions: Default::default(),
        };
        self.stage.roles().insert(id.to_owned(), role);
    }

    /// Whatever was asked of a provider in another way than its description has it.
    #[must_use]
    pub fn faults(&self, id: &str) -> Vec<String> {
        self.of(id, |role| role.faults.clone())
    }

    /// The endpoints of a provider that were asked, in order.
    #[must_use]
    pub fn asked(&self, id: &str) -> Vec<Endpoint> {
        self.of(id, |role| role.asked.clone())
    }

    /// Has the next request to an endpoint end like this.
    pub fn push(&self, id: &str, endpoint: Endpoint, trouble: Trouble) {
        self.of(id, |role| role.troubles.push_back((endpoint, trouble)));
    }

    /// Whether a provider accepts an access token now.
    #[must_use]
    pub fn accepts(&self, id: &str, access_token: &str) -> bool {
        let now = (self.stage.clock)();
        self.of(id, |role| {
            let live = role.grants.live(access_token, now);
            live.is_some_and(|(kind, _)| kind == Kind::Access)
        })
    }

    /// How many of a provider's grants have not ended.
    #[must_use]
    pub fn live_grants(&self, id: &str) -> usize {
        self.of(id, |role| {
            let grants = role.grants.grants.iter();
            grants.filter(|grant| !grant.is_over).count()
        })
    }

    /// How often a provider's grants were refreshed.
    #[must_use]
    pub fn refreshes(&self, id: &str) -> u32 {
        self.of(id, |role| {
            role.grants.grants.iter().map(|grant| grant.refreshes).sum()
        })
    }

    /// For how many seconds a provider's access tokens live.
    #[must_use]
    pub fn lifetime_s(&self, id: &str) -> Option<i64> {
        self.of(id, |role| role.lifetime_s())
    }

    /// What a connection to a provider has to hold for the app.
    #[must_use]
    pub fn connection_config(&self, id: &str) -> BTreeMap<String, String> {
        self.of(id, |role| role.connection_config())
    }

    /// The account that consents, and what the provider calls it.
    #[must_use]
    pub fn account() -> (&'static str, &'static str) {
        (ACCOUNT, LABEL)
    }

    /// Follows an authorization URL to a provider, where somebody consents to everything.
    ///
    /// # Panics
    /// When the provider refuses the request; the message says why.
    pub async fn consent(&self, id: &str, authorize_url: &str) -> Returned {
        let there = api::led(self.url(), id, authorize_url);
        let asked = client().get(there).send().await;
        let response = asked.expect("the peer answers");
        if let Some(location) = response.headers().get(header::LOCATION) {
            return Returned::To(location.to_str().expect("a URL").to_owned());
        }
        let status = response.status();
        assert_eq!(
            status,
            StatusCode::OK,
            "{id} refuses: {:?}",
            self.faults(id)
        );
        let (action, fields) = posted(response).await;
        Returned::Posted(action, fields)
    }

    fn of<T>(&self, id: &str, look: impl FnOnce(&mut Role) -> T) -> T {
        let mut roles = self.stage.roles();
        look(
            roles
                .get_mut(id)
                .unwrap_or_else(|| panic!("nobody plays {id}")),
        )
    }
}

async fn answer(
    Shared(stage): Shared<Arc<Stage>>,
    method: http::Method,
    uri: http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().trim_start_matches('/');
    let (id, place) = path.split_once('/').unwrap_or((path, ""));
    let call = Call {
        method,
        place: format!("https://{place}"),
        raw_query: uri.query().unwrap_or_default().to_owned(),
        headers,
        body: body.to_vec(),
    };
    let mut roles = stage.roles();
    if id == api::SHARED {
        let publishes = |role: &Role| {
            let keys = role
                .template
                .id_token
                .as_ref()
                .map(|at| role.text(&at.jwks_url));
            keys.as_ref() == Some(&call.place)
        };
        return match roles.values().any(publishes) {
            true => json_answer(200, &stage.keys.published()),
            false => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let Some(role) = roles.get_mut(id) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some(endpoint) = role.endpoint(&call) else {
        let what = format!("{} {} is no endpoint", call.method, call.place);
        role.faults.push(what);
        return StatusCode::NOT_FOUND.into_response();
    };
    role.asked.push(endpoint);
    let place = role.troubles.iter().position(|(at, _)| *at == endpoint);
    if let Some((_, trouble)) = place.and_then(|place| role.troubles.remove(place)) {
        return troubled(role, &trouble);
    }
    serve(role, endpoint, &call, &stage.keys, (stage.clock)())
}

fn serve(role: &mut Role, endpoint: Endpoint, call: &Call, keys: &Keys, now: i64) -> Response {
    let done: Result<Response, Refusal> = match endpoint {
        Endpoint::Authorize => authorize::authorize(role, call)
            .map(|returned| match returned {
                Returned::To(url) => {
                    (StatusCode::SEE_OTHER, [(header::LOCATION, url)]).into_response()
                }
                Returned::Posted(url, fields) => {
                    let fields = fields.iter();
                    form_post(&url, fields.map(|(n, v)| (n.as_str(), v.as_str())))
                }
            })
            .map_err(Refusal::Wrong),
        Endpoint::Code => token::redeem(role, call, keys, now).map(|body| json_answer(200, &body)),
        Endpoint::AfterCode => token::exchange(role, call, now).map(|body| json_answer(200, &body)),
        Endpoint::Refresh => token::refresh(role, call, now).map(|body| json_answer(200, &body)),
        Endpoint::Identity => {
            identity::identity(role, call, now).map(|body| json_answer(200, &body))
        }
        Endpoint::Revoke => revoke::revoke(role, call, now).map(|()| revoked(role)),
    };
    done.unwrap_or_else(|refusal| {
        let (word, faults) = refusal.told(role);
        let noted = faults
            .into_iter()
            .map(|fault| format!("{endpoint:?}: {fault}"));
        role.faults.extend(noted);
        let (status, body) = role.refusal(&word);
        json_answer(status, &body)
    })
}

fn revoked(role: &Role) -> Response {
    let deletes = role.template.revoke.as_ref().map(|revoke| revoke.method);
    match &role.template.token.success_flag {
        Some(flag) => json_answer(200, &json!({ flag: true })),
        None if deletes == Some(Method::Delete) => StatusCode::NO_CONTENT.into_response(),
        None => StatusCode::OK.into_response(),
    }
}

fn troubled(role: &Role, trouble: &Trouble) -> Response {
    match trouble {
        Trouble::Refuses(word) => {
            let (status, body) = role.refusal(word);
            json_answer(status, &body)
        }
        Trouble::Status(status) => {
            let status = StatusCode::from_u16(*status).expect("a status");
            (status, "upstream connect error").into_response()
        }
        Trouble::Garbage => "<html>Welcome</html>".into_response(),
        Trouble::Redirects => {
            let elsewhere = [(header::LOCATION, "https://elsewhere.example/")];
            (StatusCode::TEMPORARY_REDIRECT, elsewhere).into_response()
        }
    }
}

fn json_answer(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, body.to_string()).into_response()
}
