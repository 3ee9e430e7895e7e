use serde_json::json;

use super::*;
use crate::model::core_registry;

fn read_as(text: &str, dialect: Dialect) -> Result<Loaded, Invalid> {
    let registry = with_credentials();
    let info = |name: &str| {
        let schema = json!({"type": "object", "properties": {"limit": {"type": "integer", "default": 5}}});
        let manifest = json!({"name": name, "version": "1.0.0", "priority": 1, "config_schema": schema.to_string()});
        (name != "absent").then(|| Arc::new(PluginInfo::from_manifest(&manifest).unwrap()))
    };
    let world = World { registry: &registry, plugin: &info, now: SystemTime::now(), dialect };
    resolve(parse(text, Syntax::Yaml)?, &world)
}

fn read(text: &str) -> Result<Loaded, Invalid> {
    read_as(text, Dialect::Gateway)
}

/// The core collections, and two as plugins declare them.
fn with_credentials() -> Registry {
    let mut registry = core_registry();
    let schema = |field: &str| json!({"type": "object", "properties": {field: {"type": "string"}}}).to_string();
    for declaration in [
        json!({"name": "keyauth_credentials", "path": "key-auths", "nested_path": "key-auth", "parent": "consumers",
               "schema": schema("key"), "unique_fields": ["key"], "generated_fields": ["key"], "ttl": true}),
        json!({"name": "acls", "path": "acls", "nested_path": "acls", "parent": "consumers",
               "schema": schema("group"), "unique_in_parent": ["group"]}),
        json!({"name": "basicauth_credentials", "path": "basic-auths", "nested_path": "basic-auth", "parent": "consumers",
               "schema": schema("username"), "unique_fields": ["username"]}),
    ] {
        registry.add(Collection::declared("p", &declaration).unwrap());
    }
    registry
}

fn loaded(text: &str) -> Vec<(String, Object)> {
    let loaded = read(text).unwrap_or_else(|invalid| panic!("{invalid}"));
    loaded.entities.into_iter().map(|entity| (entity.collection.name.to_string(), entity.object)).collect()
}

fn refused(text: &str) -> Value {
    Value::Object(read(text).expect_err(text).fields())
}

const V: &str = "_format_version: '3.0'\n";

#[test]
fn children_stand_in_parents_to_any_depth() {
    let text = format!(
        "{V}services:\n- name: s\n  url: http://h:81/p\n  routes:\n  - name: r\n    paths: [/a]\n    plugins:\n    - {{name: p, consumer: bob}}\nconsumers:\n- username: bob\n  acls: [{{group: gold}}]\n  keyauth_credentials: [{{key: k, ttl: 60}}]\n"
    );
    let all = loaded(&text);
    let names: Vec<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["services", "routes", "plugins", "consumers", "acls", "keyauth_credentials"]);
    let id = |at: usize| all[at].1["id"].clone();
    assert_eq!((&all[0].1["host"], &all[0].1["port"]), (&json!("h"), &json!(81)));
    assert_eq!(all[1].1["service"], json!({"id": id(0)}));
    assert_eq!((&all[2].1["route"], &all[2].1["consumer"]), (&json!({"id": id(1)}), &json!({"id": id(3)})));
    assert_eq!(all[2].1["config"], json!({"limit": 5}));
    assert_eq!((&all[5].1["ttl"], &all[5].1["consumer"]), (&json!(60), &json!({"id": id(3)})));
}

#[test]
fn ids_are_made_from_names_as_kong_makes_them() {
    let text = format!(
        "{V}services:\n- name: s\n  host: h\n  plugins: [{{name: key-auth}}]\nplugins:\n- {{name: key-auth}}\n- {{name: acl, service: s}}\nupstreams:\n- name: u\n  targets: [{{target: 'h:1'}}]\nconsumers:\n- username: bob\n  basicauth_credentials: [{{username: b}}]\n  keyauth_credentials: [{{key: k}}]\n"
    );
    let (one, two) = (loaded(&text), loaded(&text));
    let root = uuid::Uuid::parse_str("fd02801f-0957-4a15-a55a-c8d9606f30b5").unwrap();
    let of = |collection: &str, name: &str| {
        let namespace = uuid::Uuid::new_v5(&root, collection.as_bytes());
        json!(uuid::Uuid::new_v5(&namespace, name.as_bytes()).to_string())
    };
    let id = |collection: &str, at: usize| {
        one.iter().filter(|(name, _)| name == collection).nth(at).unwrap().1["id"].clone()
    };
    let text = |value: Value| value.as_str().unwrap().to_owned();
    assert_eq!(id("services", 0), of("services", "s"));
    assert_eq!(id("plugins", 0), of("plugins", &format!("plugins:*:key-auth::{}:", text(id("services", 0)))));
    assert_eq!(id("plugins", 1), of("plugins", "plugins:*:key-auth:::"));
    assert_eq!(id("plugins", 2), of("plugins", "plugins:*:acl::s:"));
    assert_eq!(id("targets", 0), of("targets", &format!("targets:*:{}:h:1", text(id("upstreams", 0)))));
    assert_eq!(id("basicauth_credentials", 0), of("basicauth_credentials", "basicauth_credentials:*:b"));
    let differs = |name: &str| {
        let find = |all: &[(String, Object)]| all.iter().find(|(known, _)| known == name).unwrap().1["id"].clone();
        find(&one) != find(&two)
    };
    assert!(differs("keyauth_credentials") && !differs("targets"));
}

#[test]
fn the_head_is_checked() {
    for (text, expected) in [
        ("services: []\n", json!({"_format_version": "required field missing"})),
        ("_format_version: 3.0\n", json!({"_format_version": "expected a string"})),
        ("_format_version: '4.0'\n", json!({"_format_version": "expected one of: 1.1, 2.1, 3.0"})),
        ("_format_version: '3.0'\n_transform: 1\n", json!({"_transform": "expected a boolean"})),
        (
            "_format_version: '3.0'\n_comment: 1\n_ignore: 2\n",
            json!({"_comment": "expected a string", "_ignore": "expected an array"}),
        ),
        (
            "_format_version: '3.0'\n_info: {}\nfoo: []\nmodules: []\n",
            json!({"_info": "unknown field", "foo": "unknown field", "modules": "unknown field"}),
        ),
        ("[]", json!({"error": "failed parsing declarative configuration: expected an object"})),
        (
            "a: b: c",
            json!({"error": "failed parsing declarative configuration: 1:5: mapping values are not allowed in this context"}),
        ),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
    assert!(loaded("_format_version: '3.0'\n_comment: x\n_ignore: [1]\nservices: [{name: s, host: h, _comment: y, _ignore: []}]\nworkspaces: []\n").len() == 1);
}

#[test]
fn mistakes_mirror_the_input() {
    let text = format!(
        "{V}services:\n- {{name: a}}\n- {{name: b, host: h}}\n- name: c\n  host: h\n  port: 70000\n  routes:\n  - paths: [nope]\n  - {{paths: [/x], service: a}}\n  plugins: [{{name: absent}}]\nconsumers: 5\nroutes: [7]\n"
    );
    let service = json!({
        "port": "value should be between 0 and 65535",
        "routes": [{"paths": ["should start with: / (fixed path) or ~/ (regex path)"]}, {"service": "value must be null"}],
        "plugins": [{"name": "plugin 'absent' not enabled; add it to the 'plugins' configuration property"}],
    });
    let expected = json!({
        "services": [{"host": "required field missing"}, null, service],
        "consumers": "expected an array", "routes": ["expected a record"],
    });
    assert_eq!(refused(&text), expected);
}

#[test]
fn references_and_uniqueness_have_kongs_words_and_places() {
    let text = format!(
        "{V}routes:\n- {{name: r, paths: [/a], service: foo}}\nconsumers:\n- {{username: bob}}\n- {{username: bob}}\nplugins:\n- {{name: p}}\n- {{name: p}}\n"
    );
    let all = refused(&text);
    assert_eq!(all["routes"], json!({"r": ["invalid reference 'service: foo' (no such entry in 'services')"]}));
    assert_eq!(
        all["consumers"],
        json!([null, "uniqueness violation: 'consumers' entity with username set to 'bob' already declared"])
    );
    let plugin = all["plugins"][1].as_str().unwrap();
    assert!(plugin.starts_with("uniqueness violation: 'plugins' entity with primary key set to '"), "{plugin}");
    let text = format!(
        "{V}consumers:\n- username: a\n  custom_id: x\n  keyauth_credentials: [{{key: k}}]\n- username: b\n  custom_id: x\n  keyauth_credentials: [{{key: k}}]\n"
    );
    let all = refused(&text);
    // The key of a credential is its endpoint key.
    assert_eq!(
        all["consumers"][1]["keyauth_credentials"][0],
        "uniqueness violation: 'keyauth_credentials' entity with key set to 'k' already declared"
    );
    let text = format!("{V}consumers:\n- {{username: a, custom_id: x}}\n- {{username: b, custom_id: x}}\n");
    assert_eq!(
        refused(&text),
        json!({"consumers": {"b": "uniqueness violation: 'consumers' entity with custom_id set to 'x' already declared"}})
    );
}

#[test]
fn two_configurations_at_one_scope_are_refused_whatever_their_ids() {
    let text = format!(
        "{V}plugins:\n- {{name: p, id: 11111111-1111-1111-1111-111111111111}}\n- {{name: p, id: 22222222-2222-2222-2222-222222222222}}\n"
    );
    let expected = "uniqueness violation: 'plugins' entity with name set to 'p' already declared";
    assert_eq!(refused(&text), json!({"plugins": {"22222222-2222-2222-2222-222222222222": expected}}));
}

#[test]
fn the_text_form_has_two_spaces_a_level() {
    let text = format!("{V}services:\n- {{name: b, host: h}}\n- routes: [{{paths: [nope]}}]\n");
    let expected = "in 'services':\n  - in entry 2 of 'services':\n    in 'host': required field missing\n    in 'routes':\n      - in entry 1 of 'routes':\n        in 'paths':\n          - in entry 1 of 'paths': should start with: / (fixed path) or ~/ (regex path)";
    let shown = read(&text).unwrap_err().to_string();
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&shown), sorted(expected));
}

#[test]
fn flattened_errors_name_entities() {
    let text = format!(
        "{V}services:\n- name: c\n  tags: [t]\n  routes: [{{name: r, id: 11111111-1111-1111-1111-111111111111, paths: [nope], protocols: [foo]}}]\n  host: h\nfoo: 1\n"
    );
    let invalid = read(&text).unwrap_err();
    let (entities, rest) = invalid.flattened();
    assert_eq!(Value::Object(rest), json!({"foo": "unknown field"}));
    assert_eq!(entities.len(), 1);
    let route = &entities[0];
    assert_eq!((&route["entity_type"], &route["entity_name"]), (&json!("route"), &json!("r")));
    assert_eq!(route["entity_id"], "11111111-1111-1111-1111-111111111111");
    assert!(route["entity"]["service"]["id"].is_string() && route.get("entity_tags").is_none());
    let field = json!({"type": "field", "field": "protocols.1", "message": "expected one of: grpc, grpcs, http, https, tcp, tls, tls_passthrough, udp"});
    assert!(route["errors"].as_array().unwrap().contains(&field), "{route}");
    assert!(
        invalid.message().starts_with("declarative config is invalid: {foo=\"unknown field\",services={{routes={{"),
        "{}",
        invalid.message()
    );
}

#[test]
fn older_formats_are_upgraded() {
    let text = "_format_version: '1.1'\nservices:\n- name: s\n  host: h\n  routes: [{paths: ['/a', '/b/\\d+']}]\n";
    let all = loaded(text);
    assert_eq!(all[1].1["paths"], json!(["/a", "~/b/\\d+"]));
    assert_eq!(loaded(&text.replace("1.1", "3.0"))[1].1["paths"], json!(["/a", "/b/\\d+"]));
}

#[test]
fn decks_dialect_is_taken_by_imports_only() {
    let text = format!(
        "{V}_info: {{select_tags: [a]}}\n_plugin_configs: {{shared: {{limit: 9}}}}\nservices: [{{name: s, host: h}}]\nroutes: [{{name: r, paths: [/a], service: {{name: s}}}}]\nplugins: [{{name: p, _config: shared, route: {{name: r}}}}]\n"
    );
    assert!(read(&text).is_err());
    let loaded = read_as(&text, Dialect::Deck).unwrap_or_else(|invalid| panic!("{invalid}"));
    assert_eq!(loaded.entities[2].object["config"], json!({"limit": 9}));
    let variable = |name: &str| (name == "DECK_X").then(|| "v".to_owned());
    assert_eq!(substitute("a: ${{ env \"DECK_X\" }}!", &variable), Ok("a: v!".to_owned()));
    for text in ["${{ env \"DECK_Y\" }}", "${{ env \"HOME\" }}", "${{ env \"DECK_X\" | toInt }}", "${{"] {
        assert!(substitute(text, &variable).is_err(), "{text}");
    }
}

#[test]
fn an_export_makes_the_same_entities_again() {
    let text = format!(
        "{V}services:\n- name: s\n  host: h\n  retries: null\n  tags: []\n  routes: [{{name: r, paths: [/a], headers: {{x: [b, a]}}}}]\nupstreams:\n- {{name: u, algorithm: consistent-hashing}}\nconsumers:\n- username: bob\n  keyauth_credentials: [{{ttl: 60}}]\nplugins: [{{name: p, config: {{limit: null}}}}]\n"
    );
    let registry = with_credentials();
    let info = |name: &str| {
        let schema = json!({"type": "object", "properties": {"limit": {"type": "integer", "default": 5}}});
        let manifest = json!({"name": name, "version": "1.0.0", "priority": 1, "config_schema": schema.to_string()});
        Some(Arc::new(PluginInfo::from_manifest(&manifest).unwrap()))
    };
    let world = World { registry: &registry, plugin: &info, now: SystemTime::now(), dialect: Dialect::Gateway };
    let export = |loaded: Loaded| {
        let all = registry.iter().map(|collection| {
            let of = loaded.entities.iter().filter(|entity| entity.collection.name == collection.name);
            (collection.clone(), of.map(|entity| entity.object.clone()).collect())
        });
        yaml::to_text(&document(all, &world))
    };
    let first = export(read(&text).unwrap_or_else(|invalid| panic!("{invalid}")));
    assert!(first.starts_with("_format_version: '3.0'\n_transform: false\n"), "{first}");
    assert!(
        first.contains("retries: null") && first.contains("limit: null") && !first.contains("path: null"),
        "{first}"
    );
    let later = World { now: SystemTime::now() + std::time::Duration::from_secs(1000), ..world };
    let again = resolve(parse(&first, Syntax::Yaml).unwrap(), &later).unwrap_or_else(|invalid| panic!("{invalid}"));
    assert_eq!(export(again), first);
}

#[test]
fn decks_pipes_make_numbers_truths_and_indented_lines() {
    let variable = |name: &str| {
        let value = match name {
            "DECK_INT" => "-80",
            "DECK_FLOAT" => "0.50",
            "DECK_TRUE" => "T",
            "DECK_LINES" => "a\nb\nc",
            _ => return None,
        };
        Some(value.to_owned())
    };
    for (pipes, expected) in [
        ("DECK_INT\" | toInt", Ok("-80")),
        ("DECK_INT\"|toFloat", Ok("-80")),
        ("DECK_FLOAT\" | toFloat", Ok("0.5")),
        ("DECK_TRUE\" | toBool", Ok("true")),
        ("DECK_LINES\" | indent 2", Ok("a\n  b\n  c")),
        ("DECK_FLOAT\" | toInt", Err("the variable DECK_FLOAT does not fit toInt")),
        ("DECK_LINES\" | toBool", Err("the variable DECK_LINES does not fit toBool")),
        ("DECK_INT\" | indent x", Err("the variable DECK_INT is to be indented by no number")),
        (
            "DECK_INT\" | shell",
            Err("the variable DECK_INT goes into 'shell', which is none of toInt, toFloat, toBool and indent"),
        ),
        ("DECK_NONE\" | toInt", Err("the variable DECK_NONE is not set")),
    ] {
        let said = substitute(&format!("${{{{ env \"{pipes} }}}}"), &variable);
        assert_eq!(said.as_deref().map_err(String::as_str), expected, "{pipes}");
    }
}
