//! The kinds of entities that decK knows, in the order in which it writes them.

use serde_json::Value;

/// What decK knows of a kind.
#[derive(Debug)]
pub struct Kind {
    /// Where they stand in a file, and the internal name, which `/schemas` goes by.
    pub name: &'static str,
    /// Where all of them are listed and, unless `nested` says otherwise, written.
    pub path: &'static str,
    /// Written below their parent: the field that refers to it, its path, and theirs below it.
    pub nested: Option<(&'static str, &'static str, &'static str)>,
    /// The fields that tell one from another; references count by their id.
    pub key: &'static [&'static str],
    /// Fields that refer to another kind.
    pub references: &'static [(&'static str, &'static str)],
    /// Entities of one level are written at once, those of a higher one later.
    pub level: usize,
    /// Where their schema is, if not below their name.
    pub schema: &'static str,
}

const PLAIN: Kind = Kind { name: "", path: "", nested: None, key: &["name"], references: &[], level: 0, schema: "" };
const CONSUMER: &[(&str, &str)] = &[("consumer", "consumers")];
const CERTIFICATE: (&str, &str) = ("client_certificate", "certificates");

const fn credential(
    name: &'static str,
    path: &'static str,
    nested: &'static str,
    key: &'static [&'static str],
) -> Kind {
    let nested = Some(("consumer", "consumers", nested));
    Kind { name, path, nested, key, references: CONSUMER, level: 1, schema: name }
}

/// Every kind.
pub const KINDS: &[Kind] = &[
    Kind { name: "certificates", path: "certificates", key: &["cert", "key"], schema: "certificates", ..PLAIN },
    Kind { name: "ca_certificates", path: "ca_certificates", key: &["cert"], schema: "ca_certificates", ..PLAIN },
    Kind { name: "consumers", path: "consumers", key: &["username"], schema: "consumers", ..PLAIN },
    Kind { name: "vaults", path: "vaults", key: &["prefix"], schema: "vaults", ..PLAIN },
    Kind { name: "key_sets", path: "key-sets", schema: "key_sets", ..PLAIN },
    Kind {
        name: "snis",
        path: "snis",
        references: &[("certificate", "certificates")],
        level: 1,
        schema: "snis",
        ..PLAIN
    },
    Kind { name: "services", path: "services", references: &[CERTIFICATE], level: 1, schema: "services", ..PLAIN },
    Kind { name: "upstreams", path: "upstreams", references: &[CERTIFICATE], level: 1, schema: "upstreams", ..PLAIN },
    Kind { name: "keys", path: "keys", references: &[("set", "key_sets")], level: 1, schema: "keys", ..PLAIN },
    credential("keyauth_credentials", "key-auths", "key-auth", &["key"]),
    credential("basicauth_credentials", "basic-auths", "basic-auth", &["username"]),
    credential("hmacauth_credentials", "hmac-auths", "hmac-auth", &["username"]),
    credential("jwt_secrets", "jwts", "jwt", &["key"]),
    credential("oauth2_credentials", "oauth2", "oauth2", &["client_id"]),
    credential("acls", "acls", "acls", &["group", "consumer"]),
    Kind {
        name: "routes",
        path: "routes",
        references: &[("service", "services")],
        level: 2,
        schema: "routes",
        ..PLAIN
    },
    Kind {
        name: "targets",
        path: "targets",
        nested: Some(("upstream", "upstreams", "targets")),
        key: &["target", "upstream"],
        references: &[("upstream", "upstreams")],
        level: 2,
        schema: "targets",
    },
    Kind {
        name: "plugins",
        path: "plugins",
        key: &["name", "service", "route", "consumer"],
        references: &[("service", "services"), ("route", "routes"), ("consumer", "consumers")],
        level: 3,
        schema: "plugins",
        ..PLAIN
    },
];

/// The levels, the first written first.
pub const LEVELS: std::ops::Range<usize> = 0..4;

impl Kind {
    /// The kind with this name.
    pub fn named(name: &str) -> &'static Self {
        KINDS.iter().find(|kind| kind.name == name).unwrap_or_else(|| panic!("decK knows no {name}"))
    }

    /// The field by which an entity of this kind refers to its parent.
    pub fn reference_to(&self, parent: &str) -> &'static str {
        let found = self.references.iter().find(|(_, to)| *to == parent);
        found.unwrap_or_else(|| panic!("{} do not belong to {parent}", self.name)).0
    }

    /// What tells this entity from the others of its kind.
    pub fn key_of(&self, entity: &Value) -> Vec<String> {
        let text = |field: &&str| match &entity[*field] {
            Value::String(text) => text.clone(),
            reference => reference["id"].as_str().unwrap_or_default().to_owned(),
        };
        self.key.iter().map(text).collect()
    }

    /// Where one of these is written.
    pub fn place(&self, entity: &Value) -> String {
        let id = entity["id"].as_str().expect("every entity has an id by now");
        match self.nested {
            Some((field, parents, nested)) => {
                let parent = entity[field]["id"].as_str().expect("a child has a parent");
                format!("/{parents}/{parent}/{nested}/{id}")
            }
            None => format!("/{}/{id}", self.path),
        }
    }
}
