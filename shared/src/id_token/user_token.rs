//! JWTs of the platform's own issuer that come in another header than the gateway's authorizer
//! looks at. What makes one good here is what makes it good there.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::issuer_keys::{IssuerKeys, Source};
use super::jwt::Jwt;
use super::{NoKeys, Refused};
use crate::domain::secret::Secret;
use crate::domain::time::Timestamp;
use crate::ports::{Clock, Documents};

/// How far the issuer's clock may be ahead of ours. An expired token gets no time on top.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// Verifies the JWTs of the platform's users.
pub struct UserTokens {
    keys: IssuerKeys,
    issuer: String,
    audience: String,
}

/// Why a JWT proves nobody.
#[derive(Debug, thiserror::Error)]
pub enum Unproven {
    /// The issuer's keys cannot be had now.
    #[error("the JWT could not be verified")]
    NoKeys(#[from] NoKeys),
    /// It is not right.
    #[error("the JWT is refused")]
    Refused(#[from] Refused),
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Option<Audience>,
    client_id: Option<String>,
    /// Seconds; fractions are allowed (RFC 7519 section 2).
    exp: f64,
    iat: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl UserTokens {
    /// A verifier of what `issuer` signs for `audience`, which has read no keys yet.
    pub fn new(
        documents: Arc<dyn Documents>,
        clock: Arc<dyn Clock>,
        issuer: String,
        audience: String,
    ) -> Self {
        Self {
            keys: IssuerKeys::new(documents, clock),
            issuer,
            audience,
        }
    }

    /// The claims of `token`, if the issuer signed it for us and its time is now.
    ///
    /// # Errors
    /// [`Unproven`].
    pub async fn verify(&self, token: &Secret) -> Result<Value, Unproven> {
        let jwt = Jwt::parse(token.expose())?;
        let source = Source::Issuer(&self.issuer);
        let keys = self.keys.of(source).await?;
        self.keys.verify(&jwt, source, &keys).await?;
        check(&jwt.payload, &self.issuer, &self.audience, self.keys.now())?;
        Ok(jwt.payload)
    }
}

/// RFC 7519 section 4.1, as API Gateway's JWT authorizer reads it: `client_id` counts where there
/// is no `aud`.
fn check(payload: &Value, issuer: &str, audience: &str, now: Timestamp) -> Result<(), Refused> {
    let claims = Claims::deserialize(payload).map_err(|_| Refused::Malformed)?;
    if claims.iss != issuer {
        return Err(Refused::Issuer);
    }
    let is_for_us = match &claims.aud {
        Some(Audience::One(one)) => one == audience,
        Some(Audience::Many(many)) => many.iter().any(|one| one == audience),
        None => claims.client_id.as_deref() == Some(audience),
    };
    if !is_for_us {
        return Err(Refused::Audience);
    }
    let now = now.millis() as f64 / 1000.0;
    if claims.exp <= now {
        return Err(Refused::Expired);
    }
    let begins = [claims.nbf, claims.iat].into_iter().flatten();
    if begins.fold(now, f64::max) - CLOCK_SKEW.as_secs_f64() > now {
        return Err(Refused::Early);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_users_jwt_is_judged_as_the_gateway_judges_it() {
        let now = Timestamp::from_millis(1_000_000);
        let claims = |change: &dyn Fn(&mut Value)| {
            let mut claims = json!({"iss": "https://id", "aud": "us", "exp": 1001, "iat": 900});
            change(&mut claims);
            check(&claims, "https://id", "us", now)
        };
        let without = |name: &'static str| {
            claims(&|it| {
                it.as_object_mut().unwrap().remove(name);
            })
        };
        let with = |name: &'static str, value: Value| claims(&|it| it[name] = value.clone());
        assert_eq!(claims(&|_| {}), Ok(()));
        assert_eq!(without("iat"), Ok(()));
        assert_eq!(with("aud", json!(["them", "us"])), Ok(()));
        assert_eq!(with("nbf", json!(1060)), Ok(()));
        for (answer, refused) in [
            (with("iss", json!("https://id/")), Refused::Issuer),
            (without("iss"), Refused::Malformed),
            (with("aud", json!("them")), Refused::Audience),
            (with("aud", json!([])), Refused::Audience),
            (without("aud"), Refused::Audience),
            (with("exp", json!(1000)), Refused::Expired),
            (with("exp", json!("2000")), Refused::Malformed),
            (without("exp"), Refused::Malformed),
            (with("nbf", json!(1061)), Refused::Early),
            (with("iat", json!(1061)), Refused::Early),
        ] {
            assert_eq!(answer, Err(refused));
        }
        let by_client = |client: &'static str| {
            claims(&|it| {
                it.as_object_mut().unwrap().remove("aud");
                it["client_id"] = json!(client);
            })
        };
        assert_eq!(by_client("us"), Ok(()));
        assert_eq!(by_client("them"), Err(Refused::Audience));
    }
}
