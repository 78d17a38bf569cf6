//! Callbacks that a provider signs with the client's secret (Shopify): the HMAC-SHA-256, in hex,
//! of all other parameters as `name=value`, sorted and joined by `&`.
//!
//! Whoever takes the callback has no client secret and whoever redeems the code has no callback.
//! So the two go together, sealed as the code is, and are taken apart once they are proven.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::domain::secret::Secret;
use crate::ports::ClientCredentials;

/// What KMS encrypts at once, in bytes.
const MOST: usize = 4096;

/// A callback whose signature nobody has looked at yet, as one text that holds `code`. `None`
/// where it has no signature or is longer than a provider's is.
pub fn unproven<'a>(
    params: impl Iterator<Item = (&'a str, &'a str)>,
    hmac_param: &str,
    code: &str,
) -> Option<Secret> {
    let (mut signature, mut signed) = (None, Vec::new());
    for (name, value) in params {
        if name == hmac_param {
            signature = Some(value);
        } else {
            // Escaped as the vendor's libraries do, so that no value reads like two parameters.
            let name = escaped(name).replace('=', "%3D");
            signed.push(format!("{name}={}", escaped(value)));
        }
    }
    signed.sort();
    let parts = [signature?, code, &signed.join("&")];
    let text = serde_json::to_string(&parts).ok()?;
    (text.len() <= MOST).then(|| Secret::new(text))
}

/// The code of such a callback, if a live secret of the client has signed it.
pub fn proven(callback: &Secret, client: &ClientCredentials) -> Option<Secret> {
    let [signature, code, signed]: [String; 3] = serde_json::from_str(callback.expose()).ok()?;
    let secrets = [Some(&client.client_secret), client.previous_secret.as_ref()];
    let is_signed = secrets.into_iter().flatten().any(|secret| {
        let expected = hex_hmac(secret, &signed);
        verify_slices_are_equal(expected.as_bytes(), signature.as_bytes()).is_ok()
    });
    is_signed.then(|| Secret::new(code))
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('&', "%26")
}

fn hex_hmac(secret: &Secret, text: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let tag = hmac::sign(&key, text.as_bytes());
    let bytes = tag.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "code=0907a61c0c8d55e99db179b68161bc00&shop=acme.myshopify.com\
                          &state=0.6784241404160823&timestamp=1337178173";

    fn client(secret: &str, previous: Option<&str>) -> ClientCredentials {
        ClientCredentials {
            client_id: "c".into(),
            client_secret: Secret::new(secret),
            previous_secret: previous.map(Secret::new),
        }
    }

    fn callback(query: &str, hmac: Option<&str>) -> Option<Secret> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let pairs: Vec<_> = pairs.chain(hmac.map(|hmac| ("hmac", hmac))).collect();
        let code = pairs.iter().find(|(name, _)| *name == "code")?.1;
        unproven(pairs.iter().rev().copied(), "hmac", code)
    }

    /// The signature was made by another implementation (OpenSSL).
    const BY_HUSH: &str = "4be6b540966f72aaa30776993cb3cc7ab5d105e744f337cdc19999bd44c179c1";

    #[test]
    fn a_callback_is_proven_by_either_live_secret_whatever_the_order() {
        let signed = callback(SIGNED, Some(BY_HUSH)).unwrap();
        for client in [client("hush", None), client("new", Some("hush"))] {
            let code = proven(&signed, &client).unwrap();
            assert_eq!(code.expose(), "0907a61c0c8d55e99db179b68161bc00");
        }
        assert!(proven(&signed, &client("other", None)).is_none());
    }

    #[test]
    fn what_was_changed_added_or_left_unsigned_is_not_proven() {
        let hush = client("hush", None);
        let other_shop = SIGNED.replace("acme", "evil");
        let more = format!("{SIGNED}&x=1");
        for query in [&other_shop, &more] {
            let callback = callback(query, Some(BY_HUSH)).unwrap();
            assert!(proven(&callback, &hush).is_none(), "{query}");
        }
        let upper = callback(SIGNED, Some(&BY_HUSH.to_uppercase())).unwrap();
        assert!(proven(&upper, &hush).is_none());
        assert!(callback(SIGNED, None).is_none());
    }

    #[test]
    fn no_value_reads_like_two_parameters() {
        let one = unproven([("a", "1&b=2"), ("hmac", "x")].into_iter(), "hmac", "c").unwrap();
        let two = unproven(
            [("a", "1"), ("b", "2"), ("hmac", "x")].into_iter(),
            "hmac",
            "c",
        );
        assert_ne!(one.expose(), two.unwrap().expose());
    }

    #[test]
    fn a_callback_that_kms_would_not_take_is_refused() {
        let long = "x".repeat(MOST);
        assert!(unproven([("code", &*long), ("hmac", "x")].into_iter(), "hmac", &long).is_none());
    }
}
