use std::collections::BTreeSet;

use serde_json::Value;

use super::Admin;
use crate::admin::openapi;

/// The resources that the source declares: a new one appears here by itself.
fn declared() -> BTreeSet<String> {
    let source = include_str!("../resource.rs");
    let (_, rest) = source.split_once("pub(super) enum Resource {").unwrap();
    let (variants, _) = rest.split_once("\n}").unwrap();
    let lines = variants.lines().map(str::trim).filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    lines.map(|line| line.split(['(', ',']).next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_resource_stands_in_the_document() {
    let admin = Admin::start().await;
    let registry = admin.context.registry.load_full();
    let described: BTreeSet<String> = openapi::resources(&registry)
        .map(|(_, resource)| format!("{resource:?}").split(['(', ' ']).next().unwrap().to_owned())
        .collect();
    // Of the Status API alone.
    let missing: Vec<String> =
        declared().into_iter().filter(|name| !described.contains(name) && name != "Ready").collect();
    assert!(missing.is_empty(), "give these a line among the paths in info.rs: {missing:?}");
}

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere() {
    let admin = Admin::start().await;
    let (status, document) = admin.get("/openapi.json").await;
    assert_eq!(status, 200);
    let text = document.to_string();
    for (at, _) in text.match_indices("\"#/") {
        let reference = text[at + 2..].split('"').next().unwrap();
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test]
async fn operations_have_names_of_their_own() {
    let admin = Admin::start().await;
    let document = admin.get("/openapi.json").await.1;
    let items = document["paths"].as_object().unwrap().values();
    let operations =
        items.flat_map(|item| item.as_object().unwrap().values()).filter_map(|each| each.get("operationId"));
    let names: Vec<&Value> = operations.collect();
    let distinct: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    assert!(names.len() > 100, "{}", names.len());
    assert_eq!(distinct.len(), names.len());
}

#[tokio::test]
async fn every_write_of_the_configuration_can_be_tried_and_no_other() {
    let admin = Admin::start().await;
    let document = admin.get("/openapi.json").await.1;
    for (path, method, expected) in [
        ("/services", "post", true),
        ("/services", "get", false),
        ("/services/{services}", "delete", true),
        ("/routes/{routes}/service", "patch", true),
        ("/consumers/{consumers}/key-auth", "post", true),
        ("/modules/{modules}", "put", true),
        ("/transactions", "post", true),
        ("/admin-tokens", "post", false),
        ("/config", "post", false),
    ] {
        let operation = &document["paths"][path][method];
        let tried = operation["parameters"].to_string().contains("/dry-run");
        assert!(operation["responses"].is_object(), "{method} {path}");
        assert_eq!(tried, expected, "{method} {path}");
        assert!(!tried || operation["responses"]["200"].to_string().contains("dry_run"), "{method} {path}");
    }
}

#[tokio::test]
async fn plugins_and_their_collections_are_described_by_name() {
    let admin = Admin::start().await;
    let document = admin.get("/openapi.json").await.1;
    let schemas = &document["components"]["schemas"];
    let limits = &schemas["plugins-new-rate-limiting"]["properties"]["config"]["properties"];
    assert_eq!(limits["policy"]["enum"], serde_json::json!(["local", "cluster", "redis", null]));
    assert_eq!(limits["redis_host"]["deprecated"], true);
    assert_eq!(schemas["keyauth_credentials"]["properties"]["ttl"]["minimum"], 0);
    assert!(document["paths"]["/consumers/{consumers}/key-auth"]["post"].is_object());
    assert!(schemas["services-new"]["properties"]["url"].is_object());
}
