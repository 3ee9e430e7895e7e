//! Who may use the Admin API: `admin_tokens`, `admin_certificates` and `admin_roles`. They are entities of the store and
//! of nothing else: no registry lists them, so that files, `/tags`, `/schemas` and transactions cannot reach them.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Collection, Object,
    schema::{Check, Field, Pattern, Rule, Schema, TextKind},
};

/// Bearer tokens. Only a salted hash of the secret is kept.
pub static ADMIN_TOKENS: LazyLock<Arc<Collection>> = LazyLock::new(|| {
    let own = ["prefix", "salt", "hash"].map(|name| Field::string(name).required());
    let named = named("admin_tokens", "admin-tokens", own.into_iter().chain(held()), Vec::new());
    Arc::new(named.unique(&["prefix"]))
});

/// Client certificates that the Admin API's CA vouches for, and what they may do.
pub static ADMIN_CERTIFICATES: LazyLock<Arc<Collection>> = LazyLock::new(|| {
    let own = ["fingerprint", "san", "subject"].map(Field::string);
    let checks = vec![Check::over(Check::AtLeastOneOf, &["fingerprint", "san", "subject"])];
    Arc::new(named("admin_certificates", "admin-certificates", own.into_iter().chain(held()), checks))
});

/// What tokens and certificates may do.
pub static ADMIN_ROLES: LazyLock<Arc<Collection>> = LazyLock::new(|| {
    let verbs = Verb::ALL.iter().map(|verb| Value::from(verb.as_str())).chain([EVERY.into()]).collect();
    let verb = Field::string("").required().rule(Rule::OneOf(verbs));
    let forms = vec![Pattern::lua("^%*$"), Pattern::lua("^[%w%._-]+$"), Pattern::lua("^/")];
    let said = "must be *, the name of a collection, or a path that begins with /";
    let resource = Field::string("").required().rule(Rule::MatchAny(forms, Some(said.into())));
    let allowance = Schema::of(vec![
        Field::set("verbs", verb).required().rule(Rule::LenMin(1)),
        Field::set("resources", resource).required().rule(Rule::LenMin(1)),
    ]);
    let rules = Field::array("rules", Field::record("", allowance).required()).required().default(json!([]));
    Arc::new(named("admin_roles", "admin-roles", [rules], Vec::new()))
});

/// All verbs, or all resources.
const EVERY: &str = "*";

fn named(name: &str, path: &str, own: impl IntoIterator<Item = Field>, checks: Vec<Check>) -> Collection {
    let mut fields =
        vec![Field::id(), Field::text("name", TextKind::Name).required().unique(), Field::string("comment")];
    fields.extend(own);
    fields.extend(Field::timestamps());
    Collection::core(name, path, Some("name"), Schema { fields, checks, ..Schema::default() }).unique(&["name"])
}

/// What tokens and certificates have in common.
fn held() -> [Field; 2] {
    let role = Field::text("", TextKind::Name).required();
    [Field::set("roles", role).required().rule(Rule::LenMin(1)), Field::integer("expires_at")]
}

/// What a request does to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Looks at it: GET, HEAD.
    Read,
    /// Adds to it: POST.
    Create,
    /// Changes or puts it: PUT, PATCH.
    Update,
    /// Takes it away: DELETE.
    Delete,
    /// Puts, replaces or takes away code: writes to `/modules`.
    Upload,
    /// Decides what code may do: grants, limits and failure policy in `/modules`.
    Grant,
    /// Decides who may use the Admin API.
    Administer,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Create, Self::Update, Self::Delete, Self::Upload, Self::Grant, Self::Administer];

    /// As roles write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Upload => "upload",
            Self::Grant => "grant",
            Self::Administer => "administer",
        }
    }
}

/// What a request touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched<'a> {
    /// Name and path of the collection, or the first segment of the path twice.
    pub names: [&'a str; 2],
    /// Decoded segments of the path.
    pub segments: &'a [&'a str],
}

/// A named list of what is allowed. What no rule allows is denied.
#[derive(Debug, Clone, Deserialize)]
pub struct Role {
    /// Unique name.
    pub name: Arc<str>,
    /// Any of them allows.
    pub rules: Vec<Allowance>,
}

/// Verbs that are allowed on resources.
#[derive(Debug, Clone, Deserialize)]
pub struct Allowance {
    /// Verbs, or `*`.
    pub verbs: Vec<Arc<str>>,
    /// Collections, paths with `*` for a segment and `**` for the rest, or `*`.
    pub resources: Vec<Arc<str>>,
}

impl Role {
    /// Whether it allows this.
    pub fn allows(&self, verb: Verb, touched: &Touched<'_>) -> bool {
        self.rules.iter().any(|rule| {
            rule.verbs.iter().any(|allowed| &**allowed == EVERY || &**allowed == verb.as_str())
                && rule.resources.iter().any(|resource| covers(resource, touched))
        })
    }

    /// The roles that are always there.
    pub fn builtin() -> [Object; 3] {
        let role = |id: &str, name: &str, comment: &str, verbs: &[&str]| {
            let rules = json!([{ "verbs": verbs, "resources": [EVERY] }]);
            let role = json!({ "id": id, "name": name, "comment": comment, "rules": rules, "builtin": true });
            role.as_object().cloned().unwrap_or_default()
        };
        [
            role("a0000000-0000-4000-8000-000000000001", "admin", "Everything.", &[EVERY]),
            role(
                "a0000000-0000-4000-8000-000000000002",
                "operator",
                "Everything but code, its grants, and access to the Admin API.",
                &["read", "create", "update", "delete"],
            ),
            role("a0000000-0000-4000-8000-000000000003", "read-only", "Looks, changes nothing.", &["read"]),
        ]
    }
}

fn covers(resource: &str, touched: &Touched<'_>) -> bool {
    match resource.strip_prefix('/') {
        _ if resource == EVERY => true,
        Some(path) => path_covers(path, touched.segments),
        None => touched.names.contains(&resource),
    }
}

fn path_covers(pattern: &str, segments: &[&str]) -> bool {
    let mut wanted = pattern.split('/').filter(|part| !part.is_empty());
    for segment in segments {
        match wanted.next() {
            Some("**") => return true,
            Some(part) if part == EVERY || part == *segment => {}
            _ => return false,
        }
    }
    matches!(wanted.next(), None | Some("**"))
}

/// A token as it is stored.
#[derive(Clone, Deserialize)]
pub struct AdminToken {
    /// Unique name.
    pub name: Arc<str>,
    /// Names of its roles.
    pub roles: Vec<Arc<str>>,
    /// Unix seconds at which it ends.
    pub expires_at: Option<i64>,
    /// Begins the token, and finds its row.
    pub prefix: Arc<str>,
    /// Salt of the hash, Base64.
    pub salt: Box<str>,
    /// Hash of the token, Base64.
    pub hash: Box<str>,
}

/// A client certificate that is known; what is given must all match.
#[derive(Debug, Clone, Deserialize)]
pub struct AdminCertificate {
    /// Unique name.
    pub name: Arc<str>,
    /// Names of its roles.
    pub roles: Vec<Arc<str>>,
    /// Unix seconds at which this ends.
    pub expires_at: Option<i64>,
    /// SHA-256 of the certificate, hexadecimal.
    pub fingerprint: Option<Box<str>>,
    /// One of its alternative names.
    pub san: Option<Box<str>>,
    /// Its subject: `C=NL, O=Example, CN=ops`.
    pub subject: Option<Box<str>>,
}

/// Everything that is stored about access, by id.
#[derive(Clone, Default)]
pub struct AccessRows {
    /// `admin_tokens`.
    pub tokens: BTreeMap<Arc<str>, Object>,
    /// `admin_certificates`.
    pub certificates: BTreeMap<Arc<str>, Object>,
    /// `admin_roles`.
    pub roles: BTreeMap<Arc<str>, Object>,
}

impl AccessRows {
    /// Whether entities of this collection belong here.
    pub fn holds(collection: &str) -> bool {
        matches!(collection, "admin_tokens" | "admin_certificates" | "admin_roles")
    }

    /// Puts an entity, or takes it away.
    pub fn put(&mut self, collection: &str, id: Arc<str>, entity: Option<Object>) {
        let rows = match collection {
            "admin_tokens" => &mut self.tokens,
            "admin_certificates" => &mut self.certificates,
            _ => &mut self.roles,
        };
        match entity {
            Some(entity) => drop(rows.insert(id, entity)),
            None => drop(rows.remove(&id)),
        }
    }

    /// Whether anybody could show who they are.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.certificates.is_empty()
    }
}

impl std::fmt::Debug for AccessRows {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("AccessRows").field("tokens", &self.tokens.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(verbs: &[&str], resources: &[&str]) -> Role {
        serde_json::from_value(json!({ "name": "r", "rules": [{ "verbs": verbs, "resources": resources }] })).unwrap()
    }

    #[test]
    fn a_role_allows_what_a_rule_names_and_nothing_else() {
        let routes = |segments| Touched { names: ["routes", "routes"], segments };
        let keys = |segments| Touched { names: ["keyauth_credentials", "key-auths"], segments };
        let (nested, top) = (["services", "a", "routes"], ["routes"]);
        type Row<'a> = (&'a [&'a str], &'a [&'a str], Verb, Touched<'a>, bool);
        let rows: [Row<'_>; 15] = [
            (&["read"], &["*"], Verb::Read, routes(&top), true),
            (&["read"], &["*"], Verb::Update, routes(&top), false),
            (&["*"], &["routes"], Verb::Delete, routes(&nested), true),
            (&["*"], &["services"], Verb::Delete, routes(&nested), false),
            (&["*"], &["rout"], Verb::Read, routes(&top), false),
            (&["create"], &["key-auths"], Verb::Create, keys(&["consumers", "c", "key-auth"]), true),
            (&["create"], &["keyauth_credentials"], Verb::Create, keys(&["key-auths"]), true),
            (&["read"], &["/services/*/routes"], Verb::Read, routes(&nested), true),
            (&["read"], &["/services/*"], Verb::Read, routes(&nested), false),
            (&["read"], &["/services/**"], Verb::Read, routes(&nested), true),
            (&["read"], &["/services/a/routes/**"], Verb::Read, routes(&nested), true),
            (&["read"], &["/services/b/routes"], Verb::Read, routes(&nested), false),
            (&["read"], &["/"], Verb::Read, Touched { names: ["", ""], segments: &[] }, true),
            (&["read"], &["/"], Verb::Read, routes(&top), false),
            (&[], &["*"], Verb::Read, routes(&top), false),
        ];
        for (verbs, resources, verb, touched, allowed) in rows {
            assert_eq!(
                role(verbs, resources).allows(verb, &touched),
                allowed,
                "{verbs:?} {resources:?} {verb:?} {touched:?}"
            );
        }
    }

    #[test]
    fn only_admin_may_touch_code_and_access() {
        let anything = Touched { names: ["modules", "modules"], segments: &["modules"] };
        for builtin in Role::builtin() {
            let role: Role = serde_json::from_value(Value::Object(builtin)).unwrap();
            for verb in [Verb::Upload, Verb::Grant, Verb::Administer] {
                assert_eq!(role.allows(verb, &anything), &*role.name == "admin", "{} {verb:?}", role.name);
            }
            assert!(role.allows(Verb::Read, &anything), "{}", role.name);
        }
    }
}
