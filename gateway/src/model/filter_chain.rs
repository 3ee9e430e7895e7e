//! `filter_chains`: filters of proxy-wasm, which this gateway does not have. It answers as Kong does where Wasm is off:
//! the entity has a schema, and nothing can be made of it.

use super::{
    Collection, OnDelete,
    schema::{Check, Field, Kind, Rule, Schema, TextKind},
};

pub(super) fn collection() -> Collection {
    let [created, updated] = Field::timestamps();
    let scope = |name, to| {
        let field = Field::foreign(name, to).default(serde_json::Value::Null).unique();
        field.show("on_delete", "cascade".into())
    };
    let mut name = Field::string("name").required().rule(Rule::OneOf(Vec::new()));
    name.error = Some("no such filter".into());
    let filter = Field::record(
        "",
        Schema::of(vec![name, Field::boolean("enabled").required().default(true), Field::new("config", Kind::Any)]),
    );
    let fields = vec![
        Field::id(),
        Field::text("name", TextKind::Name).unique(),
        Field::boolean("enabled").required().default(true),
        scope("route", "routes"),
        scope("service", "services"),
        Field::array("filters", filter).required().rule(Rule::LenMin(1)),
        created,
        updated,
        Field::tags(),
    ];
    let checks = vec![
        Check::over(Check::MutuallyExclusive, &["service", "route"]),
        Check::over(Check::AtLeastOneOf, &["service", "route"]),
    ];
    Collection::core("filter_chains", "filter-chains", Some("name"), Schema { fields, checks, ..Schema::default() })
        .reference("route", "routes", OnDelete::Cascade, Some("filter-chains"))
        .reference("service", "services", OnDelete::Cascade, Some("filter-chains"))
}
