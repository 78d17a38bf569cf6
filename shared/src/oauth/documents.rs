//! The port [`Documents`] over HTTP: what issuers publish, read by the one outbound client and
//! under its limits.

use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use url::Url;

use super::http_client::{HttpClient, SendError};
use super::request;
use crate::domain::provider::Method;
use crate::ports::{DocumentError, Documents};

/// For one document, while somebody waits for more than that.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Documents of issuers, over HTTP.
pub struct HttpDocuments {
    http: HttpClient,
}

impl HttpDocuments {
    /// Documents read with `http`.
    pub fn new(http: HttpClient) -> Self {
        Self { http }
    }
}

#[async_trait]
impl Documents for HttpDocuments {
    async fn read(&self, url: &Url) -> Result<Vec<u8>, DocumentError> {
        let request =
            request::empty(Method::Get, url.as_str()).map_err(|_| DocumentError::AddressRefused)?;
        let response = self.http.send(request, TIMEOUT).await;
        let response = response.map_err(|error| match error {
            SendError::AddressRefused => DocumentError::AddressRefused,
            SendError::TooLarge => DocumentError::TooLarge,
            SendError::NotSent(_) | SendError::TimedOut | SendError::Lost(_) => {
                DocumentError::NoAnswer
            }
        })?;
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            status => Err(DocumentError::Status(status.as_u16())),
        }
    }
}
