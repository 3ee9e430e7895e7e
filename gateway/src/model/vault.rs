//! `vaults`: where the secrets are that other entities refer to with `{vault://…}`.

use std::sync::Arc;

use super::{
    Collection,
    schema::{Field, Pattern, Rule, Schema, TextKind, Variants},
};

/// Kinds of vaults. References may name them without an entity, so no entity may take their names.
pub const KINDS: [&str; 2] = ["env", "file"];

pub(super) fn collection() -> Collection {
    Collection::core("vaults", "vaults", Some("prefix"), schema()).unique(&["prefix"])
}

fn schema() -> Schema {
    let [created, updated] = Field::timestamps();
    let prefix = Field::text("prefix", TextKind::VaultPrefix)
        .required()
        .unique()
        .show("unique_across_ws", true.into())
        .rule(Rule::Match(Pattern::lua("^[a-z][a-z%d-]-[a-z%d]+$")))
        .rule(Rule::NotOneOf(vec!["env".into()]));
    let base = Schema::of(vec![
        Field::id(),
        prefix,
        Field::text("name", TextKind::VaultKind).required(),
        Field::string("description"),
        Field::new("config", super::schema::Kind::Abstract),
        created,
        updated,
        Field::tags(),
    ]);
    let choices = KINDS.iter().zip([environment(), folder()]).map(|(kind, prefix)| {
        let config = Field::record("config", Schema::of(vec![prefix])).required();
        (Arc::from(*kind), Arc::new(base.with(&Schema::of(vec![config]))))
    });
    let variants = Variants { key: "name".into(), choices: choices.collect() };
    Schema { variants: Some(variants), ..base }
}

fn environment() -> Field {
    Field::string("prefix")
        .rule(Rule::Match(Pattern::lua("^[%a_-][%a%d_-]*$")))
        .described("What names of environment variables begin with.")
}

fn folder() -> Field {
    Field::string("prefix").described("Folder below that of the node, whose files hold the secrets.")
}
