//! `/admin-tokens`, `/admin-certificates`, `/admin-roles` and `/admin-access`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{
    super::{
        answer::Answer,
        call::{Call, Input},
        entities::{REPEATED, page},
        failure::Failure,
        query,
        read::{Reader, id_of},
        write::{Fixed, Write},
    },
    Identity,
    secret::Minted,
};
use crate::{
    model::{
        ADMIN_CERTIFICATES, ADMIN_ROLES, ADMIN_TOKENS, Collection, Object, Role, Touched, Verb,
        schema::{Violations, is_uuid},
    },
    store::{Filter, Key, Page, Store, StoreError, Version},
};

type Result<T, E = Failure> = std::result::Result<T, E>;

/// Fields that are ours to fill.
const SECRET: [&str; 3] = ["prefix", "salt", "hash"];

/// Fields that the hash of a secret takes; answers show the first.
pub(in crate::admin) fn hidden(shown: bool) -> &'static [&'static str] {
    if shown { &SECRET[1..] } else { &SECRET }
}

/// `/admin-tokens` and its like.
pub(in crate::admin) async fn collection(call: &mut Call, collection: Arc<Collection>) -> Result<Answer> {
    if call.method == Method::POST { create(call, collection).await } else { list(call, &collection).await }
}

/// `/admin-tokens/{name}` and its like.
pub(in crate::admin) async fn entity(call: &mut Call, collection: Arc<Collection>, key: &str) -> Result<Answer> {
    if let Some(builtin) = builtin(&collection, key) {
        return if call.method.is_safe() { Ok(Answer::ok(Value::Object(builtin))) } else { Err(is_builtin(key)) };
    }
    match call.method {
        Method::PUT => put(call, collection, key).await,
        Method::PATCH => patch(call, collection, key).await,
        Method::DELETE => delete(call, collection, key).await,
        _ => {
            let found = Reader::Store(&*call.context.store).find(&collection, key).await?;
            found.map(|entity| Answer::ok(shown(&collection, entity))).ok_or(Failure::NotFound)
        }
    }
}

/// `GET /admin-access`: who the node takes the client for.
pub(in crate::admin) fn who(call: &Call) -> Answer {
    let (name, roles) = match &call.identity {
        Identity::Anyone => (call.identity.name(), None),
        Identity::Known { name, roles, .. } => (name.clone(), Some(roles)),
    };
    let roles = roles.map(|roles| roles.iter().map(|role| role.name.clone()).collect::<Vec<_>>());
    let authentication = if call.context.access.is_open(&call.door) { "open" } else { "required" };
    Answer::ok(json!({ "authentication": authentication, "name": name, "roles": roles }))
}

async fn list(call: &Call, collection: &Collection) -> Result<Answer> {
    let (size, place) = (query::size(call)?, query::offset(call)?);
    let first = place.is_none() && *collection.name == *ADMIN_ROLES.name;
    let mut data = if first { Role::builtin().map(Value::Object).to_vec() } else { Vec::new() };
    let after = place.and_then(|place| Some(place.get(0)?.as_str()?.to_owned()));
    let rows = call.context.store.page(collection, &Filter::default(), &Page { after, size }).await?;
    data.extend(rows.rows.into_iter().map(|entity| shown(collection, entity)));
    Ok(page(call, data, rows.next.map(|next| json!([next])), REPEATED))
}

async fn create(call: &mut Call, collection: Arc<Collection>) -> Result<Answer> {
    let input = input(call, &collection).await?;
    let minted = if *collection.name == *ADMIN_TOKENS.name { Some(Minted::new()?) } else { None };
    let fixed = minted.as_ref().map(Minted::fields).unwrap_or_default();
    let access = call.context.access.clone();
    let _writing = access.writing.lock().await;
    let mut write = Write::begin(call, &collection).await?;
    let entity = write.create(input, fixed).await?;
    let mut answer = finish(call, write, entity, minted).await?;
    answer.status = StatusCode::CREATED;
    Ok(answer)
}

async fn put(call: &mut Call, collection: Arc<Collection>, key: &str) -> Result<Answer> {
    let input = input(call, &collection).await?;
    let access = call.context.access.clone();
    let _writing = access.writing.lock().await;
    let mut write = Write::begin(call, &collection).await?;
    let named = |field: &str| vec![(field.into(), Value::from(key))];
    let entity = match write.reader().find(&collection, key).await? {
        Some(stored) => {
            stays_named(&mut write, &stored, input.object.get("name").unwrap_or(&Value::Null)).await?;
            write.replace(&stored, input, Fixed::new()).await?
        }
        None => write.create(input, named(if is_uuid(key) { "id" } else { "name" })).await?,
    };
    finish(call, write, entity, None).await
}

async fn patch(call: &mut Call, collection: Arc<Collection>, key: &str) -> Result<Answer> {
    let input = input(call, &collection).await?;
    let access = call.context.access.clone();
    let _writing = access.writing.lock().await;
    let mut write = Write::begin(call, &collection).await?;
    let Some(stored) = write.reader().find(&collection, key).await? else {
        return Err(Failure::Missing(json!({ if is_uuid(key) { "id" } else { "name" }: key })));
    };
    if let Some(name) = input.object.get("name") {
        stays_named(&mut write, &stored, name).await?;
    }
    let entity = write.patch(&stored, input, Fixed::new()).await?;
    finish(call, write, entity, None).await
}

async fn delete(call: &Call, collection: Arc<Collection>, key: &str) -> Result<Answer> {
    let _writing = call.context.access.writing.lock().await;
    let mut write = Write::begin(call, &collection).await?;
    let Some(stored) = write.reader().find(&collection, key).await? else {
        return Ok(Answer::empty(StatusCode::NO_CONTENT));
    };
    stays_named(&mut write, &stored, &Value::Null).await?;
    write.transaction.delete(&call.registry, &collection, id_of(&stored)).await?;
    let version = write.commit().await?;
    call.context.access.changed(version, &collection.name, id_of(&stored), None);
    Ok(Answer::empty(StatusCode::NO_CONTENT).at(version))
}

/// Checks what a schema cannot, commits, and makes it count before the answer.
async fn finish(call: &Call, mut write: Write<'_>, entity: Object, minted: Option<Minted>) -> Result<Answer> {
    let collection = write.collection.clone();
    if *collection.name == *ADMIN_ROLES.name {
        let name = text(&entity, "name");
        if builtin(&collection, name).is_some() {
            return Err(is_builtin(name));
        }
    } else {
        let roles = roles_of(&mut write, &entity).await?;
        refuse_lockout(call, &roles)?;
    }
    let version = write.commit().await?;
    call.context.access.changed(version, &collection.name, id_of(&entity), Some(&entity));
    let mut shown = shown(&collection, entity);
    if let Some(minted) = minted {
        shown["token"] = minted.token.into();
    }
    Ok(Answer::ok(shown).at(version))
}

/// The body, without what is ours to fill; `ttl` becomes `expires_at`.
async fn input(call: &mut Call, collection: &Collection) -> Result<Input> {
    let mut input = call.input().await?;
    let mut violations = Violations::default();
    for field in SECRET.iter().filter(|field| input.object.contains_key(**field)) {
        violations.set(field, "unknown field".into());
    }
    if let Some(ttl) = input.object.remove("ttl").filter(|_| *collection.name != *ADMIN_ROLES.name) {
        let seconds =
            ttl.as_u64().or_else(|| ttl.as_str()?.parse().ok()).filter(|ttl| (1..=u64::from(u32::MAX)).contains(ttl));
        match seconds {
            Some(seconds) => _ = input.object.insert("expires_at".into(), json!(now() + seconds)),
            None => violations.set("ttl", "expected a number of seconds, 1 or more".into()),
        }
    }
    violations.into_result().map_err(Failure::Schema)?;
    Ok(input)
}

/// The roles that a token or certificate names; each must exist.
async fn roles_of(write: &mut Write<'_>, entity: &Object) -> Result<Vec<Role>> {
    let mut roles = Vec::new();
    for name in entity.get("roles").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        let found = match builtin(&ADMIN_ROLES, name) {
            Some(builtin) => Some(builtin),
            None => write.reader().get(&ADMIN_ROLES, Key::Unique("name", name)).await?,
        };
        let role = found.and_then(|role| serde_json::from_value(Value::Object(role)).ok());
        roles
            .push(role.ok_or_else(|| Failure::Schema(Violations::one("roles", format!("there is no role '{name}'"))))?);
    }
    Ok(roles)
}

/// With the first token everybody needs one: the first must be able to make others.
fn refuse_lockout(call: &Call, roles: &[Role]) -> Result<()> {
    let touched = Touched { names: ["admin-tokens"; 2], segments: &["admin-tokens"] };
    let administers = || roles.iter().any(|role| role.allows(Verb::Administer, &touched));
    if matches!(call.identity, Identity::Known { .. }) || administers() {
        return Ok(());
    }
    let said = "the first must be able to make others, or nobody could: give it the role 'admin'";
    Err(Failure::Schema(Violations::one("roles", said)))
}

/// Refuses to take the name of a role away while somebody has it.
async fn stays_named(write: &mut Write<'_>, stored: &Object, name: &Value) -> Result<()> {
    if *write.collection.name != *ADMIN_ROLES.name || stored.get("name") == Some(name) {
        return Ok(());
    }
    let role = stored.get("name").unwrap_or(&Value::Null).clone();
    for holders in [&ADMIN_TOKENS, &ADMIN_CERTIFICATES] {
        for holder in write.reader().all(holders, &Filter::default()).await? {
            if holder.get("roles").and_then(Value::as_array).is_some_and(|roles| roles.contains(&role)) {
                let (role, path, name) = (role.as_str().unwrap_or_default(), &holders.path, text(&holder, "name"));
                return Err(Failure::Bad(format!("the role '{role}' is used by /{path}/{name}")));
            }
        }
    }
    Ok(())
}

/// What answers show: no hash, and whether a role can be changed.
pub(in crate::admin) fn present(collection: &Collection, entity: &mut Object) {
    match &*collection.name {
        "admin_tokens" => hidden(true).iter().for_each(|field| drop(entity.remove(*field))),
        "admin_roles" => _ = entity.insert("builtin".into(), false.into()),
        _ => {}
    }
}

fn shown(collection: &Collection, mut entity: Object) -> Value {
    present(collection, &mut entity);
    Value::Object(entity)
}

fn builtin(collection: &Collection, key: &str) -> Option<Object> {
    let is = |role: &Object| text(role, "name") == key || text(role, "id") == key.to_lowercase();
    Role::builtin().into_iter().find(is).filter(|_| *collection.name == *ADMIN_ROLES.name)
}

fn is_builtin(name: &str) -> Failure {
    Failure::Bad(format!("the role '{name}' is built in"))
}

fn text<'a>(entity: &'a Object, field: &str) -> &'a str {
    entity.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn now() -> u64 {
    crate::clock::unix_now().as_secs()
}

/// A token to be made without the Admin API, on the database itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Unique name.
    pub name: String,
    /// Names of its roles.
    pub roles: Vec<String>,
    /// How long it is valid; `None`: until it is deleted.
    pub life: Option<Duration>,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum NewTokenError {
    /// What was asked for is not a token.
    #[error("{0}")]
    Refused(String),
    /// The database refused or failed.
    #[error("writing the token")]
    Store(#[from] StoreError),
}

/// Makes a token and answers with it; running gateways know it as soon as they have read the new version.
pub async fn new_token(store: &dyn Store, wanted: NewToken) -> Result<(String, Version), NewTokenError> {
    let refused = |text: &str| NewTokenError::Refused(text.to_owned());
    let minted = Minted::new().map_err(|_| refused("the system has no randomness"))?;
    let mut object = Object::new();
    object.insert("name".into(), wanted.name.clone().into());
    object.insert("roles".into(), json!(wanted.roles));
    object.insert("expires_at".into(), json!(wanted.life.map(|life| now() + life.as_secs())));
    object.extend(minted.fields().into_iter().map(|(field, value)| (field.to_string(), value)));
    let entity = ADMIN_TOKENS.schema.create(object, SystemTime::now());
    let entity = entity.map_err(|found| NewTokenError::Refused(found.list().join("; ")))?;
    let mut transaction = store.begin().await?;
    for name in &wanted.roles {
        let is_builtin = builtin(&ADMIN_ROLES, name).is_some_and(|role| text(&role, "name") == name);
        if !is_builtin && transaction.get(&ADMIN_ROLES, Key::Unique("name", name)).await?.is_none() {
            return Err(refused(&format!("there is no role '{name}'")));
        }
    }
    if transaction.get(&ADMIN_TOKENS, Key::Unique("name", &wanted.name)).await?.is_some() {
        return Err(refused(&format!("there is a token '{}' already", wanted.name)));
    }
    transaction.insert(&ADMIN_TOKENS, &entity).await?;
    Ok((minted.token, transaction.commit().await?))
}
