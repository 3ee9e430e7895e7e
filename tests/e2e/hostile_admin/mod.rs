//! What no honest client sends to the Admin API: each is refused with a clear answer, changes nothing, and harms nobody.

mod bodies;
mod paths;
mod races;
mod transactions;
mod wire;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestPostgres};

/// The collections that a dump holds.
const COLLECTIONS: [&str; 8] = ["services", "routes", "consumers", "plugins", "upstreams", "key-auths", "acls", "tags"];

/// A gateway with a few entities, and what it held before anything hostile.
pub struct Besieged {
    pub gateway: Gateway,
    before: BTreeMap<String, Value>,
    version: u64,
    marks: u16,
}

/// A gateway on each kind of database: what is hostile to one need not be so to the other.
async fn both() -> [Gateway; 2] {
    let url = tokio::task::spawn_blocking(|| TestPostgres::shared().database()).await.unwrap();
    [TestGateway::new().start().await, TestGateway::new().on_postgres(&url).start().await]
}

impl Besieged {
    /// One on each kind of database.
    pub async fn both() -> [Self; 2] {
        let [sqlite, postgres] = both().await;
        [Self::furnish(sqlite).await, Self::furnish(postgres).await]
    }

    pub async fn start() -> Self {
        Self::furnish(TestGateway::new().start().await).await
    }

    async fn furnish(gateway: Gateway) -> Self {
        for (path, entity) in [
            ("/services", json!({ "name": "marker", "host": "a.test" })),
            ("/services", json!({ "name": "a", "host": "a.test", "tags": ["x"] })),
            ("/routes", json!({ "name": "a", "paths": ["/a"], "service": { "name": "a" } })),
            ("/consumers", json!({ "username": "a", "custom_id": "a" })),
            ("/consumers/a/key-auth", json!({ "key": "secret" })),
            ("/upstreams", json!({ "name": "a" })),
            ("/plugins", json!({ "name": "rate-limiting", "instance_name": "a", "config": { "hour": 5 } })),
        ] {
            gateway.admin.create(path, entity).await;
        }
        let before = dump(&gateway).await;
        let mut besieged = Self { gateway, before, version: 0, marks: 0 };
        besieged.version = besieged.mark().await;
        besieged
    }

    /// Nothing was written, not even half, and the process lives.
    pub async fn is_unharmed(&mut self, label: &str) {
        assert!(self.gateway.process.is_alive(), "{label}: the gateway is gone");
        assert_eq!(dump(&self.gateway).await, self.before, "{label}: the configuration changed");
        let version = self.mark().await;
        assert_eq!(version, self.version + 1, "{label}: versions were made");
        self.version = version;
    }

    /// A write of no meaning, different each time; answers with the version that it made.
    async fn mark(&mut self) -> u64 {
        self.marks += 1;
        self.gateway.admin.patch("/services/marker", json!({ "retries": self.marks })).await.expect(200);
        self.gateway.admin.acknowledged()
    }
}

/// Every entity, the one that is written to by `mark` without what that changes.
async fn dump(gateway: &Gateway) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for collection in COLLECTIONS {
        let mut page = gateway.admin.get(&format!("/{collection}?size=1000")).await.expect(200).json();
        for entity in page["data"].as_array_mut().unwrap().iter_mut().filter(|entity| entity["name"] == "marker") {
            (entity["updated_at"], entity["retries"]) = (Value::Null, Value::Null);
        }
        all.insert(collection.to_owned(), page);
    }
    all
}

/// Whether an answer is a refusal with a reason, or the one refusal that Kong gives none with.
fn is_clear_refusal(status: u16, text: &str) -> bool {
    let reason = serde_json::from_str::<Value>(text).is_ok_and(|body| body["message"].is_string());
    (400..500).contains(&status) && (reason || (status == 415 && text.is_empty()))
}
