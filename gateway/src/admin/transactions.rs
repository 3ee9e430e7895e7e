//! `/transactions`: many operations of the Admin API as one version, all of them or none.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use http::{Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{answer::Answer, call::Call, commit, failure::Failure, resource::Resource, serve};
use crate::{
    model::{Collection, Object, Registry},
    store::{Changes, Filter, Key, Note, Page, Result, Rows, Transaction, Version},
};

/// Operations of one transaction.
const MOST: usize = 10_000;

/// A transaction that several calls write to, one after the other.
pub(super) type Shared = Arc<Mutex<Box<dyn Transaction>>>;

/// `POST /transactions`
pub(super) async fn run(call: &mut Call) -> Result<Answer, Failure> {
    let operations = operations(call.input().await?.object)?;
    let shared: Shared = Arc::new(Mutex::new(commit::begin(call).await?));
    let mut results = Vec::with_capacity(operations.len());
    for (index, operation) in operations.into_iter().enumerate() {
        let done = operation.run(call, shared.clone()).await;
        match done {
            Ok(answer) if answer.status.is_success() => results.push(answer.shown()),
            Ok(answer) => return Ok(operation.failed(index, &answer)),
            Err(failure) => return Ok(operation.failed(index, &failure.into_answer())),
        }
    }
    let transaction = Arc::try_unwrap(shared).map_err(|_| Failure::Bad("an operation did not end".to_owned()))?;
    let version = commit::commit(call, transaction.into_inner()).await?;
    Ok(Answer::ok(json!({ "version": version, "results": results })).at(version))
}

/// A request as one would send it to the Admin API.
struct Operation {
    method: String,
    path: String,
    body: Value,
}

fn operations(mut input: Object) -> Result<Vec<Operation>, Failure> {
    let bad = |text: String| Failure::Bad(text);
    let Some(Value::Array(list)) = input.remove("operations") else {
        return Err(bad("operations must be a list".to_owned()));
    };
    if let Some(unknown) = input.keys().next() {
        return Err(bad(format!("unknown field '{unknown}'")));
    }
    if list.is_empty() || list.len() > MOST {
        return Err(bad(format!("operations must be 1 to {MOST}")));
    }
    let read = |(index, value)| Operation::read(value).map_err(|reason| bad(format!("operations[{index}]: {reason}")));
    list.into_iter().enumerate().map(read).collect()
}

impl Operation {
    fn read(value: Value) -> Result<Self, String> {
        let Value::Object(mut object) = value else { return Err("must be an object".to_owned()) };
        let mut text = |name: &str| match object.remove(name) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(format!("{name} must be a text")),
        };
        let (method, path) = (text("method")?.to_ascii_uppercase(), text("path")?);
        if !["POST", "PUT", "PATCH", "DELETE"].contains(&&*method) {
            return Err("method must be POST, PUT, PATCH or DELETE".to_owned());
        }
        if !path.starts_with('/') {
            return Err("path must begin with /".to_owned());
        }
        let body = object.remove("body").unwrap_or(Value::Null);
        if !(body.is_object() || body.is_null()) {
            return Err("body must be an object".to_owned());
        }
        match object.keys().next() {
            Some(unknown) => Err(format!("unknown field '{unknown}'")),
            None => Ok(Self { method, path, body }),
        }
    }

    async fn run(&self, call: &Call, shared: Shared) -> Result<Answer, Failure> {
        let request = Request::builder().method(&*self.method).uri(&*self.path);
        let request = match &self.body {
            Value::Null => request.body(Body::empty()),
            body => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
        };
        let request = request.map_err(|_| Failure::Bad("path is not valid".to_owned()))?;
        let mut part = call.part(request, shared);
        // A part may hold no transaction itself, so this ends; the box is for the compiler.
        Box::pin(serve::operation(&mut part)).await
    }

    fn failed(&self, index: usize, answer: &Answer) -> Answer {
        let status = if answer.status.is_success() { StatusCode::BAD_REQUEST } else { answer.status };
        let Self { method, path, .. } = self;
        let message = format!("operations[{index}] ({method} {path}) failed; nothing was changed");
        let body = json!({
            "message": message, "operation": index, "method": method, "path": path, "error": answer.shown()["body"],
        });
        Answer::json(status, body)
    }
}

/// Whether an operation may be part of a transaction.
pub(super) fn check(call: &Call, resource: &Resource) -> Result<(), Failure> {
    if call.part_of.is_none() || resource.is_entity() {
        return Ok(());
    }
    Err(Failure::Bad("only entities can be written in a transaction".to_owned()))
}

/// The share of one operation: what it commits is committed with the whole.
pub(super) struct Part(OwnedMutexGuard<Box<dyn Transaction>>);

impl Part {
    /// Operations run one after the other, so there is nothing to wait for.
    pub(super) async fn of(shared: &Shared) -> Self {
        Self(shared.clone().lock_owned().await)
    }
}

#[async_trait]
impl Transaction for Part {
    async fn get(&mut self, collection: &Collection, key: Key<'_>) -> Result<Option<Object>> {
        self.0.get(collection, key).await
    }

    async fn page(&mut self, collection: &Collection, filter: &Filter, page: &Page) -> Result<Rows> {
        self.0.page(collection, filter, page).await
    }

    async fn insert(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        self.0.insert(collection, entity).await
    }

    async fn update(&mut self, collection: &Collection, entity: &Object) -> Result<()> {
        self.0.update(collection, entity).await
    }

    async fn delete(&mut self, registry: &Registry, collection: &Collection, id: &str) -> Result<bool> {
        self.0.delete(registry, collection, id).await
    }

    async fn put_code(&mut self, digest: &str, bytes: &[u8]) -> Result<()> {
        self.0.put_code(digest, bytes).await
    }

    fn changes(&self, most: usize) -> Result<Changes> {
        self.0.changes(most)
    }

    fn sign(&mut self, note: Note) {
        self.0.sign(note);
    }

    /// The version is not made yet: 0.
    async fn commit(self: Box<Self>) -> Result<Version> {
        Ok(0)
    }
}
