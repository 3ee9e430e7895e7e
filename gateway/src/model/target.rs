//! `targets`: addresses of an upstream. Stored with a port; IPv6 in full, in brackets.

use std::net::IpAddr;

use super::{
    Collection, Object, OnDelete,
    schema::{Auto, Field, Hook, Schema, TextKind},
};
use crate::model::schema::Host;

const DEFAULT_PORT: u16 = 8000;

pub(super) fn collection() -> Collection {
    let stamp = |name, auto| Field::number(name).auto(auto).show("timestamp", true.into());
    let fields = vec![
        Field::id(),
        stamp("created_at", Auto::Created),
        stamp("updated_at", Auto::Updated),
        Field::foreign("upstream", "upstreams").required().show("on_delete", "cascade".into()),
        Field::text("target", TextKind::Target).required(),
        Field::integer("weight").default(100).between(0.0, 65535.0),
        Field::tags(),
    ];
    let schema = Schema { fields, normalise: Hook(Some(normalise)), ..Schema::default() };
    Collection::core("targets", "targets", Some("target"), schema).unique(&["upstream", "target"]).reference(
        "upstream",
        "upstreams",
        OnDelete::Cascade,
        Some("targets"),
    )
}

fn normalise(target: &mut Object) {
    let normal = target.get("target").and_then(|text| normal_target(text.as_str()?));
    if let Some(normal) = normal {
        target.insert("target".into(), normal.into());
    }
}

/// The stored form of a target, or `None` if it is none.
pub fn normal_target(text: &str) -> Option<String> {
    let host = Host::parse(text)?;
    let port = host.port.unwrap_or(DEFAULT_PORT);
    Some(match host.address {
        Some(IpAddr::V6(address)) => {
            let groups: Vec<_> = address.segments().iter().map(|group| format!("{group:04x}")).collect();
            format!("[{}]:{port}", groups.join(":"))
        }
        _ => format!("{}:{port}", host.name),
    })
}
