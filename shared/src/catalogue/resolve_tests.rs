//! Facts about filling templates in, and about `custom`.

use url::Url;

use super::*;
use crate::domain::provider::{
    BodyEncoding, ClientAuth, GrantRequest, Method, RefreshGrant, RefreshProfile, RequestAuth,
    RevocationAuth, RevokedToken, Rotation, TokenCarrier,
};

fn id(text: &str) -> ProviderId {
    ProviderId::parse(text).unwrap()
}

fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn resolved(provider: &str, pairs: &[(&str, &str)]) -> Result<Provider, ConfigError> {
    resolve(&id(provider), &config(pairs), AddressRules::PublicHttps)
}

const MINIMAL: [(&str, &str); 2] = [
    ("authorize_url", "https://auth.example.com/authorize"),
    ("token_url", "https://auth.example.com/token"),
];

fn custom(more: &[(&str, &str)]) -> Result<Provider, ConfigError> {
    let mut pairs = config(&MINIMAL);
    pairs.extend(config(more));
    resolve(&id("custom"), &pairs, AddressRules::PublicHttps)
}

#[test]
fn an_unknown_provider_or_field_is_refused_by_name() {
    assert!(matches!(
        resolved("nobody", &[]),
        Err(ConfigError::UnknownProvider { .. })
    ));
    let error = resolved("google", &[("subdomain", "x")]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "config field subdomain is unknown; this provider takes none"
    );
    let error = custom(&[("token_uri", "https://auth.example.com/token")]).unwrap_err();
    assert_eq!(error.field(), Some("token_uri"));
    assert!(error.to_string().contains("token_url"), "{error}");
}

/// A provider with a field for each of its hosts, and whatever else `more` says.
fn filled(more: serde_json::Value, pairs: &[(&str, &str)]) -> Result<Provider, ConfigError> {
    let mut template = serde_json::json!({
        "name": "Acme",
        "fields": [
            {"name": "host", "label": "Host", "help": "a host", "required": true,
             "pattern": "^[a-z.]{1,63}$", "example": "acme.example"},
            {"name": "region", "label": "Region", "help": "a region", "example": "eu"}
        ],
        "authorize": {"url": "https://{host}/authorize", "pkce": "off"},
        "token": {"url": "https://{host}/token", "auth": "basic"},
        "refresh": {"rotation": "none", "assumed_lifetime": "never"}
    });
    for (member, value) in more.as_object().unwrap() {
        template[member] = value.clone();
    }
    let template: Template = serde_json::from_value(template).unwrap();
    let config = config(&[&[("host", "a.example")], pairs].concat());
    let values = config::values(&template.fields, &config)?;
    fill::fill(&id("acme"), &template, values, AddressRules::PublicHttps)
}

#[test]
fn a_template_tells_how_its_grants_live_and_die() {
    let provider = filled(
        serde_json::json!({"refresh": {
            "rotation": {"grace": 60},
            "idle_days": 100,
            "hard_limit_days": 1825,
            "refresh_expires_in": "x_expires_in",
            "assumed_lifetime": {"seconds": 3600},
        }}),
        &[],
    );
    let seconds = std::time::Duration::from_secs;
    assert_eq!(
        provider.unwrap().refresh,
        RefreshProfile {
            grant: RefreshGrant::RefreshToken,
            request: None,
            rotation: Rotation::Grace(seconds(60)),
            idle_limit: Some(seconds(100 * 86_400)),
            hard_limit: Some(seconds(1825 * 86_400)),
            refresh_expires_in: Some("x_expires_in".into()),
            assumed_lifetime: Some(seconds(3600)),
        }
    );
    let nothing = serde_json::json!({"refresh": {
        "tokens": false, "rotation": "none", "assumed_lifetime": {"seconds": 60}
    }});
    let grant = filled(nothing, &[]).unwrap().refresh.grant;
    assert_eq!(grant, RefreshGrant::Nothing);
}

#[test]
fn what_a_refresh_leaves_out_is_as_in_the_token_request() {
    let token = serde_json::json!({
        "url": "https://{host}/token", "auth": "basic", "body": "json", "token_path": "/data",
        "params": {"type": "web", "region": "{region}"}
    });
    let refresh = |request: serde_json::Value| {
        let refresh = serde_json::json!({
            "rotation": "none", "assumed_lifetime": "never", "request": request
        });
        let more = serde_json::json!({"token": token, "refresh": refresh});
        filled(more, &[("region", "eu")]).unwrap().refresh
    };
    let least = refresh(serde_json::json!({}));
    assert_eq!(least.grant, RefreshGrant::RefreshToken);
    let params = |pairs: &[(&str, &str)]| config(pairs);
    assert_eq!(
        least.request.unwrap(),
        GrantRequest {
            url: Url::parse("https://a.example/token").unwrap(),
            method: Method::Post,
            grant_type: "refresh_token".into(),
            token_param: "refresh_token".into(),
            auth: RequestAuth::Basic,
            body: BodyEncoding::Json,
            params: params(&[("region", "eu"), ("type", "web")]),
            token_path: "/data".into(),
        }
    );
    let most = refresh(serde_json::json!({
        "url": "https://{host}/renew", "method": "get", "grant_type": "x", "token": "access",
        "token_param": "t", "params": {"type": "refresh"}, "token_path": "", "min_age_seconds": 9
    }));
    let min_age = std::time::Duration::from_secs(9);
    assert_eq!(most.grant, RefreshGrant::AccessToken { min_age });
    assert_eq!(
        most.request.unwrap(),
        GrantRequest {
            url: Url::parse("https://a.example/renew").unwrap(),
            method: Method::Get,
            grant_type: "x".into(),
            token_param: "t".into(),
            // A client secret has no place in a URL, unless the description puts it there.
            auth: RequestAuth::None,
            body: BodyEncoding::Json,
            params: params(&[("region", "eu"), ("type", "refresh")]),
            token_path: String::new(),
        }
    );
}

#[test]
fn a_parameter_whose_field_was_left_empty_is_not_sent() {
    let authorize = serde_json::json!({"authorize": {
        "url": "https://{host}/authorize", "pkce": "required",
        "params": {"region": "{region}", "prompt": "consent"}
    }});
    let provider = filled(authorize.clone(), &[]).unwrap();
    assert_eq!(provider.authorize.params, config(&[("prompt", "consent")]));
    let provider = filled(authorize, &[("region", "a&b={host}")]).unwrap();
    assert_eq!(provider.authorize.params["region"], "a&b={host}");
}

#[test]
fn a_custom_provider_is_safe_by_default() {
    let provider = custom(&[]).unwrap();
    assert!(provider.authorize.pkce);
    assert_eq!(provider.refresh.rotation, Rotation::Strict);
    assert_eq!(provider.token.auth, ClientAuth::Post);
    assert_eq!(provider.revocation, None);
    assert_eq!(provider.identity, None);
}

#[test]
fn a_custom_provider_takes_every_quirk_it_documents() {
    let provider = custom(&[
        ("revoke_url", "https://auth.example.com/revoke?v=2"),
        ("userinfo_url", "https://api.example.com/me"),
        ("userinfo_id", "/data/id"),
        ("userinfo_label", "/data/email"),
        ("issuer", "https://auth.example.com"),
        ("scope_separator", "comma"),
        ("token_auth", "basic"),
        ("pkce", "off"),
        ("rotation", "grace"),
        ("grace_seconds", "30"),
        ("idle_days", "60"),
        ("hard_limit_days", "365"),
        ("refresh_expires_in", "refresh_token_expires_in"),
        ("assumed_lifetime", "never"),
    ])
    .unwrap();
    assert_eq!(provider.issuer.as_deref(), Some("https://auth.example.com"));
    assert_eq!(provider.authorize.scope_separator, ",");
    assert!(!provider.authorize.pkce);
    assert_eq!(provider.token.auth, ClientAuth::Basic);
    let revocation = provider.revocation.unwrap();
    assert_eq!(revocation.send, TokenCarrier::Form);
    assert_eq!(revocation.auth, RevocationAuth::Basic);
    assert!(revocation.hint && revocation.either);
    assert_eq!(revocation.token, RevokedToken::Refresh);
    assert_eq!(revocation.url, "https://auth.example.com/revoke?v=2");
    let identity = provider.identity.unwrap();
    assert_eq!(identity.url, Url::parse("https://api.example.com/me").ok());
    assert_eq!(identity.id, "/data/id");
    assert_eq!(identity.label.as_deref(), Some("/data/email"));
    let seconds = std::time::Duration::from_secs;
    assert_eq!(provider.refresh.rotation, Rotation::Grace(seconds(30)));
    assert_eq!(provider.refresh.idle_limit, Some(seconds(60 * 86_400)));
    assert_eq!(provider.refresh.hard_limit, Some(seconds(365 * 86_400)));
    let told = provider.refresh.refresh_expires_in.as_deref();
    assert_eq!(told, Some("refresh_token_expires_in"));
    assert_eq!(provider.refresh.grant, RefreshGrant::RefreshToken);
    assert_eq!(provider.refresh.request, None);
    assert_eq!(provider.refresh.assumed_lifetime, None);
}

#[test]
fn a_custom_provider_may_exchange_access_tokens_in_either_way() {
    let exchange = |more: &[(&str, &str)]| {
        let pairs = [&[("exchange_grant_type", "x_refresh")], more].concat();
        let refresh = custom(&pairs).unwrap().refresh;
        assert_eq!(refresh.rotation, Rotation::None, "nothing rotates");
        (refresh.grant, refresh.request.unwrap())
    };
    let age = |seconds| RefreshGrant::AccessToken {
        min_age: std::time::Duration::from_secs(seconds),
    };
    let (grant, post) = exchange(&[]);
    assert_eq!(grant, age(0));
    assert_eq!(post.grant_type, "x_refresh");
    assert_eq!(post.token_param, "access_token");
    assert_eq!((post.method, post.auth), (Method::Post, RequestAuth::Post));
    assert_eq!(post.url.as_str(), "https://auth.example.com/token");
    let (grant, get) = exchange(&[
        ("exchange_param", "x_token"),
        ("exchange_method", "get"),
        ("exchange_url", "https://graph.example.com/renew"),
        ("exchange_min_age", "86400"),
    ]);
    assert_eq!(grant, age(86_400));
    assert_eq!(get.token_param, "x_token");
    assert_eq!((get.method, get.auth), (Method::Get, RequestAuth::None));
    assert_eq!(get.url.as_str(), "https://graph.example.com/renew");
}

#[test]
fn h15_a_custom_url_cannot_carry_a_parameter_of_the_protocol() {
    for name in [
        "state",
        "redirect_uri",
        "client_id",
        "response_type",
        "scope",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "resource",
        "STATE",
        "client_secret",
        "request_uri",
    ] {
        let url = format!("https://auth.example.com/authorize?a=b&{name}=x");
        let error = custom(&[("authorize_url", &url)]).expect_err(name);
        assert_eq!(error.field(), Some("authorize_url"), "{name}");
    }
    assert!(
        custom(&[(
            "authorize_url",
            "https://auth.example.com/authorize?audience=x"
        )])
        .is_ok()
    );
}

#[test]
fn h05_plain_pkce_cannot_be_configured() {
    for value in ["plain", "S256", "on", ""] {
        assert_eq!(
            custom(&[("pkce", value)]).unwrap_err().field(),
            Some("pkce")
        );
    }
}

#[test]
fn values_that_make_no_sense_together_are_refused_by_name() {
    for (pairs, field) in [
        (&[("rotation", "grace")][..], "grace_seconds"),
        (&[("grace_seconds", "30")][..], "grace_seconds"),
        (
            &[("rotation", "grace"), ("grace_seconds", "86401")][..],
            "grace_seconds",
        ),
        (&[("idle_days", "0")][..], "idle_days"),
        (&[("idle_days", "3651")][..], "idle_days"),
        (&[("userinfo_id", "sub")][..], "userinfo_id"),
        (&[("issuer", "https://auth.example.com?x=y")][..], "issuer"),
        (&[("assumed_lifetime", "0")][..], "assumed_lifetime"),
        (&[("hard_limit_days", "3651")][..], "hard_limit_days"),
        (&[("refresh_expires_in", "/a")][..], "refresh_expires_in"),
        (
            &[("exchange_grant_type", "x"), ("rotation", "strict")][..],
            "rotation",
        ),
        (&[("iss", "promised")][..], "iss"),
        (&[("exchange_method", "get")][..], "exchange_method"),
        (&[("exchange_min_age", "60")][..], "exchange_min_age"),
        (
            &[
                ("exchange_grant_type", "x"),
                ("exchange_param", "Client_Secret"),
            ][..],
            "exchange_param",
        ),
        (
            &[
                ("exchange_grant_type", "x"),
                ("exchange_min_age", "2592001"),
            ][..],
            "exchange_min_age",
        ),
    ] {
        assert_eq!(custom(pairs).unwrap_err().field(), Some(field), "{pairs:?}");
    }
}

#[test]
fn only_the_local_stack_may_name_the_machine_itself() {
    let local = config(&[
        ("authorize_url", "http://localhost:9400/authorize"),
        ("token_url", "http://127.0.0.1:9400/token"),
    ]);
    assert!(resolve(&id("custom"), &local, AddressRules::LocalToo).is_ok());
    assert!(resolve(&id("custom"), &local, AddressRules::PublicHttps).is_err());
}
