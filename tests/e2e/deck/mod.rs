//! decK against the gateway, by the calls that it makes.

mod client;
mod kinds;
mod quick_start;
mod source;

use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestPostgres, TestTarget};
use client::Deck;
use kinds::KINDS;
use source::{ROUTES, SERVICES, changed, source};

/// A gateway with the whole file, and the target of service 1.
async fn synced() -> (Gateway, TestTarget, Value) {
    let (gateway, target) = (TestGateway::new().start().await, TestTarget::answering("service one").await);
    let file = source(target.address.port());
    Deck::of(&gateway).sync(&file).await;
    (gateway, target, file)
}

async fn count(gateway: &Gateway, collection: &str) -> usize {
    let page = gateway.admin.get(&format!("/{collection}?size=1000")).await.expect(200).json();
    page["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_ping_tells_a_version_that_deck_understands() {
    let gateway = TestGateway::new().start().await;
    let version = Deck::of(&gateway).ping().await;
    assert!(version.starts_with("3.") && version.split('.').count() == 3, "{version}");
}

#[tokio::test]
async fn everything_is_new_to_an_empty_gateway() {
    let gateway = TestGateway::new().start().await;
    let diff = Deck::of(&gateway).diff(&source(1)).await;
    assert_eq!((diff.updated.len(), diff.deleted.len(), diff.exit_code()), (0, 0, 2));
    let services = diff.created.iter().filter(|title| title.starts_with("services ")).count();
    let routes = diff.created.iter().filter(|title| title.starts_with("routes ")).count();
    assert_eq!((services, routes), (SERVICES, ROUTES));
    assert_eq!(count(&gateway, "services").await, 0, "a diff writes nothing");
}

#[tokio::test]
async fn a_synced_file_leaves_no_difference() {
    let (gateway, _target, file) = synced().await;
    let diff = Deck::of(&gateway).diff(&file).await;
    assert_eq!(diff.exit_code(), 0, "{diff:#?}");
    assert_eq!((count(&gateway, "services").await, count(&gateway, "routes").await), (SERVICES, ROUTES));
}

#[tokio::test]
async fn a_dump_is_what_was_synced() {
    let (gateway, _target, file) = synced().await;
    let deck = Deck::of(&gateway);
    assert_eq!(deck.dump().await, deck.dump_of(&file).await);
}

#[tokio::test]
async fn the_file_has_every_credential_and_every_scope_and_enough_of_the_rest() {
    let (gateway, _target, file) = synced().await;
    let endpoints = gateway.admin.get("/endpoints").await.expect(200).json();
    let nested = endpoints["data"].as_array().unwrap().iter().filter_map(Value::as_str);
    let nested =
        nested.filter_map(|path| path.strip_prefix("/consumers/{consumers}/")).filter(|path| !path.contains('/'));
    for credential in nested.filter(|path| *path != "plugins") {
        let kind = KINDS.iter().find(|kind| kind.nested.is_some_and(|(_, _, path)| path == credential));
        let kind = kind.unwrap_or_else(|| panic!("decK knows no {credential}"));
        assert!(file["consumers"][0][kind.name].is_array(), "no consumer has {credential}");
    }
    for kind in [
        "services",
        "routes",
        "consumers",
        "upstreams",
        "certificates",
        "snis",
        "ca_certificates",
        "vaults",
        "keys",
        "key-sets",
    ] {
        assert!(count(&gateway, kind).await > 0, "no {kind}");
    }
    let plugins = gateway.admin.get("/plugins?size=1000").await.json();
    let scope = |plugin: &Value| ["service", "route", "consumer"].map(|parent| plugin[parent].is_object());
    let scopes: std::collections::BTreeSet<_> = plugins["data"].as_array().unwrap().iter().map(scope).collect();
    assert_eq!(scopes.len(), 8, "{scopes:?}");
}

#[tokio::test]
async fn a_synced_file_is_served() {
    let (gateway, _target, _) = synced().await;
    gateway.get("/s1").await.expect(401);
    let answer = gateway.get_with("/s1", &[("apikey", "key-4-b")]).await.expect(200);
    assert_eq!((answer.text().as_str(), answer.has("x-trace")), ("service one", true));
}

#[tokio::test]
async fn a_second_sync_makes_just_the_changes() {
    let (gateway, target, _) = synced().await;
    let (deck, file) = (Deck::of(&gateway), changed(target.address.port()));
    let planned = deck.diff(&file).await;
    assert_eq!(planned.exit_code(), 2);
    for (kind, changes) in [("created", &planned.created), ("updated", &planned.updated), ("deleted", &planned.deleted)]
    {
        for entity in [
            "services ",
            "routes ",
            "consumers ",
            "keyauth",
            "acls ",
            "upstreams ",
            "targets ",
            "plugins ",
            "certificates ",
            "snis ",
            "vaults ",
            "key_sets ",
            "keys ",
        ] {
            assert!(changes.iter().any(|title| title.starts_with(entity)), "no {entity}is {kind}: {changes:#?}");
        }
    }
    let done = deck.sync(&file).await;
    assert_eq!(
        (done.created.len(), done.updated, done.deleted),
        (planned.created.len(), planned.updated, planned.deleted)
    );
    let rest = deck.diff(&file).await;
    assert_eq!(rest.exit_code(), 0, "{rest:#?}");
    assert_eq!(deck.dump().await, deck.dump_of(&file).await);
}

#[tokio::test]
async fn teams_with_tags_leave_each_other_alone() {
    let gateway = TestGateway::new().start().await;
    let file = |name: &str| {
        json!({
            "services": [{ "name": name, "host": "a.test", "tags": ["extra"], "routes": [{ "name": name, "paths": [format!("/{name}")] }] }],
            "consumers": [{ "username": name, "keyauth_credentials": [{ "key": name }], "acls": [{ "group": name }] }],
            "upstreams": [{ "name": format!("{name}.test"), "targets": [{ "target": "10.0.0.1:80" }] }],
        })
    };
    let [ann, bob] = ["ann", "bob"].map(|name| Deck::of(&gateway).select_tags(&["managed", name]));
    ann.sync(&file("ann")).await;
    bob.sync(&file("bob")).await;
    assert_eq!((ann.diff(&file("ann")).await.exit_code(), bob.diff(&file("bob")).await.exit_code()), (0, 0));
    bob.reset().await;
    assert_eq!(ann.diff(&file("ann")).await.exit_code(), 0, "what bob resets is his own");
    assert_eq!((count(&gateway, "services").await, count(&gateway, "key-auths").await), (1, 1));
}

#[tokio::test]
async fn validation_accepts_the_file_and_names_what_is_wrong_with_another() {
    let gateway = TestGateway::new().start().await;
    let deck = Deck::of(&gateway);
    let refused = deck.validate(&source(1)).await;
    assert!(refused.is_empty(), "{refused:#?}");
    let wrong = json!({
        "services": [{ "name": "a", "host": "a.test", "port": 70000 }],
        "plugins": [{ "name": "rate-limiting", "config": { "policy": "local" } }],
    });
    let refused = deck.validate(&wrong).await;
    assert!(refused.len() == 2 && refused[0].contains("400") && refused[1].contains("services: 400"), "{refused:#?}");
}

#[tokio::test]
async fn a_reset_leaves_nothing() {
    let (gateway, _target, file) = synced().await;
    let deck = Deck::of(&gateway);
    deck.reset().await;
    let dump = deck.dump().await;
    assert!(dump.is_empty(), "{dump:#?}");
    gateway.get("/s1").await.expect(404);
    deck.sync(&file).await;
    assert_eq!(deck.diff(&file).await.exit_code(), 0, "and all of it can come back");
}

#[tokio::test]
async fn all_of_it_holds_on_postgresql() {
    let url = tokio::task::spawn_blocking(|| TestPostgres::shared().database()).await.unwrap();
    let gateway = TestGateway::new().on_postgres(&url).start().await;
    let deck = Deck::of(&gateway);
    for file in [source(1), changed(1)] {
        deck.sync(&file).await;
        let rest = deck.diff(&file).await;
        assert_eq!(rest.exit_code(), 0, "{rest:#?}");
        assert_eq!(deck.dump().await, deck.dump_of(&file).await);
    }
    deck.reset().await;
    assert!(deck.dump().await.is_empty());
}
