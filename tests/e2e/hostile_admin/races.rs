use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::both;
use crate::harness::{Admin, Gateway};

const WRITERS: usize = 50;

/// Sends the same request so many times at once; the number of each status.
async fn at_once(admin: &Admin, line: &str, entity: impl Fn(usize) -> Value) -> Vec<(u16, usize)> {
    let mut writers = JoinSet::new();
    for at in 0..WRITERS {
        let call = admin.call(line).json(&entity(at));
        writers.spawn(async move { call.send().await.status });
    }
    let statuses = writers.join_all().await;
    let kinds: BTreeSet<u16> = statuses.iter().copied().collect();
    kinds.into_iter().map(|kind| (kind, statuses.iter().filter(|status| **status == kind).count())).collect()
}

async fn all(gateway: &Gateway, path: &str) -> Vec<Value> {
    gateway.admin.get(&format!("{path}?size=1000")).await.expect(200).json()["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn of_many_who_create_one_name_exactly_one_wins() {
    for gateway in both().await {
        for (path, entity) in [
            ("/services", json!({ "name": "one", "host": "a.test" })),
            ("/consumers", json!({ "username": "one" })),
            ("/upstreams", json!({ "name": "one" })),
            ("/upstreams/one/targets", json!({ "target": "127.0.0.1:9" })),
            ("/consumers/one/key-auth", json!({ "key": "one" })),
            ("/consumers/one/acls", json!({ "group": "one" })),
            ("/plugins", json!({ "name": "key-auth" })),
        ] {
            let statuses = at_once(&gateway.admin, &format!("POST {path}"), |_| entity.clone()).await;
            assert_eq!(statuses, [(201, 1), (409, WRITERS - 1)], "{path}");
            assert_eq!(all(&gateway, path).await.len(), 1, "{path}");
        }
    }
}

#[tokio::test]
async fn of_many_who_create_one_id_exactly_one_wins() {
    for gateway in both().await {
        let id = "11111111-1111-4111-8111-111111111111";
        let statuses =
            at_once(&gateway.admin, "POST /services", |at| json!({ "id": id, "host": format!("h{at}") })).await;
        assert_eq!(statuses, [(201, 1), (400, WRITERS - 1)]);
    }
}

#[tokio::test]
async fn many_who_put_one_name_make_one_entity() {
    for gateway in both().await {
        let statuses = at_once(&gateway.admin, "PUT /services/one", |at| json!({ "host": format!("h{at}") })).await;
        assert_eq!(statuses, [(200, WRITERS)]);
        let services = all(&gateway, "/services").await;
        assert_eq!(services.len(), 1);
        assert!(services[0]["host"].as_str().unwrap().starts_with('h'), "{services:?}");
    }
}

#[tokio::test]
async fn many_changes_of_one_entity_lose_none() {
    for gateway in both().await {
        let config = json!({ "name": "rate-limiting", "instance_name": "one", "config": { "hour": 5 } });
        gateway.admin.create("/plugins", config).await;
        let fields = ["second", "minute", "day", "month", "year"];
        let rising = |at: usize| [1, 2, 100, 1000, 10_000][at % 5];
        let statuses =
            at_once(&gateway.admin, "PATCH /plugins/one", |at| json!({ "config": { fields[at % 5]: rising(at) } }));
        assert_eq!(statuses.await, [(200, WRITERS)]);
        let config = all(&gateway, "/plugins").await[0]["config"].clone();
        for (at, field) in fields.iter().enumerate() {
            assert_eq!(config[field], rising(at), "{field}: {config}");
        }
    }
}

#[tokio::test]
async fn a_child_never_outlives_the_parent_that_is_deleted_beside_it() {
    for gateway in both().await {
        for round in 0..15 {
            gateway.admin.create("/services", json!({ "name": "parent", "host": "a.test" })).await;
            let mut writers = JoinSet::new();
            for at in 0..6 {
                let route = json!({ "paths": [format!("/{round}/{at}")], "service": { "name": "parent" } });
                let create = gateway.admin.call("POST /routes").json(&route);
                let delete = gateway.admin.call("DELETE /services/parent");
                writers.spawn(async move { create.send().await.status });
                writers.spawn(async move { delete.send().await.status });
            }
            for status in writers.join_all().await {
                assert!(matches!(status, 201 | 204 | 400), "{status}");
            }
            let services: Vec<Value> =
                all(&gateway, "/services").await.iter().map(|service| service["id"].clone()).collect();
            for route in all(&gateway, "/routes").await {
                assert!(services.contains(&route["service"]["id"]), "round {round}: {route} refers to nothing");
                gateway.admin.delete(&format!("/routes/{}", route["id"].as_str().unwrap())).await.expect(204);
            }
            gateway.admin.delete("/services/parent").await.expect(204);
        }
    }
}

#[tokio::test]
async fn children_that_go_with_their_parent_leave_nothing_behind() {
    for gateway in both().await {
        for round in 0..15 {
            gateway.admin.create("/consumers", json!({ "username": "parent" })).await;
            let mut writers = JoinSet::new();
            for at in 0..8 {
                let key = json!({ "key": format!("{round}-{at}") });
                let create = gateway.admin.call("POST /consumers/parent/key-auth").json(&key);
                writers.spawn(async move { create.send().await.status });
            }
            let delete = gateway.admin.call("DELETE /consumers/parent");
            writers.spawn(async move { delete.send().await.status });
            for status in writers.join_all().await {
                assert!(matches!(status, 201 | 204 | 404), "{status}");
            }
            assert_eq!(all(&gateway, "/key-auths").await, Vec::<Value>::new(), "round {round}");
        }
    }
}
