//! The environment, read once at cold start. Nothing in it is secret.

use std::time::Duration;

use url::Url;

use crate::domain::address::AddressRules;
use crate::domain::plan::PlanGate;
use crate::domain::provider_hosts::ProviderHosts;
use crate::domain::rate::Caps;
use crate::domain::time::Timestamp;
use crate::http::identity::{ClaimNames, IdentityRules};
use crate::storage::Tables;

/// Everything a function is told by its deployment.
#[derive(Clone, Debug)]
pub struct Config {
    /// `GRANTRY_STACK`: names the stack in every envelope and encryption context.
    pub stack: String,
    /// `GRANTRY_PUBLIC_URL`: where browsers reach the API: an origin.
    pub public_url: Url,
    /// `GRANTRY_*_TABLE`.
    pub tables: Tables,
    /// `GRANTRY_KMS_KEY_ARN`.
    pub kms_key_arn: String,
    /// `GRANTRY_EVENT_BUS`.
    pub event_bus: String,
    /// `GRANTRY_DUE_SHARDS`: into how many shards due work is spread.
    pub due_shards: u32,
    /// `GRANTRY_REFRESH_CONCURRENCY`: how many providers one worker of the sweep asks at a time.
    pub refresh_concurrency: u32,
    /// `GRANTRY_CREDENTIAL_READS`, `GRANTRY_WORKSPACE_READS`: how many tokens may be read a minute.
    pub caps: Caps,
    /// `GRANTRY_BULK_CONNECTIONS`: how many connections a key may read in an hour before that is
    /// told.
    pub bulk_connections: u32,
    /// `GRANTRY_AUDIT_RETENTION_DAYS`: how long audit entries are kept.
    pub audit_retention: Duration,
    /// `GRANTRY_RESTORED_AT`: when the connections were last restored from a backup; empty for never.
    pub restored_at: Option<Timestamp>,
    /// `GRANTRY_LOCAL_HTTP`: `true` opens http and loopback, for the local stack.
    pub address_rules: AddressRules,
    /// `GRANTRY_PROVIDER_HOSTS`: the only hosts that providers may have; empty for any.
    pub provider_hosts: ProviderHosts,
    /// `GRANTRY_CLAIM_*`, `GRANTRY_PLANS`, `GRANTRY_PLAN_REQUIRED`.
    pub identity: IdentityRules,
    /// `GRANTRY_JWT_ISSUER`: whose JWTs sign users in, exactly as in their `iss`.
    pub jwt_issuer: String,
    /// `GRANTRY_JWT_AUDIENCE`: what their `aud` has to name.
    pub jwt_audience: String,
    /// `AWS_LAMBDA_FUNCTION_NAME`, set by Lambda.
    pub function: String,
}

/// A variable that is missing or unusable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name}: {fault}")]
pub struct ConfigError {
    name: &'static str,
    fault: String,
}

impl Config {
    /// Reads the process environment.
    ///
    /// # Errors
    /// Names the variable.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the environment"
    )]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads variables from anywhere.
    ///
    /// # Errors
    /// Names the variable.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let required = |name: &'static str| {
            let fault = "is not set".to_owned();
            get(name)
                .filter(|text| !text.is_empty())
                .ok_or(ConfigError { name, fault })
        };
        let number = |name: &'static str| count(name, &required(name)?);
        let plans = required("GRANTRY_PLANS")?
            .split(',')
            .map(|p| p.trim().to_owned())
            .collect();
        let plans = PlanGate::new(plans, required("GRANTRY_PLAN_REQUIRED")?).map_err(|error| {
            ConfigError {
                name: "GRANTRY_PLAN_REQUIRED",
                fault: error.to_string(),
            }
        })?;
        let address_rules = match required("GRANTRY_LOCAL_HTTP")?.as_str() {
            "true" => AddressRules::LocalToo,
            "false" => AddressRules::PublicHttps,
            other => {
                let fault = format!("is {other:?}, must be true or false");
                return Err(ConfigError {
                    name: "GRANTRY_LOCAL_HTTP",
                    fault,
                });
            }
        };
        let restored_at = get("GRANTRY_RESTORED_AT").unwrap_or_default();
        let restored_at = match restored_at.as_str() {
            "" => None,
            text => Some(instant("GRANTRY_RESTORED_AT", text)?),
        };
        let hosts = get("GRANTRY_PROVIDER_HOSTS").unwrap_or_default();
        let provider_hosts = ProviderHosts::parse(&hosts).map_err(|error| ConfigError {
            name: "GRANTRY_PROVIDER_HOSTS",
            fault: error.to_string(),
        })?;
        Ok(Self {
            stack: required("GRANTRY_STACK")?,
            public_url: origin("GRANTRY_PUBLIC_URL", &required("GRANTRY_PUBLIC_URL")?)?,
            tables: Tables {
                registry: required("GRANTRY_REGISTRY_TABLE")?,
                connections: required("GRANTRY_CONNECTIONS_TABLE")?,
                sessions: required("GRANTRY_SESSIONS_TABLE")?,
                due: required("GRANTRY_DUE_TABLE")?,
                keys: required("GRANTRY_KEYS_TABLE")?,
                audit: required("GRANTRY_AUDIT_TABLE")?,
            },
            kms_key_arn: required("GRANTRY_KMS_KEY_ARN")?,
            event_bus: required("GRANTRY_EVENT_BUS")?,
            due_shards: number("GRANTRY_DUE_SHARDS")?,
            refresh_concurrency: number("GRANTRY_REFRESH_CONCURRENCY")?,
            caps: Caps {
                credential: number("GRANTRY_CREDENTIAL_READS")?,
                workspace: number("GRANTRY_WORKSPACE_READS")?,
            },
            bulk_connections: number("GRANTRY_BULK_CONNECTIONS")?,
            audit_retention: days(number("GRANTRY_AUDIT_RETENTION_DAYS")?),
            restored_at,
            address_rules,
            provider_hosts,
            identity: IdentityRules {
                claims: ClaimNames {
                    workspace: required("GRANTRY_CLAIM_WORKSPACE")?,
                    app: required("GRANTRY_CLAIM_APP")?,
                    role: required("GRANTRY_CLAIM_ROLE")?,
                    plan: required("GRANTRY_CLAIM_PLAN")?,
                    label: required("GRANTRY_CLAIM_LABEL")?,
                },
                plans,
            },
            jwt_issuer: required("GRANTRY_JWT_ISSUER")?,
            jwt_audience: required("GRANTRY_JWT_AUDIENCE")?,
            function: required("AWS_LAMBDA_FUNCTION_NAME")?,
        })
    }
}

/// A URL without a path: redirect URIs and connect links are made by adding one.
fn origin(name: &'static str, text: &str) -> Result<Url, ConfigError> {
    Url::parse(text)
        .ok()
        .filter(|url| url.has_host() && url.path() == "/" && url.query().is_none())
        .ok_or_else(|| ConfigError {
            name,
            fault: format!("is {text:?}, must be an origin"),
        })
}

fn instant(name: &'static str, text: &str) -> Result<Timestamp, ConfigError> {
    Timestamp::parse(text).ok_or_else(|| ConfigError {
        name,
        fault: format!("is {text:?}, must be an instant as RFC 3339 has it"),
    })
}

fn days(count: u32) -> Duration {
    Duration::from_secs(24 * 3600) * count
}

/// How many of something there are: one at least.
fn count(name: &'static str, text: &str) -> Result<u32, ConfigError> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| ConfigError {
            name,
            fault: format!("is {text:?}, must be a number above zero"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(name: &str) -> Option<String> {
        Some(match name {
            "GRANTRY_PLANS" => "free, builder".into(),
            "GRANTRY_PLAN_REQUIRED" => "builder".into(),
            "GRANTRY_LOCAL_HTTP" => "false".into(),
            "GRANTRY_PROVIDER_HOSTS" | "GRANTRY_RESTORED_AT" => String::new(),
            "GRANTRY_PUBLIC_URL" => "https://api.example/".into(),
            "GRANTRY_DUE_SHARDS" => "32".into(),
            "GRANTRY_REFRESH_CONCURRENCY" => "25".into(),
            "GRANTRY_CREDENTIAL_READS" => "6000".into(),
            "GRANTRY_BULK_CONNECTIONS" => "500".into(),
            "GRANTRY_AUDIT_RETENTION_DAYS" => "400".into(),
            "GRANTRY_WORKSPACE_READS" => "30000".into(),
            name => name.to_lowercase(),
        })
    }

    #[test]
    fn a_missing_variable_is_named() {
        let without = |name: &str| complete(name).filter(|_| name != "GRANTRY_EVENT_BUS");
        let error = Config::read(without).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable GRANTRY_EVENT_BUS: is not set"
        );
    }

    #[test]
    fn local_http_is_opened_by_the_word_true_and_nothing_else() {
        for (text, expected) in [("true", true), ("false", false)] {
            let config = Config::read(|name| match name {
                "GRANTRY_LOCAL_HTTP" => Some(text.into()),
                name => complete(name),
            });
            let open = matches!(config.unwrap().address_rules, AddressRules::LocalToo);
            assert_eq!(open, expected);
        }
        let odd = |name: &str| match name {
            "GRANTRY_LOCAL_HTTP" => Some("1".into()),
            name => complete(name),
        };
        assert!(Config::read(odd).is_err());
    }

    #[test]
    fn h39_the_hosts_of_providers_are_any_or_those_of_a_list() {
        let hosts = |text: &'static str| {
            let config = Config::read(|name| match name {
                "GRANTRY_PROVIDER_HOSTS" => Some(text.into()),
                name => complete(name),
            });
            config.map(|config| config.provider_hosts)
        };
        assert_eq!(hosts(""), Ok(ProviderHosts::default()));
        let named = ProviderHosts::parse("a.example,*.b.example").unwrap();
        assert_eq!(hosts("a.example, *.b.example"), Ok(named));
        let error = hosts("https://a.example").unwrap_err().to_string();
        assert!(error.contains("GRANTRY_PROVIDER_HOSTS"), "{error}");
    }

    #[test]
    fn h90_a_restore_was_at_an_instant_or_never() {
        let restored = |text: &'static str| {
            let config = Config::read(|name| match name {
                "GRANTRY_RESTORED_AT" => Some(text.into()),
                name => complete(name),
            });
            config.map(|config| config.restored_at)
        };
        assert_eq!(restored(""), Ok(None));
        let at = Timestamp::from_millis(1_795_366_800_000);
        assert_eq!(restored("2026-11-22T17:00:00Z"), Ok(Some(at)));
        assert!(restored("yesterday").is_err());
    }

    #[test]
    fn a_number_is_one_at_least() {
        let shards = |text: &'static str| {
            let config = Config::read(|name| match name {
                "GRANTRY_DUE_SHARDS" => Some(text.into()),
                name => complete(name),
            });
            config.map(|config| config.due_shards)
        };
        assert_eq!(shards("1024"), Ok(1024));
        for text in ["0", "-1", "many", "4294967296"] {
            assert!(shards(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_public_url_is_an_origin() {
        let with = |url: &'static str| {
            move |name: &str| match name {
                "GRANTRY_PUBLIC_URL" => Some(url.to_owned()),
                name => complete(name),
            }
        };
        let read = |url| Config::read(with(url)).map(|config| config.public_url.to_string());
        assert_eq!(read("https://api.example").unwrap(), "https://api.example/");
        for url in [
            "api.example",
            "https://api.example/v1",
            "https://api.example/?x",
            "data:x",
        ] {
            assert!(read(url).is_err(), "{url}");
        }
    }
}
