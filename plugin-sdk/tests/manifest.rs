//! What the attribute `plugin` says about a plugin.

use sandgate_sdk::{plugin::Describe, prelude::*};

/// Nothing to configure.
#[derive(Config)]
pub struct Settings {}

/// A ticket of a consumer.
#[derive(Config)]
#[collection(name = "tickets", path = "tickets", nested_path = "ticket", parent = "consumers", ttl)]
pub struct Ticket {
    /// Its number.
    #[config(unique, generated)]
    code: String,
    #[config(required, unique_in_parent)]
    seat: String,
}

/// Lets nobody in.
pub struct Doorman;

#[plugin(
    name = "doorman",
    priority = -5,
    version = "2.1.0",
    request_headers = ["x-ticket"],
    response_headers = ["x-seat", "x-row"],
    capabilities(counters, consumers("tickets"), outbound_http("a:1", "b:2")),
    collections(Ticket),
    consumer_scope = false,
    protocols = ["http"]
)]
impl Plugin for Doorman {
    type Settings = Settings;

    fn new(_settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self)
    }
}

#[test]
fn the_manifest_says_what_the_attribute_says() {
    let manifest = Doorman::manifest();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str(), manifest.priority), ("doorman", "2.1.0", -5));
    assert_eq!((manifest.request_headers, manifest.response_headers.len()), (vec!["x-ticket".to_owned()], 2));
    let capabilities: Vec<_> =
        manifest.capabilities.iter().map(|asked| (asked.name.as_str(), asked.scope.join(" "))).collect();
    let expected = [("counters", ""), ("consumers", "tickets"), ("outbound-http", "a:1 b:2")];
    assert_eq!(capabilities, expected.map(|(name, scope)| (name, scope.to_owned())));
    assert_eq!((manifest.consumer_scope, manifest.protocols), (false, vec!["http".to_owned()]));
}

#[test]
fn a_collection_is_declared_by_its_struct() {
    let tickets = Doorman::manifest().collections.remove(0);
    assert_eq!((tickets.name.as_str(), tickets.nested_path.as_str(), tickets.ttl), ("tickets", "ticket", true));
    assert_eq!((tickets.unique_fields, tickets.unique_in_parent), (vec!["code".to_owned()], vec!["seat".to_owned()]));
    assert_eq!(tickets.generated_fields, ["code"]);
    let required = r#""required":["seat"]"#;
    assert!(tickets.schema.contains(required), "{}", tickets.schema);
}
