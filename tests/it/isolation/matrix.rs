//! Every route of the gateway, asked by somebody of `acme`'s app `shop` for what is theirs, what
//! is another's, what is gone and what never was (H-20, H-21).
//!
//! Whatever is not theirs gets one answer, to the byte; it costs the same requests, which is what
//! its time is made of (`make bench` measures the time itself); and no item of any table has
//! changed afterwards.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::storage::DynamoStore;
use testkit::clock::ManualClock;
use testkit::dynamo::LocalDynamo;
use testkit::dynamo_meter::Meter;

use super::rows::{About, MakeCall, Named, ROWS, Thing};
use crate::template::Template;
use crate::world::{Answer, Call, RETURN, World};

/// Whose the thing is that a call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Own,
    OtherUser,
    OtherApp,
    OtherWorkspace,
    Gone,
    Nobody,
}

const OTHERS: [Whose; 4] = [
    Whose::OtherUser,
    Whose::OtherApp,
    Whose::OtherWorkspace,
    Whose::Gone,
];

/// A world with something of everybody in it.
pub(crate) struct Scene {
    pub(crate) world: World,
    /// What is alice's, of the app `shop` of `acme`.
    pub(crate) own: Named,
    /// A connector of `acme` that is for its app `blog` only.
    of_blog: String,
    /// A connector of `acme` that only bob has connected, only blog's alice, nobody any more, and
    /// nobody ever.
    connected_by: [(Whose, String); 4],
    /// What is alice's of the app `warehouse` of `globex`, and of no other workspace.
    theirs: Named,
    blogs_key: String,
    gone: Named,
}

impl Scene {
    pub(crate) async fn set() -> Self {
        Self::in_world(World::start().await).await
    }

    async fn in_world(world: World) -> Self {
        world.register_app("acme", "blog").await;
        world.register_app("globex", "warehouse").await;

        let connector = || async { world.connector(&["read"]).await };
        let main = connector().await;
        let connection = world.connect_as(["acme", "shop", "alice"], &main).await;
        let shared = async |workspace, app| {
            let connector = world.shared_connector_of(workspace).await;
            world.connect_shared(workspace, app, &connector).await;
            connector
        };
        world.connect_as(["acme", "shop", "bob"], &main).await;
        let own = Named {
            connector: main,
            shared: shared("acme", "shop").await,
            connection,
            app: "shop".into(),
            key: key_id(&world, "acme", "shop").await,
            user: "alice".into(),
        };

        let mut body = world.connector_body(&["read"]);
        body["allowed_apps"] = json!(["blog"]);
        let create = Call::post("/v1/connectors").admin_of("acme").json(&body);
        let of_blog = world.send(create).await.expect_status(201).text("id");
        world.connect_as(["acme", "blog", "alice"], &of_blog).await;

        let (bobs, blogs, left, fresh) = (
            connector().await,
            connector().await,
            connector().await,
            connector().await,
        );
        world.connect_as(["acme", "shop", "bob"], &bobs).await;
        world.connect_as(["acme", "blog", "alice"], &blogs).await;
        world
            .connect_as(["acme", "blog", "carol"], &own.connector)
            .await;
        let left_connection = world.connect_as(["acme", "shop", "alice"], &left).await;
        world.disconnect("alice", &left).await.expect_status(200);

        let theirs = world.connector_of("globex", &["read"]).await;
        let connection = world
            .connect_as(["globex", "warehouse", "alice"], &theirs)
            .await;
        world
            .connect_as(["globex", "warehouse", "dave"], &theirs)
            .await;
        let theirs = Named {
            connector: theirs,
            shared: shared("globex", "warehouse").await,
            connection,
            app: "warehouse".into(),
            key: key_id(&world, "globex", "warehouse").await,
            user: "dave".into(),
        };

        let deleted = connector().await;
        world.connect_as(["acme", "shop", "alice"], &deleted).await;
        let deleted_shared = shared("acme", "shop").await;
        for connector in [&deleted, &deleted_shared] {
            let path = format!("/v1/connectors/{connector}?confirm=Files");
            let delete = Call::delete(&path).admin_of("acme");
            world.send(delete).await.expect_status(202);
        }
        for _ in 0..2 {
            world.tick_revoker().await;
            world.pass(60);
        }
        let make = Call::post("/v1/apps/shop/keys").json(&json!({"name": "old"}));
        let made = world.send(make.admin_of("acme")).await.expect_status(201);
        let old_key = made.text("id");
        let remove = Call::delete(&format!("/v1/apps/shop/keys/{old_key}")).admin_of("acme");
        world.send(remove).await.expect_status(204);
        let gone = Named {
            connector: deleted,
            shared: deleted_shared,
            connection: left_connection,
            key: old_key,
            ..own.clone()
        };
        // All that are begun from now on end on our page, as the routes of Base44's SDK need it.
        let app = json!({"name": "Shop", "return_urls": [RETURN], "completion": "screen"});
        let put = Call::put("/v1/apps/shop").admin_of("acme").json(&app);
        world.send(put).await.expect_status(200);
        Self {
            blogs_key: key_id(&world, "acme", "blog").await,
            world,
            own,
            of_blog,
            connected_by: [
                (Whose::OtherUser, bobs),
                (Whose::OtherApp, blogs),
                (Whose::Gone, left),
                (Whose::Nobody, fresh),
            ],
            theirs,
            gone,
        }
    }

    /// What to name for a thing of somebody; `None` where there can be no such thing.
    fn named(&self, thing: Thing, whose: Whose) -> Option<Named> {
        let own = self.own.clone();
        let of = |theirs: &str, gone: Option<&str>| match whose {
            Whose::Own => None,
            Whose::OtherWorkspace => Some(theirs.to_owned()),
            Whose::Gone => gone.map(str::to_owned),
            // As long as theirs: where a name comes back, so does its length.
            Whose::Nobody => Some("0".repeat(theirs.len())),
            Whose::OtherUser | Whose::OtherApp => None,
        };
        if whose == Whose::Own {
            return Some(own);
        }
        let (theirs, gone) = (&self.theirs, &self.gone);
        Some(match thing {
            Thing::Connector => Named {
                connector: of(&theirs.connector, Some(&gone.connector))?,
                ..own
            },
            Thing::ConnectorOfApp => Named {
                connector: match whose {
                    Whose::OtherApp => self.of_blog.clone(),
                    _ => of(&theirs.connector, Some(&gone.connector))?,
                },
                ..own
            },
            Thing::SharedConnector => Named {
                shared: of(&theirs.shared, Some(&gone.shared))?,
                ..own
            },
            Thing::Connection => Named {
                connector: {
                    let mut connectors = self.connected_by.iter();
                    connectors.find(|(by, _)| *by == whose)?.1.clone()
                },
                ..own
            },
            Thing::ConnectionId => Named {
                connection: of(&theirs.connection, Some(&gone.connection))?,
                ..own
            },
            Thing::App => Named {
                app: of(&theirs.app, None)?,
                ..own
            },
            Thing::Key => Named {
                key: match whose {
                    Whose::OtherApp => self.blogs_key.clone(),
                    _ => of(&theirs.key, Some(&gone.key))?,
                },
                ..own
            },
            Thing::User => Named {
                user: match whose {
                    Whose::OtherApp => "carol".into(),
                    _ => of(&theirs.user, None)?,
                },
                ..own
            },
        })
    }

    pub(crate) async fn send(&self, call: MakeCall, named: &Named) -> Answer {
        let key = self.world.key_of("acme", "shop");
        let call = call(named)
            .with_key(&key)
            .with_jwt(&self.world.jwt("alice"));
        self.world.send(call).await
    }

    /// The answer as it would be to any other name.
    async fn asked(&self, call: MakeCall, named: &Named) -> (u64, Value, Value) {
        let answer = self.send(call, named).await;
        let names = [
            &named.connector,
            &named.shared,
            &named.connection,
            &named.app,
            &named.key,
            &named.user,
        ];
        let anonymous = |value: &Value| {
            let text = names.iter().fold(value.to_string(), |text, name| {
                text.replace(&format!("{name:?}"), "\"…\"")
            });
            serde_json::from_str(&text).unwrap()
        };
        let headers = json!(answer.headers);
        (answer.status, anonymous(&answer.body), anonymous(&headers))
    }
}

/// Every item of every table.
async fn items(engine: &LocalDynamo) -> BTreeSet<String> {
    let items = engine.dump().await;
    items.iter().map(Value::to_string).collect()
}

/// The id of an app's only key.
async fn key_id(world: &World, workspace: &str, app: &str) -> String {
    let list = Call::get(&format!("/v1/apps/{app}/keys")).admin_of(workspace);
    let list = world.send(list).await.expect_status(200);
    list.body["items"][0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn h20_every_route_has_a_row() {
    let routes = Template::read().routes();
    let routes: BTreeSet<_> = routes.keys().map(|(route, _)| route.as_str()).collect();
    let rows: BTreeSet<_> = ROWS.iter().map(|(route, _)| *route).collect();
    assert_eq!(rows, routes, "rows, and the gateway's routes");
    assert_eq!(rows.len(), ROWS.len(), "one row a route");
}

#[tokio::test]
async fn h20_h21_a16_what_is_not_the_callers_is_as_if_it_were_not() {
    let clock = ManualClock::new();
    let engine = LocalDynamo::start(&clock, 2).await;
    let meter = Meter::default();
    let store = DynamoStore::new(meter.on(&engine.client), engine.tables.clone(), 2);
    let scene = Scene::in_world(World::on(store, clock).await).await;
    let (before, requests) = (items(&engine).await, scene.world.provider.requests().len());

    let named = ROWS.iter().filter_map(|(route, about)| match about {
        About::Things(things, call, _) => Some((route, *things, *call)),
        _ => None,
    });
    // What they make is there to be named from then on.
    let made = ROWS.iter().filter_map(|(route, about)| match about {
        About::Made(thing, call, _) => Some((route, std::slice::from_ref(thing), *call)),
        _ => None,
    });
    let mut compared = 0;
    for (route, things, call) in named.chain(made) {
        for thing in things {
            meter.take();
            let nobodys = scene.named(*thing, Whose::Nobody).unwrap();
            let never_was = scene.asked(call, &nobodys).await;
            let its_cost = meter.take();
            for whose in OTHERS {
                let Some(named) = scene.named(*thing, whose) else {
                    continue;
                };
                let answer = scene.asked(call, &named).await;
                let cost = meter.take();
                let of = format!("{route}: {thing:?} of {whose:?}");
                assert_eq!(answer, never_was, "{of}");
                assert_eq!(cost.requests, its_cost.requests, "{of}");
                if whose == Whose::OtherWorkspace {
                    // Not even an item is found that would be read in vain.
                    assert_eq!(cost, its_cost, "{of}");
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 40, "{compared}");

    let after = items(&engine).await;
    let gone: Vec<_> = before.difference(&after).collect();
    assert!(gone.is_empty(), "changed or removed: {gone:#?}");
    let made: Vec<_> = after.difference(&before).collect();
    let of = |what: &str| made.iter().filter(|item| item.contains(what)).count();
    assert_eq!(
        (of("\"return_urls\""), of("app.changed"), made.len()),
        (2, 2, 4),
        "only apps of the caller's own, and that they were made: {made:#?}"
    );
    assert_eq!(scene.world.provider.requests().len(), requests);
}

/// Each route's call for what is the caller's own.
pub(crate) fn own_calls() -> impl Iterator<Item = (&'static str, MakeCall)> {
    ROWS.iter().filter_map(|(route, about)| match about {
        About::Things(_, call, _)
        | About::Made(_, call, _)
        | About::Reserved(_, call)
        | About::Own(call)
        | About::Trail(call) => Some((*route, *call)),
        About::Everybody(_) | About::Flow => None,
    })
}

/// H-06, A-01: an id of another workspace is taken, by a connector or for one that is gone; no
/// more is told, and no item changes.
#[tokio::test]
async fn h06_a01_what_another_has_reserved_is_taken_and_nothing_more_is_told() {
    let clock = ManualClock::new();
    let engine = LocalDynamo::start(&clock, 2).await;
    let scene = Scene::in_world(World::on(engine.store.clone(), clock).await).await;
    let mut gone = scene.theirs.clone();
    gone.connector = scene.world.connector_of("globex", &["read"]).await;
    let path = format!("/v1/connectors/{}?confirm=Files", gone.connector);
    let delete = Call::delete(&path).admin_of("globex");
    scene.world.send(delete).await.expect_status(202);
    scene.world.pass(61);
    scene.world.tick_revoker().await;

    let before = items(&engine).await;
    for (route, about) in ROWS {
        let About::Reserved(thing, call) = about else {
            continue;
        };
        let theirs = scene.named(*thing, Whose::OtherWorkspace).unwrap();
        let taken = scene.asked(*call, &theirs).await;
        assert_eq!(taken.0, 409, "{route}: {taken:?}");
        // The caller's own, under which there is something else, reads the same.
        for named in [&gone, &scene.own] {
            assert_eq!(scene.asked(*call, named).await, taken, "{route}");
        }
        let nobodys = scene.named(*thing, Whose::Nobody).unwrap();
        assert_eq!(items(&engine).await, before, "{route}");
        assert_eq!(scene.asked(*call, &nobodys).await.0, 201, "{route}");
    }
}

/// That the calls above are refused for whom they name and not for how they are made.
#[tokio::test]
async fn what_is_the_callers_own_is_there() {
    for (route, about) in ROWS {
        if let About::Things(_, call, status) | About::Made(_, call, status) = about {
            // Each in a world of its own: some of them end what others name.
            let scene = Scene::set().await;
            let own = scene.send(*call, &scene.own).await;
            assert_eq!(own.status, *status, "{route}: {own:?}");
        }
    }
}

#[tokio::test]
async fn h20_a_list_has_what_is_the_callers_and_nothing_else() {
    let scene = Scene::set().await;
    let theirs = &scene.theirs;
    let gone = &scene.gone;
    let foreign = [
        &theirs.connector,
        &theirs.shared,
        &theirs.connection,
        &gone.connector,
        &gone.shared,
    ];
    let mut lists = 0;
    for (route, about) in ROWS {
        let About::Own(call) = about else { continue };
        let list = scene.send(*call, &scene.own).await.expect_status(200);
        let text = list.body.to_string();
        assert!(text.contains(&scene.own.connector), "{route}");
        for id in foreign {
            assert!(!text.contains(id.as_str()), "{route}: {text}");
        }
        for word in ["globex", "warehouse", "bob", "carol", "dave"] {
            assert!(!text.contains(word), "{route}: {word}");
        }
        let is_users = route.contains("/me/");
        assert_eq!(!text.contains(&scene.of_blog), is_users, "{route}");
        lists += 1;
    }
    assert_eq!(lists, 2);
}

#[tokio::test]
async fn h20_a_trail_is_of_the_callers_workspace_and_a_users_of_theirs() {
    let scene = Scene::set().await;
    let mut trails = 0;
    for (route, about) in ROWS {
        let About::Trail(call) = about else { continue };
        let trail = scene.send(*call, &scene.own).await.expect_status(200);
        let text = trail.body.to_string();
        assert!(text.contains(&scene.own.connection), "{route}: {text}");
        for word in ["globex", "warehouse", "dave", &scene.theirs.connector] {
            assert!(!text.contains(word), "{route}: {word}");
        }
        let is_users = route.contains("/me/");
        for word in ["bob", "carol", "blog"] {
            assert_eq!(!text.contains(word), is_users, "{route}: {word}");
        }
        trails += 1;
    }
    assert_eq!(trails, 2);
}

#[tokio::test]
async fn h20_what_is_everybodys_says_nothing_of_anybody() {
    let scene = Scene::set().await;
    for (route, about) in ROWS {
        let About::Everybody(call) = about else {
            continue;
        };
        let mut answers = Vec::new();
        for workspace in ["acme", "globex"] {
            let call = call(&scene.own).admin_of(workspace);
            answers.push(scene.world.send(call).await);
        }
        assert_eq!(answers[0].status, answers[1].status, "{route}");
        assert_eq!(answers[0].body, answers[1].body, "{route}");
        assert_eq!(answers[0].headers, answers[1].headers, "{route}");
    }
}
