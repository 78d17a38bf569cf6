use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::{DecodingKey, Validation, jwk::Jwk};
use serde_json::Value;

use super::*;

struct Sevens;

impl Entropy for Sevens {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn pem_of(label: &str, der: &[u8]) -> Secret {
    let body = BASE64_STANDARD.encode(der);
    let lines: Vec<_> = body.as_bytes().chunks(64).collect();
    let lines = lines.join(&b'\n');
    let body = String::from_utf8(lines).unwrap();
    Secret::new(format!(
        "-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"
    ))
}

fn rsa() -> Vec<u8> {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    pkcs8.as_ref().to_vec()
}

fn p256() -> Vec<u8> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    pair.to_pkcs8v1().unwrap().as_ref().to_vec()
}

fn client(secret: Secret) -> ClientCredentials {
    ClientCredentials {
        client_id: "client-1".into(),
        client_secret: secret,
        previous_secret: None,
    }
}

fn prove(secret: &Secret, issuer: Option<&str>) -> Result<Proof, Unbuildable> {
    let prover = Prover {
        issuer,
        entropy: &Sevens,
        now: Timestamp::from_millis(1_795_366_800_999),
    };
    prover.prove(RequestAuth::PrivateKeyJwt, &client(secret.clone()))
}

/// RFC 7523 section 3, as a server would check it.
#[test]
fn h23_an_assertion_is_for_the_issuer_alone_and_good_for_a_minute() {
    let (pkcs8, ec) = (rsa(), p256());
    // PKCS #8 holds what PKCS #1 is.
    let keys = [
        (pem_of("PRIVATE KEY", &pkcs8), Algorithm::RS256),
        (pem_of("RSA PRIVATE KEY", &pkcs8[26..]), Algorithm::RS256),
        (pem_of("PRIVATE KEY", &ec), Algorithm::ES256),
    ];
    for (secret, algorithm) in keys {
        assert!(is_signing_key(&secret));
        let proof = prove(&secret, Some("https://as.example")).unwrap();
        assert!(proof.header.is_none());
        let names: Vec<_> = proof.members.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            ["client_id", "client_assertion_type", "client_assertion"]
        );
        assert_eq!(proof.members[1].1.expose(), ASSERTION_TYPE);

        let jwt = proof.members[2].1.expose();
        let (_, key) = signing_key(&secret).unwrap();
        let public = Jwk::from_encoding_key(&key, algorithm).unwrap();
        let key = DecodingKey::from_jwk(&public).unwrap();
        let mut rules = Validation::new(algorithm);
        rules.set_audience(&["https://as.example"]);
        rules.validate_exp = false;
        let read = jsonwebtoken::decode::<Value>(jwt, &key, &rules).unwrap();
        assert_eq!(
            read.claims,
            serde_json::json!({
                "iss": "client-1",
                "sub": "client-1",
                "aud": "https://as.example",
                "jti": "BwcHBwcHBwcHBwcHBwcHBw",
                "iat": 1_795_366_800,
                "exp": 1_795_366_860,
            }),
            "the audience is one text and no list"
        );
    }
}

#[test]
fn h23_without_an_issuer_nothing_is_signed() {
    assert!(prove(&pem_of("PRIVATE KEY", &p256()), None).is_err());
}

#[test]
fn what_is_no_private_key_signs_nothing() {
    let der = p256();
    for secret in [
        Secret::new("s3cret"),
        Secret::new(""),
        Secret::new("-----BEGIN PRIVATE KEY-----"),
        pem_of("PUBLIC KEY", &der),
        pem_of("EC PRIVATE KEY", &der),
        pem_of("PRIVATE KEY", &der[..der.len() / 2]),
        pem_of("PRIVATE KEY", &[]),
        pem_of("PRIVATE KEY", &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
        pem_of("RSA PRIVATE KEY", &der),
        Secret::new(
            pem_of("PRIVATE KEY", &der)
                .expose()
                .replace("END PRIVATE", "END RSA"),
        ),
    ] {
        assert!(!is_signing_key(&secret));
        assert!(prove(&secret, Some("https://as.example")).is_err());
    }
}
