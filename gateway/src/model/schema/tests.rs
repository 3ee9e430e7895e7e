//! The rules of the core entities, as tables: input, and Kong's answer.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::core_registry;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(1_712_345_678_123)
}

fn create(collection: &str, input: Value) -> Result<Object, Violations> {
    core_registry().get(collection).unwrap().schema.create(input.as_object().unwrap().clone(), now())
}

fn said(collection: &str, input: Value) -> String {
    let refused = create(collection, input.clone()).expect_err(&input.to_string());
    refused.message("schema violation", "schema violations")
}

#[test]
fn a_service_is_told_what_is_wrong() {
    for (input, expected) in [
        (json!({}), "schema violation (host: required field missing)"),
        (json!({"host": "a", "port": -1}), "schema violation (port: value should be between 0 and 65535)"),
        (json!({"host": "a", "port": "80"}), "schema violation (port: expected an integer)"),
        (json!({"host": "a:80"}), "schema violation (host: must not have a port)"),
        (json!({"host": "a b"}), "schema violation (host: invalid value: a b)"),
        (json!({"host": ""}), "schema violation (host: length must be at least 1)"),
        (json!({"host": "a", "path": "x"}), "schema violation (path: should start with: /)"),
        (json!({"host": "a", "path": "/a//b"}), "schema violation (path: must not have empty segments)"),
        (json!({"host": "a", "id": "x"}), "schema violation (id: expected a valid UUID)"),
        (json!({"host": "a", "protocol": null}), "schema violation (protocol: required field missing)"),
        (json!({"host": "a", "foo": 1, "bar": 2}), "2 schema violations (bar: unknown field; foo: unknown field)"),
        (
            json!({"host": "a", "protocol": "tcp", "path": "/x"}),
            "2 schema violations (failed conditional validation given value of field 'protocol'; path: value must be null)",
        ),
        (
            json!({"host": "a", "tags": ["a,b"]}),
            "schema violation (tags.1: invalid tag 'a,b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences)",
        ),
        (
            json!({"host": "a", "name": "a b"}),
            "schema violation (name: invalid value 'a b': the only accepted ascii characters are alphanumerics or ., -, _, and ~)",
        ),
    ] {
        assert_eq!(said("services", input.clone()), expected, "{input}");
    }
}

#[test]
fn a_url_stands_for_its_parts() {
    for (url, protocol, host, port, path) in [
        ("https://b.test/base", "https", "b.test", 443, json!("/base")),
        ("http://b.test:8080", "http", "b.test", 8080, Value::Null),
        ("http://h/", "http", "h", 80, json!("/")),
        ("h:443/x", "https", "h", 443, json!("/x")),
        ("grpc://[::1]:9000", "grpc", "::1", 9000, Value::Null),
    ] {
        let service = create("services", json!({"url": url, "host": "other", "port": 1})).expect(url);
        let parts = json!([service["protocol"], service["host"], service["port"], service["path"]]);
        assert_eq!(parts, json!([protocol, host, port, path]), "{url}");
        assert!(!service.contains_key("url"));
    }
}

#[test]
fn the_protocols_of_a_route_decide_what_it_may_say() {
    let https = "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'";
    for (input, expected) in [
        (json!({}), format!("schema violation ({https})")),
        (
            json!({"methods": ["GET"], "protocols": ["foo", "http"]}),
            "schema violation (protocols.1: expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp)".into(),
        ),
        (json!({"protocols": []}), "schema violation (protocols: unknown type: nil)".into()),
        (
            json!({"protocols": ["grpc"], "paths": ["/x"], "methods": ["GET"]}),
            "schema violation (methods: cannot set 'methods' when 'protocols' is 'grpc' or 'grpcs')".into(),
        ),
        (
            json!({"protocols": ["tls_passthrough"]}),
            "schema violation (must set snis when 'protocols' is 'tls_passthrough')".into(),
        ),
        (
            json!({"paths": ["/x"], "sources": [{}]}),
            "schema violation (sources: cannot set 'sources' when 'protocols' is 'http' or 'https')".into(),
        ),
        (
            json!({"protocols": ["tcp"], "sources": [{}]}),
            "schema violation (sources.1: {\n  [\"@entity\"] = {\n    \"at least one of these fields must be non-empty: 'ip', 'port'\"\n  }\n})"
                .into(),
        ),
        (json!({"paths": ["/a/../b"]}), "schema violation (paths.1: non-normalized path, consider use '/b' instead)".into()),
    ] {
        assert_eq!(said("routes", input.clone()), expected, "{input}");
    }
    let grpc = create("routes", json!({"protocols": ["grpc"], "paths": ["/x"]})).unwrap();
    assert_eq!(grpc["strip_path"], false);
}

#[test]
fn errors_of_elements_keep_their_places() {
    let refused = create("routes", json!({"hosts": ["a", "a b", "c"]})).unwrap_err();
    assert_eq!(Value::Object(refused.fields), json!({"hosts": [null, "invalid hostname: a b"]}));
}

#[test]
fn hashing_and_algorithm_of_an_upstream_go_together() {
    for (input, algorithm, hash_on) in [
        (json!({"algorithm": "least-connections", "hash_on": "ip"}), "least-connections", "none"),
        (json!({"algorithm": "round-robin", "hash_on": "ip"}), "consistent-hashing", "ip"),
        (json!({"algorithm": "consistent-hashing", "hash_on": "none"}), "round-robin", "none"),
        (json!({"algorithm": "consistent-hashing", "hash_on": null}), "consistent-hashing", "none"),
        (json!({}), "round-robin", "none"),
    ] {
        let mut whole = input.clone();
        whole["name"] = "u".into();
        let upstream = create("upstreams", whole).unwrap();
        assert_eq!((&upstream["algorithm"], &upstream["hash_on"]), (&json!(algorithm), &json!(hash_on)), "{input}");
    }
}

#[test]
fn targets_are_stored_with_a_port() {
    for (given, stored) in [
        ("a.test", "a.test:8000"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("::1", "[0000:0000:0000:0000:0000:0000:0000:0001]:8000"),
        ("[fe80::2]:90", "[fe80:0000:0000:0000:0000:0000:0000:0002]:90"),
    ] {
        let upstream = json!({"id": "11111111-1111-4111-8111-111111111111"});
        let target = create("targets", json!({"target": given, "upstream": upstream})).expect(given);
        assert_eq!(target["target"], stored);
        assert_eq!(target["created_at"], json!(1_712_345_678.123));
    }
}

#[test]
fn a_patch_merges_records_and_replaces_lists() {
    let registry = core_registry();
    let schema = &registry.get("upstreams").unwrap().schema;
    let changes = json!({"name": "u", "healthchecks": {"active": {"healthy": {"http_statuses": [200]}}}, "tags": ["a", "a", "b"]});
    let stored = schema.create(changes.as_object().unwrap().clone(), now()).unwrap();
    assert_eq!(stored["tags"], json!(["a", "b"]));
    let changes = json!({"healthchecks": {"active": {"timeout": 3}}, "tags": null, "slots": null});
    let patched = schema.patch(&stored, changes.as_object().unwrap().clone(), now()).unwrap();
    let active = &patched["healthchecks"]["active"];
    assert_eq!((&active["healthy"]["http_statuses"], &active["timeout"]), (&json!([200]), &json!(3)));
    assert_eq!((&patched["tags"], &patched["slots"], &patched["name"]), (&Value::Null, &Value::Null, &json!("u")));
}

#[test]
fn forms_are_read_by_the_schema() {
    let registry = core_registry();
    let input = json!({"name": "", "paths": "/x", "strip_path": "false", "regex_priority": "5", "headers": {"x": "1"}});
    let mut form = input.as_object().unwrap().clone();
    registry.get("routes").unwrap().schema.coerce(&mut form);
    let expected =
        json!({"name": null, "paths": ["/x"], "strip_path": false, "regex_priority": 5, "headers": {"x": ["1"]}});
    assert_eq!(Value::Object(form), expected);
}

#[test]
fn an_unknown_keyword_is_named() {
    for (schema, expected) in [
        (
            json!({"type": "object", "properties": {"a": {"type": "string", "patern": "x"}}}),
            "the schema of a has the keyword patern, which is not supported",
        ),
        (
            json!({"type": "object", "oneOf": []}),
            "the schema of configuration has the keyword oneOf, which is not supported",
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "text"}}}}}),
            "the schema of a.b has an unusable type: text is not a type",
        ),
        (
            json!({"type": "object", "required": ["b"], "properties": {}}),
            "the schema of configuration has an unusable required: b is not a property",
        ),
    ] {
        assert_eq!(Schema::from_json_schema(&schema).unwrap_err().to_string(), expected);
    }
}

#[test]
fn an_old_name_means_the_new_field() {
    let schema = Schema::from_json_schema(&json!({
        "type": "object", "required": ["redis"],
        "properties": {"redis": {"type": "object", "properties": {"host": {"type": "string"}, "port": {"type": "integer", "default": 1}}}},
        "x-kong-shorthands": {"redis_host": "redis.host", "redis_port": "redis.port"},
    }))
    .unwrap();
    let create = |input: Value| schema.create(input.as_object().unwrap().clone(), now());
    let mut entity = create(json!({"redis_host": "h"})).unwrap();
    assert_eq!(Value::Object(entity.clone()), json!({"redis": {"host": "h", "port": 1}}));
    schema.present(&mut entity);
    assert_eq!((&entity["redis_host"], &entity["redis_port"]), (&json!("h"), &json!(1)));
    let refused = create(json!({"redis_host": "a", "redis": {"host": "b"}})).unwrap_err();
    let expected = "both deprecated and new field are used but their values mismatch: redis_host = a vs redis.host = b";
    assert_eq!(refused.fields["redis_host"], expected);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[/~a-z.*%:\\[\\]é ]{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec(("[a-z]{1,4}", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_input_breaks_the_validation(field in 0_usize..32, value in any_json()) {
        for collection in core_registry().iter() {
            let Some(field) = collection.schema.fields.get(field) else { continue };
            let input = Object::from_iter([(field.name.to_string(), value.clone())]);
            let _ = collection.schema.create(input.clone(), now());
            let mut form = input;
            collection.schema.coerce(&mut form);
        }
    }
}
