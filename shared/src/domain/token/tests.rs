use super::*;
use crate::domain::provider::Rotation;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

#[test]
fn h70_a_token_covers_its_min_ttl_or_is_not_handed_out() {
    let hour = Validity {
        issued_at: at(0),
        expires_at: Some(at(3600)),
        grant_expires_at: None,
    };
    let minute = Duration::from_secs(60);
    assert!(hour.covers(minute, at(3540)));
    assert!(!hour.covers(minute, at(3541)));
    assert!(
        !hour.covers(Duration::ZERO, at(3600)),
        "an expired token is never covered"
    );
}

#[test]
fn a_min_ttl_beyond_half_the_lifetime_counts_as_half() {
    let short = Validity {
        issued_at: at(0),
        expires_at: Some(at(90)),
        grant_expires_at: None,
    };
    assert!(short.covers(Duration::from_secs(3600), at(45)));
    assert!(!short.covers(Duration::from_secs(3600), at(46)));
}

#[test]
fn a_token_without_expiry_is_always_covered() {
    let forever = Validity {
        issued_at: at(0),
        expires_at: None,
        grant_expires_at: None,
    };
    assert!(forever.covers(Duration::from_secs(3600), at(i64::from(u32::MAX))));
}

#[test]
fn h65_a_missing_refresh_token_keeps_the_old_one_and_a_new_one_replaces_it() {
    let previous = TokenSet {
        access_token: Secret::new("at0"),
        refresh_token: Some(Secret::new("rt0")),
        connection_config: BTreeMap::from([("instance_url".into(), "https://a".into())]),
    };
    let answer = |refresh: Option<&str>| TokenAnswer {
        access_token: Secret::new("at1"),
        refresh_token: refresh.map(Secret::new),
        lifetime: None,
        refresh_lifetime: None,
        scopes: None,
        connection_config: BTreeMap::new(),
        account: None,
        id_token: None,
        by_previous_secret: false,
    };
    let refresh_token = |set: TokenSet| set.refresh_token.map(|token| token.expose().to_owned());
    let kept = answer(None).over(&previous);
    assert_eq!(kept.connection_config["instance_url"], "https://a");
    assert_eq!(refresh_token(kept).as_deref(), Some("rt0"));
    assert_eq!(
        refresh_token(answer(Some("rt1")).over(&previous)).as_deref(),
        Some("rt1")
    );
}

fn profile(grant: RefreshGrant, hard_limit: Option<u64>) -> RefreshProfile {
    RefreshProfile {
        grant,
        request: None,
        rotation: Rotation::Strict,
        idle_limit: None,
        hard_limit: hard_limit.map(Duration::from_secs),
        refresh_expires_in: None,
        assumed_lifetime: None,
    }
}

fn exchange() -> RefreshGrant {
    RefreshGrant::AccessToken {
        min_age: Duration::ZERO,
    }
}

/// An answer with an access token for 60 s.
fn answer(refresh: Option<&str>, refresh_lifetime: Option<u64>) -> TokenAnswer {
    TokenAnswer {
        access_token: Secret::new("at"),
        refresh_token: refresh.map(Secret::new),
        lifetime: Some(Duration::from_secs(60)),
        refresh_lifetime: refresh_lifetime.map(Duration::from_secs),
        scopes: None,
        connection_config: BTreeMap::new(),
        account: None,
        id_token: None,
        by_previous_secret: false,
    }
}

#[test]
fn what_a_refresh_spends_is_the_providers_way() {
    let standard = profile(RefreshGrant::RefreshToken, None);
    let exchanging = profile(exchange(), None);
    for (refresh, profile, spent) in [
        (Some("rt"), &standard, Some("rt")),
        (None, &standard, None),
        (Some("rt"), &exchanging, Some("at")),
        (None, &exchanging, Some("at")),
    ] {
        let set = answer(refresh, None).into_token_set();
        let credential = set.refresh_credential(profile).map(Secret::expose);
        assert_eq!(credential, spent);
    }
}

#[test]
fn a_grant_ends_at_the_earliest_of_its_limits() {
    let ends = |grant: RefreshGrant, hard_limit, told| {
        let profile = profile(grant, hard_limit);
        let validity = answer(Some("rt"), told).validity(&profile, at(1000));
        assert_eq!(validity.issued_at, at(1000));
        assert_eq!(validity.expires_at, Some(at(1060)));
        validity.grant_expires_at
    };
    let standard = || RefreshGrant::RefreshToken;
    assert_eq!(ends(standard(), None, None), None);
    assert_eq!(ends(standard(), None, Some(90)), Some(at(1090)));
    assert_eq!(ends(standard(), Some(50), Some(90)), Some(at(1050)));
    assert_eq!(ends(standard(), Some(100), Some(90)), Some(at(1090)));
    // With the access token, which is all there is to spend.
    assert_eq!(ends(exchange(), None, Some(90)), Some(at(1060)));
    assert_eq!(ends(exchange(), Some(50), None), Some(at(1050)));
}

#[test]
fn a_refresh_moves_the_end_of_a_grant_but_not_its_absolute_limit() {
    let told = Validity {
        grant_expires_at: Some(at(1500)),
        ..answer(None, None).validity(&profile(RefreshGrant::RefreshToken, None), at(1000))
    };
    let ends = |answer: TokenAnswer, hard_limit| {
        let profile = profile(RefreshGrant::RefreshToken, hard_limit);
        let validity = answer.validity_over(&told, &profile, at(500), at(1200));
        validity.grant_expires_at
    };
    let kept = || answer(None, None);
    assert_eq!(ends(kept(), None), Some(at(1500)), "the same token");
    assert_eq!(ends(answer(Some("rt1"), None), None), None);
    assert_eq!(ends(answer(Some("rt1"), Some(900)), None), Some(at(2100)));
    assert_eq!(ends(answer(None, Some(100)), None), Some(at(1300)));
    // From the consent on, not from the refresh.
    let replaced = answer(Some("rt1"), Some(900));
    assert_eq!(ends(replaced, Some(1100)), Some(at(1600)));

    let profile = profile(exchange(), None);
    let exchanged = kept().validity_over(&told, &profile, at(500), at(1200));
    assert_eq!(exchanged.grant_expires_at, Some(at(1260)));
}

#[test]
fn a_grant_is_over_from_the_instant_on_at_which_it_ends() {
    let ending = Validity {
        grant_expires_at: Some(at(10)),
        issued_at: at(0),
        expires_at: None,
    };
    assert!(!ending.grant_is_over(at(9)) && ending.grant_is_over(at(10)));
    let endless = Validity {
        grant_expires_at: None,
        ..ending
    };
    assert!(!endless.grant_is_over(Timestamp::from_millis(i64::MAX)));
}

#[test]
fn f22_only_another_id_is_another_account() {
    let account = |id: &str, label: Option<&str>| Account {
        id: id.into(),
        label: label.map(str::to_owned),
    };
    let ada = account("1", Some("ada@old.example"));
    assert!(!ada.contradicts(&account("1", Some("ada@new.example"))));
    assert!(!ada.contradicts(&account("1", None)));
    assert!(ada.contradicts(&account("2", Some("ada@old.example"))));
}
