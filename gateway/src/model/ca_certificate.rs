//! `ca_certificates`: whom to trust when a target shows its certificate.

use serde_json::Value;

use super::{
    Collection, Listing, Object, pem,
    schema::{Check, Custom, Field, Hook, Schema, TextKind, Violations},
};

pub(super) fn collection() -> Collection {
    let [created, updated] = Field::timestamps();
    let fields = vec![
        Field::id(),
        created,
        updated,
        Field::text("cert", TextKind::Certificate).required(),
        Field::string("cert_digest").unique(),
        Field::tags(),
    ];
    let checks = vec![Check::Custom { sources: &["cert"], with_missing: false, run: Custom(authority) }];
    let schema = Schema { fields, checks, normalise: Hook(Some(digest)), ..Schema::default() };
    let mut collection = Collection::core("ca_certificates", "ca_certificates", None, schema).unique(&["cert_digest"]);
    collection.listed_in = vec![Listing { collection: "services".into(), field: "ca_certificates".into() }];
    collection
}

fn authority(entity: &Object, violations: &mut Violations) {
    let text = entity.get("cert").and_then(Value::as_str).unwrap_or_default();
    if violations.has("cert") {
        return;
    }
    if text.matches("-----BEGIN CERTIFICATE-----").count() > 1 {
        return violations.entity("please submit only one certificate at a time");
    }
    let Ok(certificate) = pem::certificate(text) else { return };
    let now = crate::clock::unix_now().as_secs();
    if certificate.not_after < i64::try_from(now).unwrap_or(i64::MAX) {
        violations.entity("certificate expired, \"Not After\" time is in the past");
    } else if !certificate.is_authority {
        violations.entity("certificate does not appear to be a CA because it is missing the \"CA\" basic constraint");
    }
}

/// What the client says of the digest does not count.
fn digest(entity: &mut Object) {
    let certificate = entity.get("cert").and_then(|text| pem::certificate(text.as_str()?).ok());
    let digest = certificate.map(|certificate| certificate.digest);
    entity.insert("cert_digest".into(), digest.into());
}
