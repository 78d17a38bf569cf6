//! Pages of somebody else, an app's or an attacker's, on an origin of their own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use testkit::loopback::{Port, Serving};

/// A running site. What it has no page for is a page that says so.
pub(crate) struct Site {
    url: String,
    shared: Arc<Shared>,
    _serving: Serving,
}

#[derive(Default)]
struct Shared {
    pages: Mutex<BTreeMap<String, Page>>,
    referers: Mutex<Vec<Option<String>>>,
}

#[derive(Clone, Default)]
struct Page {
    headers: Vec<(HeaderName, String)>,
    html: String,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let port = Port::bind(here).await.expect("a free port");
        let shared = Arc::new(Shared::default());
        let url = port.url();
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&shared));
        Self {
            url,
            shared,
            _serving: port.serve(router),
        }
    }

    /// The address of a page.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The address of a page under another name of this machine.
    pub(crate) fn at_host(&self, host: &str, path: &str) -> String {
        self.at(path).replace("127.0.0.1", host)
    }

    /// Puts a page there, with more headers.
    pub(crate) fn page(&self, path: &str, headers: &[(HeaderName, String)], html: String) {
        let headers = headers.to_vec();
        let page = Page { headers, html };
        lock(&self.shared.pages).insert(path.to_owned(), page);
    }

    /// The `Referer` of each request, in order.
    pub(crate) fn referers(&self) -> Vec<Option<String>> {
        lock(&self.shared.referers).clone()
    }
}

async fn serve(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap) -> Response {
    if uri.path() == "/favicon.ico" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let referer = headers.get(header::REFERER);
    let referer = referer.map(|value| value.to_str().unwrap_or_default().to_owned());
    lock(&shared.referers).push(referer);
    let page = lock(&shared.pages).get(uri.path()).cloned();
    let Page { headers, html } = page.unwrap_or_else(|| Page {
        html: "<!doctype html><title>Here</title><h1>Here</h1>".into(),
        ..Page::default()
    });
    let mut response = Html(html).into_response();
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).expect("a header of a story");
        response.headers_mut().append(name, value);
    }
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
