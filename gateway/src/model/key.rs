//! `keys` and `key_sets`: keys that plugins sign and verify with, as JWK or PEM.

use serde_json::Value;

use super::{
    Collection, Object, OnDelete, VaultReference, json,
    schema::{Check, Custom, Field, Rule, Schema, Violations},
};

pub(super) fn sets() -> Collection {
    let [created, updated] = Field::timestamps();
    let fields = vec![Field::id(), name(), Field::tags(), created, updated];
    Collection::core("key_sets", "key-sets", Some("name"), Schema::of(fields)).unique(&["name"])
}

pub(super) fn collection() -> Collection {
    Collection::core("keys", "keys", Some("name"), schema()).unique(&["name"]).unique(&["kid", "set"]).reference(
        "set",
        "key_sets",
        OnDelete::Cascade,
        Some("keys"),
    )
}

fn name() -> Field {
    Field::string("name").show("required", false.into()).unique()
}

fn schema() -> Schema {
    let [created, updated] = Field::timestamps();
    let secret = |field: Field| field.show("referenceable", true.into()).show("encrypted", true.into());
    let set = Field::foreign("set", "key_sets").show("required", false.into()).show("on_delete", "cascade".into());
    let fields = vec![
        Field::id(),
        set,
        name(),
        Field::string("kid").required().show("unique", false.into()),
        secret(Field::string("jwk")),
        pem(),
        Field::tags(),
        created,
        updated,
    ];
    let checks = vec![
        Check::over(Check::MutuallyExclusive, &["jwk", "pem"]),
        Check::over(Check::AtLeastOneOf, &["jwk", "pem"]),
        Check::Custom { sources: &["jwk", "pem", "kid"], with_missing: false, run: Custom(check_jwk) },
    ];
    Schema { fields, checks, ..Schema::default() }
}

fn pem() -> Field {
    let optional = |name| Field::string(name).show("required", false.into()).show("referenceable", true.into());
    let fields = vec![optional("private_key").show("encrypted", true.into()), optional("public_key")];
    let checks = vec![Check::over(Check::AtLeastOneOf, &["private_key", "public_key"])];
    let pair = Schema { fields, checks, ..Schema::default() };
    Field::record("pem", pair).show("required", false.into()).rule(Rule::KeyPair)
}

fn check_jwk(entity: &Object, violations: &mut Violations) {
    let text = entity.get("jwk").and_then(Value::as_str).filter(|text| !VaultReference::is_meant(text));
    let Some(text) = text.filter(|_| !["jwk", "kid"].iter().any(|field| violations.has(field))) else { return };
    let Ok(Value::Object(jwk)) = json::parse(text.as_bytes()) else {
        return violations.entity("could not json decode jwk string");
    };
    if jwk.get("kid") != entity.get("kid") {
        violations.entity("kid in jwk.kid must be equal to keys.kid");
    } else if let Some(problem) = jwk_problem(&jwk) {
        violations.entity(&format!("could not load JWK{problem}"));
    }
}

/// What a key of this kind must have (RFC 7518 §6, RFC 8037 §2). Symmetric keys are no keys to Kong.
fn jwk_problem(jwk: &Object) -> Option<String> {
    let has = |field: &str| jwk.get(field).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let needed: &[&str] = match jwk.get("kty").and_then(Value::as_str) {
        Some("RSA") => &["n", "e"],
        Some("EC") => &["crv", "x", "y"],
        Some("OKP") => &["crv", "x"],
        other => return Some(format!(": not supported \"kty\": {}", other.unwrap_or("none"))),
    };
    needed.iter().find(|field| !has(field)).map(|field| format!(": \"{field}\" is missing"))
}

/// What is wrong with a pair of PEM texts, either of which may be absent or kept elsewhere.
pub(super) fn pair_problem(pair: &Value) -> Option<String> {
    let text = |field: &str| pair.get(field).and_then(Value::as_str).filter(|text| !VaultReference::is_meant(text));
    let public = text("public_key").map(super::pem::public_key);
    let private = text("private_key").map(super::pem::private_key);
    match (public, private) {
        (Some(Err(_)), _) => Some("could not load public key".to_owned()),
        (_, Some(Err(reason))) => Some(format!("could not load private key: {reason}")),
        (Some(Ok(public)), Some(Ok(private))) if public != private => {
            Some("public key does not match private key".to_owned())
        }
        _ => None,
    }
}
