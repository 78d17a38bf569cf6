//! Refresh on demand, by schedule, by a crowd, and across a crash.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use testkit::fake_as::{Behaviour, GrantState, When};

use crate::browser::no_browsers;
use crate::stack::{STACK, Workspace, eventually, set};

/// The account's next code brings an access token that lives `seconds`.
async fn short_lived(acme: &Workspace, user: &str, seconds: u64) {
    let amend = Behaviour::Amend {
        set: set("expires_in", json!(seconds)),
        remove: vec![],
    };
    let when = When::redeeming().account(&acme.account(user));
    acme.provider.push(when, amend).await;
}

#[tokio::test]
async fn an_expired_token_is_refreshed_on_demand() {
    let acme = Workspace::new("on-demand").await;
    let connector = acme.connector("Files", &["read"]).await;
    short_lived(&acme, "alice", 0).await;
    acme.connect("alice", &connector).await;
    let token = acme.token("alice", &connector).await;
    assert_eq!(acme.refreshes("alice").await, 1);
    assert_eq!(acme.whose(&token).await, Some(acme.account("alice")));
    assert_eq!(
        acme.token("alice", &connector).await,
        token,
        "and then it is fresh"
    );
    assert_eq!(acme.refreshes("alice").await, 1);
}

#[tokio::test]
async fn the_schedule_refreshes_what_is_due_by_itself() {
    let acme = Workspace::new("schedule").await;
    let connector = acme.connector("Files", &["read"]).await;
    short_lived(&acme, "alice", 30).await;
    acme.connect("alice", &connector).await;
    let before = acme.token("alice", &connector).await;
    eventually(
        Duration::from_secs(180),
        "the scheduled function has refreshed",
        || async { acme.refreshes("alice").await >= 1 },
    )
    .await;
    let after = acme.token("alice", &connector).await;
    assert_ne!(after, before);
    assert_eq!(acme.whose(&after).await, Some(acme.account("alice")));
}

#[tokio::test]
async fn a_hundred_lookups_of_an_expired_token_make_one_token_request() {
    let acme = Workspace::new("crowd").await;
    let connector = acme.connector("Files", &["read"]).await;
    short_lived(&acme, "alice", 0).await;
    acme.connect("alice", &connector).await;
    let answers = {
        let _machine_of_their_own = no_browsers().await;
        join_all((0..100).map(|_| acme.lookup("alice", &connector))).await
    };
    // A machine that starts 100 processes at once may keep whoever holds the lease from asking in
    // time; then nobody has asked, and who comes again does.
    eventually(Duration::from_secs(60), "the token is fresh", || async {
        acme.lookup("alice", &connector).await.status == 200
    })
    .await;
    assert_eq!(acme.refreshes("alice").await, 1);
    let counters = acme.provider.counters().await;
    assert_eq!(counters.client("client-crowd").refreshes(), 1);
    let new = acme.token("alice", &connector).await;
    let mut served = 0;
    for answer in answers {
        if answer.status == 200 {
            assert_eq!(answer.text("access_token"), new);
            served += 1;
        } else {
            // The same machine may keep one of them from its table, too.
            let busy = answer.expect(503);
            assert!(busy.headers.contains_key("retry-after"), "{busy:?}");
        }
    }
    println!("{served} of 100 got the new token, the others a 503 with Retry-After");
}

#[tokio::test]
async fn a_process_killed_between_the_providers_answer_and_the_store_loses_nothing() {
    let acme = Workspace::new("crash").await;
    let connector = acme.connector("Files", &["read"]).await;
    short_lived(&acme, "alice", 0).await;
    acme.connect("alice", &connector).await;

    // The provider rotates and answers; the last bytes are held, so nothing is stored yet.
    let when = When::refreshing().account(&acme.account("alice"));
    acme.provider.push(when, Behaviour::ProcessThenHold).await;
    let alone = Workspace::alone().await;
    let cut_short = acme.lookup_alone("alice", &connector);
    let kill = async {
        acme.provider.wait_until_held(1).await;
        let killed = kill_processes_of("token-lookup");
        acme.provider.release().await;
        killed
    };
    let (answer, killed) = futures_util::future::join(cut_short, kill).await;
    drop(alone);
    assert!(killed >= 1);
    assert!(answer.status >= 500, "{answer:?}");
    assert_eq!(acme.refreshes("alice").await, 1);

    // The lease settles, the provider's grace of a minute does not end before that.
    eventually(
        Duration::from_secs(50),
        "the connection works again",
        || async { acme.lookup("alice", &connector).await.status == 200 },
    )
    .await;
    let token = acme.token("alice", &connector).await;
    assert_eq!(acme.whose(&token).await, Some(acme.account("alice")));
    assert_eq!(
        acme.provider.grant_state(&acme.account("alice")).await,
        GrantState::Live
    );
}

#[tokio::test]
async fn a_grant_withdrawn_at_the_provider_ends_in_reconnect_required() {
    let acme = Workspace::new("withdrawn").await;
    let connector = acme.connector("Files", &["read"]).await;
    short_lived(&acme, "alice", 0).await;
    acme.connect("alice", &connector).await;
    acme.provider.withdraw_grants(&acme.account("alice")).await;
    acme.lookup("alice", &connector)
        .await
        .problem(503, "provider_unavailable");
    // Suspect for a minute, then asked once more.
    eventually(
        Duration::from_secs(150),
        "the user is asked to reconnect",
        || async {
            let answer = acme.lookup("alice", &connector).await;
            answer.status == 409 && answer.body["reason"] == "grant_revoked"
        },
    )
    .await;
}

/// Kills the execution environments of a function, as a crash of each would. Answers how many
/// there were.
fn kill_processes_of(function: &str) -> usize {
    let name = format!("AWS_LAMBDA_FUNCTION_NAME={}\0", STACK.functions[function]);
    let mut killed = 0;
    for process in std::fs::read_dir("/proc")
        .expect("a Linux system")
        .flatten()
    {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        let of_function = environment
            .windows(name.len())
            .any(|part| part == name.as_bytes());
        if of_function && pid != STACK.ministack_pid {
            let kill = std::process::Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status();
            killed += usize::from(kill.is_ok_and(|status| status.success()));
        }
    }
    killed
}
