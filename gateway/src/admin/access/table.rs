//! Tokens, certificates and roles, ready to be looked up.

use std::{collections::HashMap, sync::Arc};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::secret;
use crate::{
    model::{AccessRows, AdminCertificate, AdminToken, Object, Role},
    store::Version,
    tls::ClientIdentity,
};

/// What one state of the rows means.
pub(super) struct Table {
    /// At least as new as this.
    pub(super) version: Version,
    pub(super) rows: Arc<AccessRows>,
    tokens: HashMap<Arc<str>, AdminToken>,
    /// By name.
    certificates: Vec<AdminCertificate>,
    roles: HashMap<Arc<str>, Arc<Role>>,
}

impl Table {
    pub(super) fn new(version: Version, rows: Arc<AccessRows>) -> Self {
        let tokens = rows.tokens.values().filter_map(read::<AdminToken>);
        let tokens = tokens.map(|token| (token.prefix.clone(), token)).collect();
        let mut certificates: Vec<AdminCertificate> = rows.certificates.values().filter_map(read).collect();
        certificates.sort_by(|one, other| one.name.cmp(&other.name));
        let builtin = Role::builtin();
        // A stored role never takes the place of a built-in one.
        let roles = rows.roles.values().chain(&builtin).filter_map(read::<Role>);
        let roles = roles.map(|role| (role.name.clone(), Arc::new(role))).collect();
        Self { version, rows, tokens, certificates, roles }
    }

    /// The roles of these names that exist.
    pub(super) fn roles(&self, names: &[Arc<str>]) -> Vec<Arc<Role>> {
        names.iter().filter_map(|name| self.roles.get(name).cloned()).collect()
    }

    /// The row that a token belongs to.
    pub(super) fn token(&self, token: &str) -> Option<&AdminToken> {
        self.tokens.get(secret::prefix(token)?).filter(|stored| secret::matches(stored, token))
    }

    /// What is known of a certificate, by name.
    pub(super) fn certificates<'a>(&'a self, shown: &'a ClientIdentity) -> impl Iterator<Item = &'a AdminCertificate> {
        self.certificates.iter().filter(move |known| fits(known, shown))
    }
}

fn fits(known: &AdminCertificate, shown: &ClientIdentity) -> bool {
    let fingerprint = |text: &str| text.replace(':', "").eq_ignore_ascii_case(&shown.fingerprint);
    let subject = |text: &str| plain(text) == plain(&shown.subject);
    let says = known.fingerprint.is_some() || known.san.is_some() || known.subject.is_some();
    says && known.fingerprint.as_deref().is_none_or(fingerprint)
        && known.san.as_deref().is_none_or(|san| shown.names.iter().any(|name| name == san))
        && known.subject.as_deref().is_none_or(subject)
}

/// A subject without the spaces that tools put around its signs.
fn plain(subject: &str) -> String {
    let parts = subject.split(',').map(|part| part.split('=').map(str::trim).collect::<Vec<_>>().join("="));
    parts.collect::<Vec<_>>().join(",")
}

/// Whether a time in Unix seconds has come.
pub(super) fn is_over(end: Option<i64>) -> bool {
    let now = crate::clock::unix_now().as_secs();
    end.is_some_and(|end| end <= i64::try_from(now).unwrap_or(i64::MAX))
}

fn read<T: DeserializeOwned>(row: &Object) -> Option<T> {
    let read = serde_json::from_value(Value::Object(row.clone()));
    read.map_err(|_| tracing::error!(id = ?row.get("id"), "a row about access cannot be read, and grants nothing")).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_certificate_fits_when_all_that_is_said_of_it_holds() {
        let shown = ClientIdentity {
            fingerprint: "abcd".into(),
            subject: "O=Example, CN=ops".into(),
            names: vec!["ops.example".into()],
            not_after: 0,
        };
        for (known, expected) in [
            (json!({ "fingerprint": "AB:CD" }), true),
            (json!({ "fingerprint": "abce" }), false),
            (json!({ "san": "ops.example" }), true),
            (json!({ "san": "ops" }), false),
            (json!({ "subject": "O = Example,CN = ops" }), true),
            (json!({ "subject": "CN=ops" }), false),
            (json!({ "subject": "O=Example, CN=ops", "san": "other" }), false),
            (json!({}), false),
        ] {
            let mut row = known.clone();
            (row["name"], row["roles"]) = (json!("a"), json!([]));
            assert_eq!(fits(&serde_json::from_value(row).unwrap(), &shown), expected, "{known}");
        }
    }
}
