//! The KMS adapter against a KMS on loopback: which contexts it names, and what it makes of
//! each answer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use shared::crypto::kms::KmsKeyService;
use shared::domain::ids::SessionId;
use shared::domain::secret::Secret;
use shared::ports::{AnswerOf, KeyService as _, KmsError, SessionField, WrappedRootKey};
use testkit::fake_kms_http::{ENCRYPT_LIMIT, FakeKms, Fault};

/// What must never be seen in an error.
const CANARY: &str = "canary-4c1f7e02";

const START: AnswerOf<'static> = AnswerOf {
    function: "oauth-start",
    row: "5e1f",
};

/// What may be over a moment later.
const BRIEF: [Fault; 4] = [
    Fault::KeyUnavailable,
    Fault::Throttled,
    Fault::Broken,
    Fault::Silent,
];

/// A KMS with one key, and the adapter of stack `s1` for it.
struct Kms {
    fake: FakeKms,
    key: String,
    service: KmsKeyService,
}

impl Kms {
    async fn start() -> Self {
        let fake = FakeKms::start().await;
        let key = fake.create_key();
        let service = KmsKeyService::new(fake.client(), key.clone(), "s1".into());
        Self { fake, key, service }
    }

    /// The adapter of another stack that was given the same key.
    fn of_stack(&self, stack: &str) -> KmsKeyService {
        KmsKeyService::new(self.fake.client(), self.key.clone(), stack.into())
    }

    async fn root_key(&self, version: u32) -> WrappedRootKey {
        let (_, wrapped) = self.service.generate_root_key(version).await.unwrap();
        WrappedRootKey { version, wrapped }
    }

    async fn sealed_code(&self, session: &SessionId) -> Vec<u8> {
        let code = Secret::new(CANARY);
        let sealing = self
            .service
            .seal_for_session(session, SessionField::Code, &code);
        sealing.await.unwrap()
    }

    /// Each operation once, and how it ended.
    async fn call_all(&self, root: &WrappedRootKey, code: &[u8]) -> [Result<(), KmsError>; 4] {
        let (id, field) = (session("a"), SessionField::Code);
        let kms = &self.service;
        let secret = Secret::new(CANARY);
        [
            kms.generate_root_key(1).await.map(drop),
            kms.open_root_key(root).await.map(drop),
            kms.seal_for_session(&id, field, &secret).await.map(drop),
            kms.open_for_session(&id, field, code).await.map(drop),
        ]
    }
}

fn session(id: &str) -> SessionId {
    SessionId::parse(id).unwrap()
}

fn unrecognised<T>(answer: Result<T, KmsError>) -> bool {
    matches!(answer, Err(KmsError::Unrecognised))
}

#[tokio::test]
async fn h45_a_root_key_has_256_bits_and_opens_as_it_was_made() {
    let kms = Kms::start().await;
    let (plain, wrapped) = kms.service.generate_root_key(1).await.unwrap();
    assert_eq!(plain.expose().len(), 32);
    let key = WrappedRootKey {
        version: 1,
        wrapped,
    };
    let opened = kms.service.open_root_key(&key).await.unwrap();
    assert_eq!(opened.expose(), plain.expose());
    let (another, _) = kms.service.generate_root_key(1).await.unwrap();
    assert_ne!(another.expose(), plain.expose());
}

#[tokio::test]
async fn a_code_or_verifier_opens_as_it_was_sealed() {
    let kms = Kms::start().await;
    for (field, text) in [
        (SessionField::Code, "x".repeat(ENCRYPT_LIMIT)),
        (SessionField::Verifier, "é-_~.".into()),
    ] {
        let secret = Secret::new(text.clone());
        let id = session("a");
        let sealing = kms.service.seal_for_session(&id, field, &secret);
        let sealed = sealing.await.unwrap();
        let opening = kms.service.open_for_session(&id, field, &sealed);
        assert_eq!(opening.await.unwrap().expose(), text);
    }
}

#[tokio::test]
async fn h45_a_call_names_stack_purpose_and_what_the_secret_is_for_and_nothing_else() {
    let kms = Kms::start().await;
    let (root, code) = (kms.root_key(7).await, kms.sealed_code(&session("a")).await);
    kms.service.open_root_key(&root).await.unwrap();
    let (id, field) = (session("a"), SessionField::Code);
    let opening = kms.service.open_for_session(&id, field, &code);
    opening.await.unwrap();
    let verifier = SessionField::Verifier;
    let secret = Secret::new("v");
    let sealing = kms.service.seal_for_session(&id, verifier, &secret);
    sealing.await.unwrap();

    let (_, wrapped) = kms.service.generate_answer_key(START).await.unwrap();
    let opening = kms.service.open_answer_key(START, &wrapped);
    opening.await.unwrap();

    let root = "purpose=root stack=s1 version=7";
    let code = "field=code purpose=session session=a stack=s1";
    let verifier = "field=verifier purpose=session session=a stack=s1";
    let answer = "function=oauth-start purpose=answer row=5e1f stack=s1";
    let calls = kms.fake.calls();
    let named: Vec<_> = calls
        .iter()
        .map(|call| {
            let members = call.context.iter();
            let members: Vec<_> = members.map(|(name, of)| format!("{name}={of}")).collect();
            (call.operation.as_str(), members.join(" "))
        })
        .collect();
    let named: Vec<_> = named.iter().map(|(op, it)| (*op, it.as_str())).collect();
    assert_eq!(
        named,
        [
            ("GenerateDataKey", root),
            ("Encrypt", code),
            ("Decrypt", root),
            ("Decrypt", code),
            ("Encrypt", verifier),
            ("GenerateDataKey", answer),
            ("Decrypt", answer),
        ]
    );
}

#[tokio::test]
async fn h45_a_root_key_of_another_version_stack_or_kms_key_does_not_open() {
    let kms = Kms::start().await;
    let root = kms.root_key(1).await;
    let renumbered = WrappedRootKey {
        version: 2,
        ..root.clone()
    };
    assert!(unrecognised(kms.service.open_root_key(&renumbered).await));
    assert!(unrecognised(kms.of_stack("s2").open_root_key(&root).await));
    let other_key = kms.fake.create_key();
    let other = KmsKeyService::new(kms.fake.client(), other_key, "s1".into());
    assert!(unrecognised(other.open_root_key(&root).await));
    assert!(kms.service.open_root_key(&root).await.is_ok());
}

#[tokio::test]
async fn a_session_secret_opens_for_no_other_session_field_or_stack() {
    let kms = Kms::start().await;
    let sealed = kms.sealed_code(&session("a")).await;
    let (code, verifier) = (SessionField::Code, SessionField::Verifier);
    let open = async |kms: &KmsKeyService, id: &str, field| {
        kms.open_for_session(&session(id), field, &sealed).await
    };
    assert!(unrecognised(open(&kms.service, "b", code).await));
    assert!(unrecognised(open(&kms.service, "a", verifier).await));
    assert!(unrecognised(open(&kms.of_stack("s2"), "a", code).await));
    let opened = open(&kms.service, "a", code).await.unwrap();
    assert_eq!(opened.expose(), CANARY);
}

/// The functions that a browser reaches may seal for a session and nothing else. What they seal
/// must be of no use as a key, nor a key as a code.
#[tokio::test]
async fn what_is_sealed_for_a_session_is_no_root_key_and_the_other_way_round() {
    let kms = Kms::start().await;
    let wrapped = kms.sealed_code(&session("a")).await;
    let forged = WrappedRootKey {
        version: 1,
        wrapped,
    };
    assert!(unrecognised(kms.service.open_root_key(&forged).await));
    let root = kms.root_key(1).await;
    let (id, code) = (session("a"), SessionField::Code);
    let opening = kms.service.open_for_session(&id, code, &root.wrapped);
    assert!(unrecognised(opening.await));
}

/// A function that keeps answers can open no workspace's keys with it, nor another one's answers.
#[tokio::test]
async fn h85_an_answers_key_opens_for_its_function_and_row_and_is_no_root_key() {
    let kms = Kms::start().await;
    let (plain, wrapped) = kms.service.generate_answer_key(START).await.unwrap();
    let opened = kms.service.open_answer_key(START, &wrapped).await.unwrap();
    assert_eq!(opened.expose(), plain.expose());
    let (function, row) = ("connector-admin", "5e2f");
    for other in [AnswerOf { row, ..START }, AnswerOf { function, ..START }] {
        assert!(unrecognised(
            kms.service.open_answer_key(other, &wrapped).await
        ));
    }
    let of_stack = kms.of_stack("s2");
    assert!(unrecognised(
        of_stack.open_answer_key(START, &wrapped).await
    ));
    let forged = WrappedRootKey {
        version: 1,
        wrapped,
    };
    assert!(unrecognised(kms.service.open_root_key(&forged).await));
    let root = kms.root_key(1).await;
    let opening = kms.service.open_answer_key(START, &root.wrapped);
    assert!(unrecognised(opening.await));
}

#[tokio::test]
async fn an_altered_or_truncated_ciphertext_does_not_open() {
    let kms = Kms::start().await;
    let root = kms.root_key(1).await;
    let code = kms.sealed_code(&session("a")).await;
    let mut altered = (root.wrapped.clone(), code.clone());
    *altered.0.last_mut().unwrap() ^= 1;
    *altered.1.last_mut().unwrap() ^= 1;
    let short = (root.wrapped[..20].to_vec(), code[..40].to_vec());
    for (wrapped, code) in [altered, short] {
        let root = WrappedRootKey {
            version: root.version,
            wrapped,
        };
        assert!(unrecognised(kms.service.open_root_key(&root).await));
        let (id, field) = (session("a"), SessionField::Code);
        let opening = kms.service.open_for_session(&id, field, &code);
        assert!(unrecognised(opening.await));
    }
}

#[tokio::test]
async fn h46_a_key_that_may_not_be_used_is_a_refusal_and_is_not_asked_again() {
    let kms = Kms::start().await;
    let (root, code) = (kms.root_key(1).await, kms.sealed_code(&session("a")).await);
    for fault in [Fault::Disabled, Fault::PendingDeletion, Fault::Denied] {
        kms.fake.fail(fault, usize::MAX);
        let before = kms.fake.calls().len();
        for answer in kms.call_all(&root, &code).await {
            assert!(matches!(answer, Err(KmsError::Refused(_))), "{answer:?}");
        }
        assert_eq!(kms.fake.calls().len() - before, 4, "{fault:?}");
    }
}

#[tokio::test]
async fn a_service_that_is_throttled_broken_or_silent_is_unavailable() {
    let kms = Kms::start().await;
    let (root, code) = (kms.root_key(1).await, kms.sealed_code(&session("a")).await);
    for fault in BRIEF {
        kms.fake.fail(fault, usize::MAX);
        for answer in kms.call_all(&root, &code).await {
            let unavailable = matches!(answer, Err(KmsError::Unavailable(_)));
            assert!(unavailable, "{fault:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn one_throttled_or_lost_call_is_repeated_and_nobody_notices() {
    let kms = Kms::start().await;
    let root = kms.root_key(1).await;
    for fault in BRIEF {
        let before = kms.fake.count("Decrypt");
        kms.fake.fail(fault, 1);
        assert!(kms.service.open_root_key(&root).await.is_ok(), "{fault:?}");
        assert_eq!(kms.fake.count("Decrypt") - before, 2, "{fault:?}");
    }
}

#[tokio::test]
async fn h50_no_error_shows_what_was_sealed_or_opened() {
    let kms = Kms::start().await;
    let (plain, wrapped) = kms.service.generate_root_key(1).await.unwrap();
    let root = WrappedRootKey {
        version: 1,
        wrapped,
    };
    let code = kms.sealed_code(&session("a")).await;
    let hidden = [
        CANARY.to_owned(),
        STANDARD.encode(CANARY),
        hex(CANARY.as_bytes()),
        STANDARD.encode(plain.expose()),
        hex(plain.expose()),
        format!("{:?}", plain.expose()),
    ];
    for fault in [Fault::Denied, Fault::Broken, Fault::Silent, Fault::Garbled] {
        kms.fake.fail(fault, usize::MAX);
        for answer in kms.call_all(&root, &code).await {
            let error = answer.unwrap_err();
            let shown = format!("{error} {error:?} {error:#?} {}", chain(&error));
            for secret in &hidden {
                assert!(!shown.contains(secret.as_str()), "{fault:?}: {shown}");
            }
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.map(|cause| format!("{cause}: ")).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
