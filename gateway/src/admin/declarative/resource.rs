//! `/config`: the whole configuration of a gateway without a database.

use std::collections::BTreeMap;

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::{Given, LoadError, Source, load};
use crate::{
    admin::{
        answer::Answer,
        call::{Call, text},
        failure::{Failure, message},
    },
    model::{
        Object,
        declarative::{Loaded, Syntax, by_id},
    },
};

/// Flags that may stand in the query or in the body.
const FLAGS: [&str; 2] = ["check_hash", "flatten_errors"];
/// The longest text.
const TEXT_LIMIT: usize = 10 * 1024 * 1024;

/// `GET` and `POST /config`
pub(in crate::admin) async fn config(call: &mut Call) -> Result<Answer, Failure> {
    let Some(declarative) = call.context.declarative.clone() else {
        let text = "this endpoint is only available when Kong is configured to not use a database";
        return Err(Failure::Bad(text.to_owned()));
    };
    if call.method != Method::POST {
        let text = load::export(&*call.context.store, &call.registry, &*call.context.plugins).await?;
        return Ok(Answer::ok(json!({ "config": text })));
    }
    let (given, flags) = given(call).await?;
    let (registry, plugins) = (call.registry.clone(), call.context.plugins.clone());
    let source = Source::Operator { unless_same: flags.check_hash };
    match declarative.load(given, registry, plugins, source).await {
        Ok((version, loaded)) => {
            (call.context.notify)(version);
            Ok(Answer::json(StatusCode::CREATED, shown(loaded)).at(version))
        }
        Err(LoadError::Same) => Ok(Answer::empty(StatusCode::NOT_MODIFIED)),
        Err(LoadError::Busy) => {
            let mut answer = message(StatusCode::TOO_MANY_REQUESTS, "Currently loading previous configuration");
            answer.set(header::RETRY_AFTER, HeaderValue::from_static("1"));
            Ok(answer)
        }
        Err(LoadError::Invalid(invalid)) => {
            Err(Failure::Declarative { invalid: Box::new(invalid), flatten: flags.flatten_errors })
        }
    }
}

struct Flags {
    check_hash: bool,
    flatten_errors: bool,
}

/// What is to be loaded, from any of the forms in which it may come.
async fn given(call: &mut Call) -> Result<(Given, Flags), Failure> {
    if let Some("application/yaml" | "text/yaml") = call.media_type()?.as_deref() {
        let body = text(&call.bytes(TEXT_LIMIT).await?)?;
        let given = Given::Text(body, Syntax::Either);
        return Ok((given, flags(call, &mut Object::new())));
    }
    let mut object = call.input().await?.object;
    let flags = flags(call, &mut object);
    if object.contains_key("_format_version") {
        return Ok((Given::Content(Value::Object(object)), flags));
    }
    match object.shift_remove("config") {
        Some(Value::String(text)) => Ok((Given::Text(text, Syntax::Either), flags)),
        _ => Err(Failure::Bad("expected a declarative configuration".to_owned())),
    }
}

fn flags(call: &Call, object: &mut Object) -> Flags {
    let mut said = |name: &str| {
        let inside =
            object.shift_remove(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        call.argument(name).map(str::to_owned).or(inside).unwrap_or_default()
    };
    let [check_hash, flatten_errors] = FLAGS.map(&mut said);
    let is_on = matches!(&*flatten_errors.to_lowercase(), "1" | "true" | "on" | "yes");
    Flags { check_hash: check_hash == "1", flatten_errors: is_on }
}

fn shown(loaded: Loaded) -> Value {
    let mut collections = BTreeMap::new();
    for entity in loaded.entities {
        let name = entity.collection.name.clone();
        collections.entry(name).or_insert_with(|| (entity.collection, Vec::new())).1.push(entity.object);
    }
    by_id(collections.into_values())
}
