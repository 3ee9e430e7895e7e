//! `/modules`: the code of plugins. Uploading, looking, replacing without losing a request, granting, deleting.

mod accept;
mod local;
mod upload;

pub(super) use upload::SETTINGS;

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::{
    answer::Answer,
    call::Call,
    context::Context,
    entities::{REPEATED, page},
    failure::{Failure, message},
    plugins::of_plugin,
    query,
    read::{Reader, id_of},
    write::{Fixed, Write, core_collection},
};
use crate::{
    model::{Collection, Object, capabilities, declared_collections, requested_capabilities, schema::is_uuid},
    store::{Filter, Page},
};

pub use local::{Local, local};

type Result<T> = std::result::Result<T, Failure>;

/// `GET` and `POST /modules`
pub(super) async fn all(call: &mut Call) -> Result<Answer> {
    if call.method == Method::POST {
        return accept::create(call).await;
    }
    let collection = collection(call)?;
    let size = query::size(call)?;
    let after = query::offset(call)?.and_then(|place| Some(place.get(0)?.as_str()?.to_owned()));
    let rows = call.context.store.page(&collection, &Filter::default(), &Page { after, size }).await?;
    let data: Vec<Value> = rows.rows.iter().map(|module| view(&call.context, module)).collect();
    Ok(page(call, data, rows.next.map(|next| json!([next])), REPEATED))
}

/// `/modules/{module}`
pub(super) async fn one(call: &mut Call, key: &str) -> Result<Answer> {
    match call.method {
        Method::PUT => accept::put(call, key).await,
        Method::PATCH => patch(call, key).await,
        Method::DELETE => delete(call, key).await,
        _ => {
            let module = find(call, key).await?;
            Ok(Answer::ok(view(&call.context, &module)))
        }
    }
}

/// `GET /modules/{module}/code`
pub(super) async fn code(call: &Call, key: &str) -> Result<Answer> {
    let module = find(call, key).await?;
    let digest = text(&module, "digest");
    let tag = format!("\"{digest}\"");
    let known = call.headers().get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut answer = if known {
        Answer::empty(StatusCode::NOT_MODIFIED)
    } else {
        let bytes = call.context.store.code(digest).await?.ok_or(Failure::NotFound)?;
        Answer::bytes("application/wasm", bytes)
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        answer.set(header::ETAG, tag);
    }
    Ok(answer)
}

async fn find(call: &Call, key: &str) -> Result<Object> {
    let collection = collection(call)?;
    Reader::Store(&*call.context.store).find(&collection, key).await?.ok_or(Failure::NotFound)
}

/// Grants, failure policy and limits.
async fn patch(call: &mut Call, key: &str) -> Result<Answer> {
    let mut input = call.input().await?;
    let collection = collection(call)?;
    let mut write = Write::begin(call, &collection).await?;
    let Some(stored) = write.reader().find(&collection, key).await? else {
        let field = if is_uuid(key) { "id" } else { "name" };
        return Err(Failure::Missing(json!({ field: key })));
    };
    upload::check_settings(&mut input.object, stored.get("manifest").unwrap_or(&Value::Null))?;
    let module = write.patch(&stored, input, Fixed::new()).await?;
    let version = write.commit().await?;
    call.context.modules.install(&module).await;
    Ok(Answer::ok(view(&call.context, &module)).at(version))
}

async fn delete(call: &Call, key: &str) -> Result<Answer> {
    let collection = collection(call)?;
    let mut write = Write::begin(call, &collection).await?;
    let Some(module) = write.reader().find(&collection, key).await? else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    let name = text(&module, "name").to_owned();
    if text(&module, "source") == "builtin" {
        return Err(Failure::Bad(format!("the module '{name}' is built in")));
    }
    if let Some(reason) = in_use(&mut write, &name, &module).await? {
        return Err(Failure::Bad(reason));
    }
    write.transaction.delete(&call.registry, &collection, id_of(&module)).await?;
    let version = write.commit().await?;
    unregister(&call.context, &name);
    call.context.modules.remove(&name).await;
    Ok(Answer::empty(StatusCode::NO_CONTENT).at(version))
}

/// Why the module cannot go: configurations name it, or its collections hold entities.
async fn in_use(write: &mut Write<'_>, name: &str, module: &Object) -> Result<Option<String>> {
    let plugins = core_collection(&write.call.registry, "plugins")?;
    let users = write.reader().all(&plugins, &of_plugin(name)).await?;
    if !users.is_empty() {
        let ids: Vec<&str> = users.iter().map(id_of).collect();
        return Ok(Some(format!("the module '{name}' is used by {} plugins ({})", ids.len(), ids.join(", "))));
    }
    let manifest = module.get("manifest").unwrap_or(&Value::Null);
    for declared in declared_collections(manifest).unwrap_or_default() {
        if holds_entities(write, &declared).await? {
            return Ok(Some(format!("the collection '{}' of the module '{name}' still has entities", declared.name)));
        }
    }
    Ok(None)
}

async fn holds_entities(write: &mut Write<'_>, collection: &Collection) -> Result<bool> {
    let rows = write.reader().page(collection, &Filter::default(), &Page { after: None, size: 1 }).await?;
    Ok(!rows.rows.is_empty())
}

/// Makes the collections of a module known, in place of those it had.
pub(super) fn register(context: &Context, name: &str, collections: &[Collection]) {
    context.registry.rcu(|registry| {
        let mut changed = (**registry).clone();
        changed.remove_declared(name);
        for collection in collections {
            changed.add(collection.clone());
        }
        Arc::new(changed)
    });
}

pub(super) fn unregister(context: &Context, name: &str) {
    register(context, name, &[]);
}

fn collection(call: &Call) -> Result<Arc<Collection>> {
    core_collection(&call.registry, "modules")
}

/// A module as answers show it: the row, its capabilities compared with its grants, and how it fares here.
fn view(context: &Context, module: &Object) -> Value {
    let manifest = module.get("manifest").unwrap_or(&Value::Null);
    let found = capabilities(manifest, module.get("grants").unwrap_or(&Value::Null));
    let mut shown = module.clone();
    let parsed = |schema: &Value| match schema {
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
        other => other.clone(),
    };
    shown.insert("config_schema".into(), parsed(&manifest["config_schema"]));
    if shown.get("priority").is_none_or(Value::is_null) {
        shown.insert("priority".into(), manifest["priority"].clone());
    }
    shown.insert(
        "capabilities".into(),
        json!({
            "requested": requested_capabilities(manifest),
            "effective": found.effective,
            "missing": found.missing,
        }),
    );
    shown.extend(context.modules.state(text(module, "name")).to_object());
    Value::Object(shown)
}

fn text<'a>(object: &'a Object, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// 409 for a module whose name is taken.
fn taken(name: &str) -> Answer {
    message(StatusCode::CONFLICT, &format!("a module named '{name}' exists already; PUT /modules/{name} replaces it"))
}
