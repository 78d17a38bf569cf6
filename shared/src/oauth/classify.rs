//! What a token endpoint's refusal means: the table of refresh.md section 5 as a function.
//!
//! The classes matter because the wrong one costs a user their connection: an answer that
//! could have rotated the refresh token must not be retried at once, and one that blames the
//! client or the network must not kill a grant (B6, B9, H-77).

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::json::text_at;
use crate::domain::provider::{ErrorClass, TokenEndpointProfile};
use crate::domain::refresh_protocol::MAX_PAUSE;
use crate::domain::time::Timestamp;
use crate::domain::token::TokenFailure;

/// Whether an answer reports an error whatever its status says (H-74).
pub(super) fn reports_error(body: &Value, profile: &TokenEndpointProfile) -> bool {
    let flagged = profile
        .success_flag
        .as_ref()
        .is_some_and(|flag| body.get(flag) == Some(&Value::Bool(false)));
    let named = match body.get("error") {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(code)) => !code.is_empty(),
        Some(_) => true,
    };
    flagged || named
}

/// What the error code of an answer means, if it has one that is known.
pub(super) fn error_class(body: &Value, profile: &TokenEndpointProfile) -> Option<ErrorClass> {
    let code = text_at(body, "/error").or_else(|| {
        let path = profile.error_path.as_deref()?;
        text_at(body, path)
    })?;
    let own = profile.errors.get(&code).copied();
    own.or_else(|| standard_class(&code))
}

/// RFC 6749 section 5.2, with what servers borrow from its section 4.1.2.1, from RFC 6750,
/// RFC 7009, RFC 8628, RFC 8707 and OpenID Connect.
fn standard_class(code: &str) -> Option<ErrorClass> {
    Some(match code {
        "invalid_grant" | "invalid_token" => ErrorClass::GrantRefused,
        "invalid_client" | "unauthorized_client" => ErrorClass::ClientRefused,
        "invalid_request" | "invalid_scope" | "invalid_target" | "unsupported_grant_type" => {
            ErrorClass::RequestRefused
        }
        "interaction_required"
        | "consent_required"
        | "login_required"
        | "account_selection_required" => ErrorClass::InteractionRequired,
        "temporarily_unavailable" | "slow_down" | "server_error" => ErrorClass::TryLater,
        _ => return None,
    })
}

/// Classifies an answer that brought no tokens. `body` is `None` when it is not JSON.
pub(super) fn classify(
    status: StatusCode,
    headers: &HeaderMap,
    body: Option<&Value>,
    profile: &TokenEndpointProfile,
    now: Timestamp,
) -> TokenFailure {
    let try_later = || TokenFailure::TryLater {
        after: retry_after(headers, now),
    };
    let class = body.and_then(|body| error_class(body, profile));
    if status.is_redirection() {
        return TokenFailure::Redirected;
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return try_later();
    }
    if status.is_server_error() {
        // With an OAuth error the endpoint itself has decided against the request, so nothing
        // was rotated. Without one it may have been a proxy that lost the answer on its way;
        // an `error` that is no OAuth code is what web frameworks write into any failure.
        return match class {
            Some(ErrorClass::OutcomeUnknown) | None => TokenFailure::OutcomeUnknown,
            Some(_) => try_later(),
        };
    }
    match class {
        Some(ErrorClass::GrantRefused) => TokenFailure::GrantRefused,
        Some(ErrorClass::ClientRefused) => TokenFailure::ClientRefused,
        Some(ErrorClass::RequestRefused) => TokenFailure::RequestRefused,
        Some(ErrorClass::InteractionRequired) => TokenFailure::InteractionRequired,
        Some(ErrorClass::TryLater) => try_later(),
        Some(ErrorClass::OutcomeUnknown) => TokenFailure::OutcomeUnknown,
        // Success without anything readable in it: the token may be rotated and lost.
        None if status.is_success() && !body.is_some_and(|body| reports_error(body, profile)) => {
            TokenFailure::OutcomeUnknown
        }
        None => TokenFailure::Unexpected {
            status: status.as_u16(),
        },
    }
}

/// `Retry-After` in either form (RFC 9110 section 10.2.3), at most [`MAX_PAUSE`] (H-75).
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let after = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean longer than we wait anyway.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let at = httpdate::parse_http_date(text).ok()?;
        let at = at.duration_since(UNIX_EPOCH).ok()?;
        let at = Timestamp::from_millis(i64::try_from(at.as_millis()).ok()?);
        at.since(now)
    };
    Some(after.min(MAX_PAUSE))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use http::HeaderValue;

    use super::*;
    use crate::catalogue;
    use crate::domain::address::AddressRules;
    use crate::domain::ids::ProviderId;

    const NOW: Timestamp = Timestamp::from_millis(1_795_366_800_000); // 2026-11-22 17:00:00

    fn profile(id: &str) -> TokenEndpointProfile {
        let id = ProviderId::parse(id).unwrap();
        catalogue::resolve(&id, &BTreeMap::new(), AddressRules::PublicHttps)
            .unwrap()
            .token
    }

    fn outcome(provider: &str, status: u16, body: &str) -> TokenFailure {
        classify(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            super::super::json::parse(body.as_bytes()).as_ref(),
            &profile(provider),
            NOW,
        )
    }

    const LATER: TokenFailure = TokenFailure::TryLater { after: None };

    #[test]
    fn answers_are_classified_as_the_design_says() {
        use TokenFailure as F;
        let unexpected = |status| F::Unexpected { status };
        for (provider, status, body, expected) in [
            (
                "google",
                400,
                r#"{"error":"invalid_grant"}"#,
                F::GrantRefused,
            ),
            (
                "google",
                401,
                r#"{"error":"invalid_grant"}"#,
                F::GrantRefused,
            ),
            (
                "google",
                403,
                r#"{"error":"invalid_grant"}"#,
                F::GrantRefused,
            ),
            (
                "google",
                401,
                r#"{"error":"invalid_client"}"#,
                F::ClientRefused,
            ),
            (
                "google",
                400,
                r#"{"error":"unauthorized_client"}"#,
                F::ClientRefused,
            ),
            (
                "google",
                400,
                r#"{"error":"invalid_scope"}"#,
                F::RequestRefused,
            ),
            (
                "google",
                400,
                r#"{"error":"invalid_request"}"#,
                F::RequestRefused,
            ),
            (
                "google",
                400,
                r#"{"error":"unsupported_grant_type"}"#,
                F::RequestRefused,
            ),
            (
                "microsoft",
                400,
                r#"{"error":"interaction_required"}"#,
                F::InteractionRequired,
            ),
            (
                "microsoft",
                400,
                r#"{"error":"consent_required"}"#,
                F::InteractionRequired,
            ),
            (
                "microsoft",
                400,
                r#"{"error":"login_required"}"#,
                F::InteractionRequired,
            ),
            (
                "google",
                400,
                r#"{"error":"temporarily_unavailable"}"#,
                LATER,
            ),
            ("google", 400, r#"{"error":"slow_down"}"#, LATER),
            ("google", 429, r#"{"error":"invalid_grant"}"#, LATER),
            ("google", 429, "busy", LATER),
            (
                "google",
                503,
                r#"{"error":"temporarily_unavailable"}"#,
                LATER,
            ),
            ("google", 500, r#"{"error":"invalid_grant"}"#, LATER),
            ("google", 500, r#"{"error":"internal_failure"}"#, LATER),
            ("google", 500, "", F::OutcomeUnknown),
            (
                "google",
                500,
                r#"{"error":"Internal Server Error"}"#,
                F::OutcomeUnknown,
            ),
            (
                "slack",
                500,
                r#"{"ok":false,"error":"fatal_error"}"#,
                F::OutcomeUnknown,
            ),
            ("google", 502, "<html>Bad Gateway</html>", F::OutcomeUnknown),
            ("google", 503, "{}", F::OutcomeUnknown),
            (
                "google",
                504,
                r#"{"error":{"code":504}}"#,
                F::OutcomeUnknown,
            ),
            ("google", 301, "", F::Redirected),
            ("google", 302, r#"{"error":"invalid_grant"}"#, F::Redirected),
            ("google", 307, "", F::Redirected),
            ("google", 308, "", F::Redirected),
            ("google", 200, "", F::OutcomeUnknown),
            ("google", 200, "<html>", F::OutcomeUnknown),
            ("google", 200, r#"{"access_tok"#, F::OutcomeUnknown),
            ("google", 204, "", F::OutcomeUnknown),
            ("google", 400, "", unexpected(400)),
            ("google", 404, "<html>", unexpected(404)),
            ("google", 400, r#"{"error":"banana"}"#, unexpected(400)),
            ("google", 418, r#"["error"]"#, unexpected(418)),
        ] {
            assert_eq!(outcome(provider, status, body), expected, "{status} {body}");
        }
    }

    /// H-74.
    #[test]
    fn h74_an_error_in_a_200_is_an_error() {
        use TokenFailure as F;
        for (provider, body, expected) in [
            (
                "github",
                r#"{"error":"bad_refresh_token"}"#,
                F::GrantRefused,
            ),
            (
                "github",
                r#"{"error":"bad_verification_code"}"#,
                F::GrantRefused,
            ),
            (
                "github",
                r#"{"error":"incorrect_client_credentials"}"#,
                F::ClientRefused,
            ),
            (
                "github",
                r#"{"error":"redirect_uri_mismatch"}"#,
                F::RequestRefused,
            ),
            (
                "github",
                r#"{"error":"unheard_of"}"#,
                F::Unexpected { status: 200 },
            ),
            (
                "slack",
                r#"{"ok":false,"error":"invalid_refresh_token"}"#,
                F::GrantRefused,
            ),
            (
                "slack",
                r#"{"ok":false,"error":"bad_client_secret"}"#,
                F::ClientRefused,
            ),
            ("slack", r#"{"ok":false,"error":"ratelimited"}"#, LATER),
            (
                "slack",
                r#"{"ok":false,"error":"fatal_error"}"#,
                F::OutcomeUnknown,
            ),
            ("slack", r#"{"ok":false}"#, F::Unexpected { status: 200 }),
            ("google", r#"{"error":"invalid_grant"}"#, F::GrantRefused),
        ] {
            let value: Value = serde_json::from_str(body).unwrap();
            assert!(reports_error(&value, &profile(provider)), "{body}");
            assert_eq!(outcome(provider, 200, body), expected, "{body}");
        }
    }

    #[test]
    fn a_code_in_another_place_is_found_there() {
        let body = r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or invalid"}"#;
        assert_eq!(outcome("hubspot", 400, body), TokenFailure::GrantRefused);
        let standard = r#"{"status":"error","error":"invalid_grant"}"#;
        assert_eq!(
            outcome("hubspot", 400, standard),
            TokenFailure::GrantRefused
        );
    }

    #[test]
    fn an_empty_or_absent_error_is_none() {
        for body in [
            r#"{}"#,
            r#"{"error":""}"#,
            r#"{"error":null}"#,
            r#"{"error":false}"#,
        ] {
            let value: Value = serde_json::from_str(body).unwrap();
            assert!(!reports_error(&value, &profile("google")), "{body}");
        }
        let flagged: Value = serde_json::from_str(r#"{"ok":false}"#).unwrap();
        assert!(
            !reports_error(&flagged, &profile("google")),
            "only Slack has the flag"
        );
    }

    #[test]
    fn h75_retry_after_is_read_in_both_forms_and_capped() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (text, expected) in [
            ("120", seconds(120)),
            ("0", seconds(0)),
            (" 7 ", seconds(7)),
            ("3601", seconds(3600)),
            ("99999999999999999999999", seconds(3600)),
            ("Sun, 22 Nov 2026 17:02:00 GMT", seconds(120)),
            ("Sunday, 22-Nov-26 17:02:00 GMT", seconds(120)),
            ("Sun Nov 22 17:02:00 2026", seconds(120)),
            ("Sun, 22 Nov 2026 16:00:00 GMT", seconds(0)),
            ("Mon, 23 Nov 2026 17:00:00 GMT", seconds(3600)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            assert_eq!(retry_after(&headers, NOW), expected, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), NOW), None);
    }
}
