//! `modules`: the code of plugins. The bytes are kept apart, by digest.

use serde_json::json;

use super::{
    Collection,
    schema::{Field, Kind, Schema},
};

pub(super) fn collection() -> Collection {
    let [created, updated] = Field::timestamps();
    let fields = vec![
        Field::id(),
        Field::string("name").required().unique().described("Name of the plugin, from its manifest."),
        Field::string("version").required(),
        Field::string("digest").required().described("SHA-256 of the component."),
        Field::string("source").required().one_of(["builtin", "upload"]),
        Field::integer("size").required(),
        Field::array("phases", Field::string("")).required().default(json!([])),
        Field::array("imports", Field::string("")).required().default(json!([])),
        Field::new("manifest", Kind::Abstract).required(),
        Field::map("grants", Field::string(""), Field::array("", Field::string("")))
            .required()
            .default(json!({}))
            .described("Capabilities granted by the operator, each with its scope."),
        Field::string("failure_policy").one_of(["closed", "open"]),
        Field::integer("priority").between(-2_147_483_648.0, 2_147_483_647.0),
        Field::integer("memory_limit").between(65_536.0, 4_294_967_296.0),
        Field::integer("cpu_limit").between(1.0, 60_000.0),
        Field::boolean("fresh").required().default(false),
        created,
        updated,
    ];
    Collection::core("modules", "modules", Some("name"), Schema::of(fields)).unique(&["name"])
}
