//! `/schemas`: what entities and plugins look like, and whether an entity would be accepted.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    answer::Answer,
    call::Call,
    failure::Failure,
    plugins,
    write::{core_collection, dry_run},
};
use crate::model::{Collection, filter_chains, schema::Schema};

type Result<T> = std::result::Result<T, Failure>;

/// `GET /schemas/{entity}`
pub(super) fn entity(call: &Call, name: &str) -> Result<Answer> {
    Ok(Answer::ok(described(call, name)?.schema.describe()))
}

/// A collection of the registry, or one that is described and nothing else.
fn described(call: &Call, name: &str) -> Result<Arc<Collection>> {
    match call.registry.get(name) {
        Some(collection) => Ok(collection.clone()),
        None if name == "filter_chains" => Ok(Arc::new(filter_chains())),
        None => Err(Failure::NotFoundNamed(format!("No entity named '{name}'"))),
    }
}

/// `GET /schemas/vaults/{kind}`: what a vault of this kind has in `config`.
pub(super) fn vault(call: &Call, kind: &str) -> Result<Answer> {
    let vaults = core_collection(&call.registry, "vaults")?;
    let choices = vaults.schema.variants.iter().flat_map(|variants| &variants.choices);
    let found = choices.filter(|(name, _)| &**name == kind).find_map(|(_, schema)| schema.field("config"));
    let config = found.ok_or_else(|| Failure::NotFoundNamed(format!("No vault named '{kind}'")))?;
    Ok(Answer::ok(Schema::of(vec![config.clone()]).describe()))
}

/// `GET /schemas/plugins/{name}`
pub(super) fn plugin(call: &Call, name: &str) -> Result<Answer> {
    let info = call.context.plugins.schema(name).ok_or_else(|| unknown_plugin(name))?;
    Ok(Answer::ok(info.overrides.describe()))
}

/// `GET /plugins/schema/{name}`: the configuration alone, as clients of old ask for it.
pub(super) fn plugin_config(call: &Call, name: &str) -> Result<Answer> {
    let info = call.context.plugins.schema(name).ok_or_else(|| unknown_plugin(name))?;
    let described = info.overrides.describe();
    let fields = described["fields"].as_array().into_iter().flatten();
    let config = fields.filter_map(|field| field.get("config")).next().cloned().unwrap_or(Value::Null);
    Ok(Answer::ok(json!({ "fields": config["fields"] })))
}

/// `POST /schemas/{entity}/validate`
pub(super) async fn validate_entity(call: &mut Call, name: &str) -> Result<Answer> {
    let collection = described(call, name)?;
    if name == "plugins" {
        return validate_plugin(call).await;
    }
    let mut input = call.input().await?;
    super::ttl::take(&collection, &mut input.object)?;
    dry_run(&collection.schema, input)?;
    Ok(valid())
}

/// `POST /schemas/plugins/validate`
pub(super) async fn validate_plugin(call: &mut Call) -> Result<Answer> {
    let input = call.input().await?;
    let collection = core_collection(&call.registry, "plugins")?;
    let schema = plugins::schema_for(&call.context, &collection, &input.object, None)?;
    let entity = dry_run(&schema, input)?;
    plugins::validate(&call.context, &entity).await?;
    Ok(valid())
}

fn valid() -> Answer {
    Answer::ok(json!({ "message": "schema validation successful" }))
}

fn unknown_plugin(name: &str) -> Failure {
    Failure::NotFoundNamed(format!("No plugin named '{name}'"))
}
