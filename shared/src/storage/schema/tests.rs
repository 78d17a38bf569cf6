use super::*;

fn key(user: &str) -> ConnectionKey {
    ConnectionKey {
        workspace: WorkspaceId::parse("w1").unwrap(),
        app: AppId::parse("shop").unwrap(),
        subject: Subject::User(UserId::parse(user).unwrap()),
        connector: ConnectorId::parse("c1").unwrap(),
        alias: None,
    }
}

#[test]
fn h20_a_user_cannot_reach_another_key_by_the_letters_of_its_id() {
    for user in ["auth0|5", "x#U#y", "w2#A#shop#U#z", "é 😀", "C#c1"] {
        let at = connection(&key(user));
        assert!(at.pk.starts_with("W#w1#A#shop#U#"), "{user}");
        assert_eq!(parse_connection(&at.pk, &at.sk), Some(key(user)));
    }
}

#[test]
fn h20_a_user_cannot_reach_the_apps_own_account_by_the_letters_of_its_id() {
    let shared = ConnectionKey {
        subject: Subject::App,
        ..key("u")
    };
    let own = connection(&shared);
    assert_eq!(parse_connection(&own.pk, &own.sk), Some(shared));
    for user in ["S", "#S", "w1#A#shop#S"] {
        assert_ne!(connection(&key(user)).pk, own.pk, "{user}");
    }
    for pk in [
        "W#w1#A#shop#",
        "W#w1#A#shop#S#",
        "W#w1#A#shop#U",
        "W#w1#A#shop",
    ] {
        assert_eq!(parse_connection(pk, &own.sk), None, "{pk}");
    }
}

#[test]
fn an_alias_is_told_from_a_connector_and_sorts_behind_its_default_account() {
    let at = |connector: &str, alias: Option<&str>| ConnectionKey {
        connector: ConnectorId::parse(connector).unwrap(),
        alias: alias.map(|alias| Alias::parse(alias).unwrap()),
        ..key("u")
    };
    let in_order = [
        at("c1", None),
        at("c1", Some("-")),
        at("c1", Some("c1.")),
        at("c1", Some("z")),
        at("c1-z", None),
        at("c10", None),
        at("c1z", Some("-")),
    ];
    assert!(in_order.is_sorted());
    let keys = in_order.clone().map(|key| connection(&key));
    assert!(keys.is_sorted_by(|a, b| a.sk < b.sk));
    assert_eq!(
        keys.map(|at| parse_connection(&at.pk, &at.sk).unwrap()),
        in_order
    );
    for sk in ["C#c1#", "C#c1#a#b", "C##a", "c1"] {
        assert_eq!(parse_connection("W#w1#A#shop#S", sk), None, "{sk}");
    }
}

#[test]
fn due_work_sorts_by_its_instant_whatever_its_id() {
    let at = |millis| DueWork {
        shard: 3,
        due_at: Timestamp::from_millis(millis),
        id: "w#c".into(),
    };
    let early = due(DueKind::Deletion, &at(999));
    let late = due(DueKind::Deletion, &at(1_795_366_800_250));
    assert!(early.sk < late.sk);
    assert!(early.sk < due_before(Timestamp::from_millis(1000)));
    assert!(early.sk > due_before(Timestamp::from_millis(999)));
    assert_eq!(parse_due(3, &late.sk), Some(at(1_795_366_800_250)));
    assert!(due(DueKind::Event, &at(i64::MAX)).sk > late.sk);
    assert!(due(DueKind::Event, &at(-5)).sk < early.sk);
}

#[test]
fn the_breaker_sorts_after_every_minute_and_minutes_in_order() {
    assert!(counted_key(9) < counted_key(10));
    assert!(counted_key(i64::MAX).as_str() < BREAKER);
}

#[test]
fn a_shard_is_fixed_for_all_time_and_all_are_used() {
    assert_eq!((shard_of("k1", 8), shard_of("k1", 1)), (3, 0));
    let mut used: Vec<_> = (0..200).map(|n| shard_of(&n.to_string(), 8)).collect();
    used.sort_unstable();
    used.dedup();
    assert_eq!(used, (0..8).collect::<Vec<_>>());
}
