//! The Admin API from the operator's side.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::Result;
use bytes::Bytes;
use serde_json::Value;

use super::client::{Answer, Call};

/// Sent with a write, it is answered with the version that the write made.
const VERSION: &str = "x-sandgate-config-version";

/// The Admin API of one gateway.
#[derive(Debug, Clone)]
pub struct Admin {
    pub address: SocketAddr,
    /// The newest version that a write was acknowledged with.
    acknowledged: Arc<AtomicU64>,
    /// Sent with every request, if there is one.
    token: Option<Arc<str>>,
}

impl Admin {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, acknowledged: Arc::default(), token: None }
    }

    /// Any request: `PATCH /services/a`.
    pub fn call(&self, line: &str) -> Call {
        let call = Call::new(self.address, line);
        match &self.token {
            Some(token) => call.header("authorization", format!("Bearer {token}")),
            None => call,
        }
    }

    /// The same API for somebody with this token.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// Any request that may be a write.
    pub async fn write(&self, call: Call) -> Answer {
        self.try_write(call).await.unwrap_or_else(|error| panic!("the Admin API does not answer: {error:#}"))
    }

    /// As `write`, of a gateway that may be gone.
    pub async fn try_write(&self, call: Call) -> Result<Answer> {
        let answer = call.header(VERSION, "1").try_send().await?;
        if let Ok(version) = answer.header(VERSION).parse() {
            self.acknowledged.fetch_max(version, Relaxed);
        }
        Ok(answer)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(&format!("GET {path}")).send().await
    }

    pub async fn post(&self, path: &str, entity: Value) -> Answer {
        self.write(self.call(&format!("POST {path}")).json(&entity)).await
    }

    pub async fn put(&self, path: &str, entity: Value) -> Answer {
        self.write(self.call(&format!("PUT {path}")).json(&entity)).await
    }

    pub async fn patch(&self, path: &str, entity: Value) -> Answer {
        self.write(self.call(&format!("PATCH {path}")).json(&entity)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.write(self.call(&format!("DELETE {path}"))).await
    }

    /// Creates an entity that must be accepted, and returns it.
    #[track_caller]
    pub fn create(&self, path: &str, entity: Value) -> impl Future<Output = Value> {
        let (admin, path, at) = (self.clone(), path.to_owned(), std::panic::Location::caller());
        async move {
            let answer = admin.post(&path, entity).await;
            assert_eq!(answer.status, 201, "POST {path} at {at}: {}", answer.text());
            answer.json()
        }
    }

    /// The id of the entity at a path.
    pub async fn id(&self, path: &str) -> Value {
        self.get(path).await.expect(200).json()["id"].clone()
    }

    /// Who the node says that it is.
    pub async fn id_of_node(&self) -> String {
        self.get("/").await.expect(200).json()["node_id"].as_str().expect("an id").to_owned()
    }

    /// A form, as curl's `-d` sends it.
    pub async fn form(&self, line: &str, form: &str) -> Answer {
        let call = self.call(line).header("content-type", "application/x-www-form-urlencoded");
        self.write(call.body(form.to_owned())).await
    }

    /// Uploads a module: `POST /modules?grants=*`.
    pub async fn upload(&self, line: &str, module: Bytes) -> Answer {
        self.write(self.call(line).header("content-type", "application/wasm").body(module)).await
    }

    /// The newest version that a write was acknowledged with.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }
}
