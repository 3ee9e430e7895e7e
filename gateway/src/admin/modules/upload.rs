//! Reading an upload: the bytes of the module, and settings as query arguments or form fields.

use serde_json::{Value, json};

use super::super::{
    call::{Call, text},
    failure::Failure,
    wishes,
};
use crate::model::{
    Object, json, requested_capabilities,
    schema::{Violations, simplify_numbers},
};

/// What operators decide about a module.
pub(in crate::admin) const SETTINGS: [&str; 6] =
    ["grants", "failure_policy", "priority", "memory_limit", "cpu_limit", "fresh"];

/// An upload.
pub(super) struct Upload {
    pub(super) bytes: Vec<u8>,
    /// Texts, still to be read by the schema.
    pub(super) settings: Object,
}

/// Reads the body and the arguments of the request.
pub(super) async fn read(call: &mut Call) -> Result<Upload, Failure> {
    let mut settings = Object::new();
    for (name, value) in call.query.iter().filter(|(name, _)| !wishes::NAMES.contains(&&**name)) {
        settings.insert(name.clone(), value.as_str().into());
    }
    let media_type = call.media_type()?;
    let limit = call.context.limits.upload;
    let body = call.bytes(limit).await;
    let body = body.map_err(|failure| match failure {
        Failure::TooLarge => Failure::Module(vec![format!("the module is larger than {limit} bytes")]),
        other => other,
    })?;
    let bytes = match media_type.as_deref() {
        Some("multipart/form-data") => {
            let mut module = None;
            for field in call.multipart(body).await? {
                if field.name == "module" || (field.file && module.is_none()) {
                    module = Some(field.bytes.to_vec());
                } else {
                    settings.insert(field.name, text(&field.bytes)?.into());
                }
            }
            module
        }
        // Whatever a client calls it (curl's `--data-binary` says it is a form): the bytes tell what they are.
        _ => Some(body.to_vec()),
    };
    let bytes = bytes.filter(|bytes| !bytes.is_empty());
    let bytes = bytes.ok_or_else(|| Failure::Module(vec!["the upload holds no module".to_owned()]))?;
    Ok(Upload { bytes, settings })
}

/// Whether the upload says what the module may do, not only what it is.
pub(super) fn decides(settings: &Object) -> bool {
    settings.keys().any(|name| SETTINGS.contains(&name.as_str()))
}

/// Refuses what is no setting, and reads the grants: `*` for everything that the manifest requests.
pub(super) fn check_settings(settings: &mut Object, manifest: &Value) -> Result<(), Failure> {
    let mut violations = Violations::default();
    for name in settings.keys().filter(|name| !SETTINGS.contains(&name.as_str())) {
        violations.set(name, "unknown field".into());
    }
    if let Some(given) = settings.get("grants") {
        match grants(given, manifest) {
            Ok(grants) => _ = settings.insert("grants".into(), grants),
            Err(problem) => violations.set("grants", problem.into()),
        }
    }
    violations.into_result().map_err(Failure::Schema)
}

fn grants(given: &Value, manifest: &Value) -> Result<Value, String> {
    let parsed = match given {
        Value::String(all) if all == "*" => return Ok(json!(requested_capabilities(manifest))),
        Value::String(text) => json::parse(text.as_bytes()).map_err(|_| "expected a map or *".to_owned())?,
        Value::Null => json!({}),
        other => other.clone(),
    };
    match parsed {
        Value::Object(grants) => Ok(Value::Object(grants)),
        _ => Err("expected a map or *".to_owned()),
    }
}

/// The settings of a form, read by the schema of `modules`.
pub(super) fn typed(schema: &crate::model::schema::Schema, settings: &mut Object) {
    schema.coerce(settings);
    settings.values_mut().for_each(simplify_numbers);
}
