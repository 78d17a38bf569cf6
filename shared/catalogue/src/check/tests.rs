//! A bad template for every rule, and the reason it is refused for.

use serde_json::{Value, json};

use super::*;
use crate::load::Description;

/// A template with everything in it and nothing wrong with it.
fn good() -> Value {
    json!({
        "name": "Acme",
        "fields": [
            {"name": "host", "label": "Host", "help": "a host", "required": true,
             "pattern": "^([a-z0-9-]{1,63}\\.)+[a-z]{2,63}$", "example": "acme.example.com"},
            {"name": "shop", "asked": "user", "label": "Shop", "help": "a shop", "required": true,
             "pattern": "^[a-z0-9][a-z0-9-]{0,61}$", "example": "shop-1"},
            {"name": "region", "label": "Region", "help": "a region", "example": "eu"}
        ],
        "headers": {"Acme-Version": "7"},
        "issuer": "https://acme.example.com",
        "iss_promised": true,
        "id_token": {
            "issuer": "https://acme.example.com/{tenantid}",
            "jwks_url": "https://acme.example.com/keys"
        },
        "authorize": {
            "url": "https://{host}/authorize?flow=web",
            "params": {"region": "{region}", "access_type": "offline"},
            "scope_separator": ",",
            "scope_encoding": "raw",
            "rename": {"client_id": "app_id"},
            "omit": ["response_type"],
            "response_mode": "query",
            "code_param": "auth_code",
            "pkce": "optional"
        },
        "callback": {"realm_id": {"param": "realmId", "pattern": "^[0-9]{1,20}$", "required": true}},
        "token": {
            "url": "https://{shop}.example.com/token",
            "auth": "post",
            "params": {"shop": "{shop}"},
            "rename": {"client_id": "app_id"},
            "omit": ["grant_type"],
            "token_path": "/data",
            "members": {"access_token": "accessToken"},
            "error_path": "/status",
            "scope_path": "/scopes"
        },
        "after_code": {
            "url": "https://api.example.com/long", "method": "get",
            "grant_type": "long", "auth": "query", "params": {"v": "1"}
        },
        "refresh": {
            "rotation": "none",
            "idle_days": 60,
            "assumed_lifetime": {"seconds": 3600},
            "request": {
                "url": "https://api.example.com/renew", "token": "access", "auth": "post",
                "params": {"w": "1"}, "min_age_seconds": 60, "token_path": "/data"
            }
        },
        "revoke": {
            "url": "https://api.example.com/revoke/{client_id}", "token": "access", "either": true,
            "send": "form", "hint": true, "auth": "post",
            "params": {"realm": "{captured.realm_id}", "client": "{client_id}"}
        },
        "identity": {
            "id_token": true, "url": "https://api.example.com/me", "json": {"query": "{me}"},
            "id": "/id", "label": "/email"
        },
        "captured": {"instance_url": "/instance_url"}
    })
}

fn faults(description: Value) -> Vec<String> {
    match Description::read(description) {
        Ok(read) => {
            let faults = check(&read.template, &public_https);
            faults.iter().map(Fault::to_string).collect()
        }
        Err(fault) => vec![fault.to_string()],
    }
}

fn changed(patch: Value) -> Vec<String> {
    let mut description = good();
    crate::merge::merge(&mut description, patch);
    faults(description)
}

/// The same with another pattern and example for one of the fields.
fn field(at: usize, members: Value) -> Vec<String> {
    let mut description = good();
    crate::merge::merge(&mut description["fields"][at], members);
    faults(description)
}

#[track_caller]
fn refused(faults: &[String], reason: &str) {
    assert!(
        faults.iter().any(|fault| fault.contains(reason)),
        "{reason:?} is not in {faults:#?}"
    );
}

#[test]
fn a_template_with_everything_in_it_is_taken() {
    assert_eq!(faults(good()), [""; 0]);
}

#[test]
fn an_unknown_member_is_refused_wherever_it_stands() {
    for patch in [
        json!({"revok": {}}),
        json!({"authorize": {"uri": ""}}),
        json!({"token": {"basic": true}}),
        json!({"refresh": {"request": {"uri": ""}}}),
        json!({"revoke": {"shape": "bearer"}}),
        json!({"callback": {"realm_id": {"rule": ""}}}),
        json!({"extends": "family"}),
    ] {
        refused(&changed(patch), "unknown field");
    }
}

#[test]
fn h30_h35_a_url_that_could_lead_astray_is_refused() {
    for (url, reason) in [
        ("http://acme.example.com/t", "https://"),
        ("https://acme.example.com/t#x", "must not contain #"),
        ("https://user@acme.example.com/t", "user name"),
        ("https://10.0.0.1/t", "public internet"),
        ("https://[::1]/t", "public internet"),
        ("https://localhost/t", "public internet"),
        ("https://acme/t", "public internet"),
        ("https://acme.localhost/t", "public internet"),
        ("https://acme.example.com/a/../t", "must be written as"),
        ("https://ACME.example.com/t", "must be written as"),
        ("https://acme.example.com/t?State=1", "parameter State"),
        (
            "https://acme.example.com/t?client_secret=1",
            "parameter client_secret",
        ),
        ("//acme.example.com/t", "must be a URL"),
        ("{host}/t", "must name its scheme"),
        ("https://acme.example.com:{host}/t", "no domain follows"),
        (
            "https://acme.example.com/{client_id}",
            "must not stand here",
        ),
        (
            "https://acme.example.com/{captured.realm_id}",
            "must not stand in a URL",
        ),
        ("https://acme.example.com/{nobody}", "stands for no field"),
        ("https://acme.example.com/{region}", "may be left empty"),
        ("https://acme.example.com/{region}", "has no pattern"),
        ("https://{shop}example.com/t", "no domain follows"),
        ("https://{shop}.com/t", "no domain follows"),
        ("https://a{host}/t", "no domain follows"),
        ("https://{shop}/t", "must be a URL"),
        (
            "https://{client_id}.example.com/t",
            "must not stand in a host",
        ),
    ] {
        let faults = changed(json!({"token": {"url": url}}));
        if url != "https://{shop}/t" {
            refused(&faults, reason);
            refused(&faults, "token.url");
        }
        for place in ["id_token", "after_code", "revoke", "identity"] {
            if place == "revoke" && url.ends_with("/{client_id}") {
                continue; // The one place for it.
            }
            let member = if place == "id_token" {
                "jwks_url"
            } else {
                "url"
            };
            assert!(
                !changed(json!({place: {member: url}})).is_empty(),
                "{place} {url}"
            );
        }
        assert!(
            !changed(json!({"refresh": {"request": {"url": url}}})).is_empty(),
            "{url}"
        );
        assert!(
            !changed(json!({"authorize": {"url": url}})).is_empty(),
            "{url}"
        );
    }
    refused(
        &changed(json!({"issuer": "https://acme.example.com?a=b"})),
        "issuer: must not contain ?",
    );
}

#[test]
fn h35_a_pattern_that_lets_a_value_out_of_its_blank_is_refused() {
    for pattern in [
        ".*",
        "^.*$",
        "^.+$",
        "^[^/]+$",
        "^[a-z0-9-]+(/x)?$",
        "^[a-z0-9.:-]+$",
        "^[a-z@0-9-]+$",
        "^[a-z0-9-]+#?$",
        "^[a-z0-9-]+\\??$",
        "^[a-z0-9%-]+$",
        "^[a-z0-9-]+\\s?$",
        "^shop-1|.*$",
        "^[a-z0-9-]*$",
        "^shop-1$|x",
        "(?m)^shop-1$",
        "^(",
        "^shop-2$",
        "^[.-z0-9]+$",
        "^[^a]+$",
        "^\\S+$",
        "^\\w+\\W?$",
        "^[a-z0-9-]+[]/]?$",
        "^[a-z0-9-]+(?i:x)?$",
        "^[a-z0-9&-]+$",
    ] {
        assert!(
            !field(1, json!({"pattern": pattern})).is_empty(),
            "{pattern}"
        );
        assert!(
            !field(0, json!({"pattern": pattern})).is_empty(),
            "{pattern}"
        );
    }
    refused(&field(1, json!({"pattern": null})), "has no pattern");
    // A user's value that is the whole of a host is one of a known domain, or none.
    let by_user = |pattern: &str| field(0, json!({"asked": "user", "pattern": pattern}));
    refused(
        &by_user("^([a-z0-9-]{1,63}\\.)+[a-z]{2,63}$"),
        "lets secrets go to",
    );
    refused(
        &by_user("^[a-z0-9.-]+example\\.com$"),
        "lets secrets go to evilexample.com",
    );
    assert_eq!(by_user("^[a-z0-9-]{1,63}\\.example\\.com$"), [""; 0]);
    // An admin's may be any host, but not where something stands before it that makes it look
    // like one of a known domain.
    let behind = |pattern: &str| {
        let mut description = good();
        description["fields"][0]["pattern"] = json!(pattern);
        description["token"]["url"] = json!("https://api.{host}/token");
        faults(description)
    };
    refused(
        &behind("^([a-z0-9-]{1,63}\\.)+[a-z]{2,63}$"),
        "lets secrets go to evil.com",
    );
    assert_eq!(behind("^(acme|other)\\.example\\.com$"), [""; 0]);
}

#[test]
fn fields_and_blanks_belong_together() {
    for (at, members, reason) in [
        (0, json!({"name": "Host"}), "must be a name of lower-case"),
        (0, json!({"name": "shop"}), "is there twice"),
        (
            0,
            json!({"name": "client_id"}),
            "has the name of another blank",
        ),
        (0, json!({"name": "other"}), "is used by nothing"),
        (
            0,
            json!({"name": "realm_id"}),
            "has the name of a value that the provider gives",
        ),
        (0, json!({"default": "acme"}), "does not match the pattern"),
        (0, json!({"example": "acme"}), "does not match the pattern"),
        (0, json!({"required": false}), "may be left empty"),
        (0, json!({"asked": "nobody"}), "unknown variant"),
    ] {
        refused(&field(at, members), reason);
    }
}

#[test]
fn h15_a_parameter_of_the_protocol_is_nobodys_to_set() {
    for place in ["authorize", "token", "after_code"] {
        for name in [
            "state",
            "Redirect_URI",
            "client_id",
            "code_challenge_method",
            "nonce",
        ] {
            let faults = changed(json!({place: {"params": {name: "x"}}}));
            refused(&faults, "is a parameter of the protocol");
        }
    }
    for patch in [
        json!({"authorize": {"params": {"app_id": "x"}}}),
        json!({"token": {"params": {"app_id": "x"}}}),
        json!({"refresh": {"request": {"params": {"grant_type": "x"}}}}),
        json!({"refresh": {"request": {"token_param": "Client_Secret"}}}),
        json!({"after_code": {"token_param": "code"}}),
        json!({"after_code": {"params": {"access_token": "x"}}}),
        json!({"revoke": {"params": {"token": "x"}}}),
        json!({"revoke": {"params": {"client_secret": "x"}}}),
        json!({"revoke": {"params": {"client_id": "x"}}}),
        json!({"revoke": {"param": "client_id"}}),
        json!({"authorize": {"scope_param": "state"}}),
        json!({"authorize": {"code_param": "error"}}),
        json!({"authorize": {"hmac_param": "state"}}),
        json!({"authorize": {"hmac_param": "auth_code"}}),
        json!({"callback": {"realm_id": {"param": "code"}}}),
        json!({"callback": {"realm_id": {"param": "auth_code"}}}),
        json!({"callback": {"realm_id": {"param": "iss"}}}),
    ] {
        refused(&changed(patch), "is a parameter of the protocol");
    }
    for patch in [
        json!({"authorize": {"rename": {"state": "s"}}}),
        json!({"token": {"rename": {"audience": "s"}}}),
    ] {
        refused(&changed(patch), "must keep its name");
    }
    for patch in [
        json!({"authorize": {"rename": {"client_id": "state"}}}),
        json!({"token": {"rename": {"code": "app_id"}}}),
        json!({"token": {"members": {"refresh_token": "accessToken"}}}),
    ] {
        refused(&changed(patch), "must be a name of its own");
    }
    for patch in [
        json!({"authorize": {"omit": ["state"]}}),
        json!({"token": {"omit": ["code_verifier"]}}),
    ] {
        refused(&changed(patch), "must not be left out");
    }
    refused(
        &changed(json!({"token": {"params": {"x": "{captured.realm_id}"}}})),
        "only a revocation knows",
    );
    refused(
        &changed(json!({"revoke": {"params": {"x": "{captured.other}"}}})),
        "stands for no field",
    );
    refused(
        &changed(json!({"revoke": {"params": {"x": "{token}"}}})),
        "stands in URLs only",
    );
    refused(
        &changed(json!({"token": {"params": {"": "x"}}})),
        "has no name",
    );
}

#[test]
fn what_cannot_be_said_together_is_refused() {
    for (patch, reason) in [
        (
            json!({"iss_promised": true, "issuer": null}),
            "iss_promised: goes with an issuer only",
        ),
        (
            json!({"id_token": null}),
            "identity.id_token: goes with id_token only",
        ),
        (
            json!({"id_token": {"issuer": null}}),
            "missing field `issuer`",
        ),
        (
            json!({"identity": {"url": null}}),
            "identity.json: goes with a url only",
        ),
        (
            json!({"refresh": {"request": null, "rotation": {"grace": 0}}}),
            "has a grace of 0",
        ),
        (
            json!({"refresh": {"request": null, "rotation": {"grace": 86_401}}}),
            "more than 86400",
        ),
        (
            json!({"refresh": {"idle_days": 0}}),
            "refresh.idle_days: must be 1 to 3650",
        ),
        (
            json!({"refresh": {"hard_limit_days": 3651}}),
            "refresh.hard_limit_days: must be",
        ),
        (
            json!({"refresh": {"assumed_lifetime": {"seconds": 0}}}),
            "must be 1 second",
        ),
        (
            json!({"refresh": {"tokens": false}}),
            "refresh.idle_days: goes with refresh tokens only",
        ),
        (
            json!({"refresh": {"tokens": false}}),
            "refresh.request: goes with refresh tokens only",
        ),
        (
            json!({"refresh": {"tokens": false, "refresh_expires_in": "x"}}),
            "refresh.refresh_expires_in: goes with refresh tokens only",
        ),
        (
            json!({"refresh": {"tokens": false, "rotation": "strict"}}),
            "must be none without refresh tokens",
        ),
        (
            json!({"refresh": {"rotation": "sliding"}}),
            "so that rotation must be none",
        ),
        (
            json!({"refresh": {"rotation": {"grace": 30}}}),
            "so that rotation must be none",
        ),
        (
            json!({"refresh": {"request": {"token": "refresh"}}}),
            "goes with token access only",
        ),
        (
            json!({"refresh": {"request": {"min_age_seconds": 2_592_001}}}),
            "at most 30 days",
        ),
        (
            json!({"refresh": {"request": {"method": "get"}}}),
            "has no place in a GET",
        ),
        (
            json!({"refresh": {"request": {"method": "delete"}}}),
            "must be get or post",
        ),
        (
            json!({"refresh": {"request": {"auth": "query"}}}),
            "query goes with method get only",
        ),
        (
            json!({"refresh": {"request": {"method": "get", "auth": "none", "body": "form"}}}),
            "refresh.request.body: goes with method post only",
        ),
        (
            json!({"refresh": {"request": {"auth": "private_key_jwt"}}}),
            "the same token.auth only",
        ),
        (
            json!({"after_code": {"auth": "post"}}),
            "after_code.auth: has no place in a GET",
        ),
        (
            json!({"after_code": {"method": "post"}}),
            "query goes with method get only",
        ),
        (
            json!({"token": {"auth": "private_key_jwt"}, "issuer": null, "iss_promised": false}),
            "private_key_jwt goes with an issuer only",
        ),
        (
            json!({"token": {"auth": "private_key_jwt"}}),
            "revoke.auth: would send the private key",
        ),
        (
            json!({"token": {"auth": "private_key_jwt"}}),
            "after_code.auth: would send the private key",
        ),
        (
            json!({"token": {"auth": "private_key_jwt"}}),
            "refresh.request.auth: would send the private key",
        ),
        (
            json!({"revoke": {"auth": "private_key_jwt"}}),
            "the same token.auth only",
        ),
        (
            json!({"revoke": {"send": "bearer"}}),
            "revoke.either: goes with a token that is named",
        ),
        (
            json!({"revoke": {"send": "path"}}),
            "revoke.either: goes with a token that is named",
        ),
        (
            json!({"revoke": {"send": "path"}}),
            "holds {token} where send is path",
        ),
        (
            json!({"revoke": {"url": "https://api.example.com/{token}"}}),
            "holds {token} where send is path",
        ),
        (
            json!({"revoke": {"send": "bearer"}}),
            "revoke.hint: goes with a token that is named",
        ),
        (
            json!({"revoke": {"method": "get"}}),
            "get has no body for the token",
        ),
        (
            json!({"revoke": {"method": "get", "send": "query"}}),
            "revoke.auth: has no place in a GET",
        ),
        (
            json!({"revoke": {"send": "bearer", "auth": "basic"}}),
            "takes the header that send bearer needs",
        ),
        (
            json!({"revoke": {"token": "refresh"}}),
            "must be access without refresh tokens",
        ),
        (
            json!({"authorize": {"scope_separator": ""}}),
            "must be 1 to 8 characters",
        ),
        (
            json!({"authorize": {"scope_separator": "&"}}),
            "cannot stand in a URL as it is",
        ),
        (
            json!({"captured": {"realm_id": "/r"}}),
            "is kept from the callback already",
        ),
        (json!({"captured": {"x": "r"}}), "must be a JSON pointer"),
        (
            json!({"captured": {"X": "/r"}}),
            "must be a name of lower-case",
        ),
        (
            json!({"callback": {"realm_id": {"pattern": "[0-9]+"}}}),
            "must be anchored",
        ),
        (
            json!({"callback": {"realm_id": {"pattern": "^[0-9]*$"}}}),
            "must not match an empty value",
        ),
        (json!({"identity": {"id": "id"}}), "must be a JSON pointer"),
        (
            json!({"token": {"error_path": ""}}),
            "must be a JSON pointer",
        ),
        (
            json!({"token": {"members": {"id_token": "x"}}}),
            "is no member of an answer",
        ),
        (
            json!({"headers": {"Authorization": "x"}}),
            "is a header that we set ourselves",
        ),
        (json!({"headers": {"X Y": "x"}}), "is no name of a header"),
        (
            json!({"headers": {"X": "a\r\nb"}}),
            "must be printable ASCII",
        ),
        (json!({"name": " Acme"}), "name: must be 1 to 100"),
    ] {
        refused(&changed(patch), reason);
    }
}
