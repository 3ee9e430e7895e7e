//! `certificates` and `snis`: what TLS clients are shown, and for which names. A certificate is also found by the name of
//! one of its SNIs, and lists their names in `snis`, a field that no row has: see [`Names`].

use std::sync::Arc;

use serde_json::Value;

use super::{
    Collection, Names, Object, OnDelete, VaultReference, pem,
    schema::{Check, Custom, Field, Hook, Schema, TextKind, Violations},
};

pub(super) fn collection() -> Collection {
    let mut collection = Collection::core("certificates", "certificates", None, schema());
    collection.names = Some(Names {
        field: "snis".into(),
        children: Arc::new(snis()),
        key: "name".into(),
        reference: "certificate".into(),
        missing: "SNI not found",
    });
    collection
}

fn schema() -> Schema {
    let [created, updated] = Field::timestamps();
    let referenceable = |field: Field| field.show("referenceable", true.into());
    let secret = |field: Field| referenceable(field).show("encrypted", true.into());
    let optional = |field: Field| field.show("required", false.into());
    let fields = vec![
        Field::id(),
        created,
        updated,
        referenceable(Field::text("cert", TextKind::Certificate).required()),
        secret(Field::text("key", TextKind::PrivateKey).required()),
        optional(referenceable(Field::text("cert_alt", TextKind::Certificate))),
        optional(secret(Field::text("key_alt", TextKind::PrivateKey))),
        Field::tags(),
        optional(Field::array("snis", Field::text("", TextKind::WildcardHost).required()))
            .show("transient", true.into()),
    ];
    let check = |sources, run| Check::Custom { sources, with_missing: false, run: Custom(run) };
    let checks = vec![
        Check::over(Check::MutuallyRequired, &["cert_alt", "key_alt"]),
        check(&["cert", "key"], pair),
        check(&["cert_alt", "key_alt"], alternative_pair),
        check(&["cert", "cert_alt"], different_types),
    ];
    Schema { fields, checks, expand: Hook(Some(wrap_single_name)), ..Schema::default() }
}

/// One name stands for a list of one.
fn wrap_single_name(input: &mut Object) {
    if let Some(names) = input.get_mut("snis").filter(|names| names.is_string()) {
        *names = Value::Array(vec![names.take()]);
    }
}

fn pair(entity: &Object, violations: &mut Violations) {
    match_pair(entity, ("cert", "key"), "certificate does not match key", violations);
}

fn alternative_pair(entity: &Object, violations: &mut Violations) {
    match_pair(entity, ("cert_alt", "key_alt"), "alternative certificate does not match key", violations);
}

fn match_pair(entity: &Object, (certificate, key): (&str, &str), message: &str, violations: &mut Violations) {
    let (Some(certificate), Some(key)) = (good(entity, certificate, violations), good(entity, key, violations)) else {
        return;
    };
    if let (Ok(certificate), Ok(key)) = (pem::certificate(certificate), pem::private_key(key))
        && certificate.public_key != key
    {
        violations.entity(message);
    }
}

fn different_types(entity: &Object, violations: &mut Violations) {
    let kind = |field: &str| Some(pem::certificate(good(entity, field, violations)?).ok()?.key_type);
    if let (Some(one), Some(other)) = (kind("cert"), kind("cert_alt"))
        && one == other
    {
        violations.entity(
            "certificate and alternative certificate need to have different type (e.g. RSA and ECDSA), the provided \
             certificates were both of the same type",
        );
    }
}

/// The text of a field that has no mistake and is not kept elsewhere.
fn good<'a>(entity: &'a Object, field: &str, violations: &Violations) -> Option<&'a str> {
    let text = entity.get(field)?.as_str()?;
    (!violations.has(field) && !VaultReference::is_meant(text)).then_some(text)
}

/// `snis`: names that clients ask for in a TLS handshake.
pub(super) fn snis() -> Collection {
    let [created, updated] = Field::timestamps();
    let fields = vec![
        Field::id(),
        Field::text("name", TextKind::WildcardHost).required().unique().show("unique_across_ws", true.into()),
        created,
        updated,
        Field::tags(),
        Field::foreign("certificate", "certificates").required(),
    ];
    Collection::core("snis", "snis", Some("name"), Schema::of(fields)).unique(&["name"]).reference(
        "certificate",
        "certificates",
        OnDelete::Cascade,
        Some("snis"),
    )
}
