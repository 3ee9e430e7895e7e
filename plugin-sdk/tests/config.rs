//! What `#[derive(Config)]` reads and describes.

use sandgate_sdk::{
    Config,
    config::{Map, Set, from_json},
    json::Value,
};

/// Everything that settings are made of.
#[derive(Debug, PartialEq, Config)]
#[config(checks = r#"[{"only_one_of":["name","color"]}]"#, shorthands(old_port = "server.port"))]
struct Settings {
    /// A "quoted"
    /// description.
    #[config(default = "x", len_min = 1, kind = "header_name")]
    name: String,
    #[config(greater_than = 0)]
    rate: Option<f64>,
    #[config(default = [1, 2], required)]
    list: Vec<i64>,
    tags: Option<Set<String>>,
    #[config(items(len_min = 2))]
    labels: Option<Map<String>>,
    #[config(default = "dark-red")]
    color: Color,
    #[config(required)]
    server: Server,
    needed: bool,
}

#[derive(Debug, PartialEq, Config)]
enum Color {
    Blue,
    #[config(rename = "dark-red")]
    DarkRed,
}

#[derive(Debug, PartialEq, Config)]
struct Server {
    #[config(default = 80, range = 1..=65535)]
    port: u16,
    #[config(rename = "type")]
    kind: Option<String>,
}

#[test]
fn defaults_fill_what_is_absent_or_null() {
    for text in [r#"{"needed":true}"#, r#"{"needed":true,"name":null,"rate":null,"color":null,"server":null}"#] {
        let expected = Settings {
            name: "x".into(),
            rate: None,
            list: vec![1, 2],
            tags: None,
            labels: None,
            color: Color::DarkRed,
            server: Server { port: 80, kind: None },
            needed: true,
        };
        assert_eq!(from_json::<Settings>(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_written_is_read() {
    let text = r#"{
        "name": "n", "rate": 2, "list": [-3.0], "tags": ["b", "a", "b"], "labels": {"k": "vv"}, "color": "blue",
        "server": {"port": 8080, "type": "t"}, "needed": false, "old_port": 1
    }"#;
    let expected = Settings {
        name: "n".into(),
        rate: Some(2.0),
        list: vec![-3],
        tags: Some(Set::from(["a".into(), "b".into()])),
        labels: Some(Map::from([("k".into(), "vv".into())])),
        color: Color::Blue,
        server: Server { port: 8080, kind: Some("t".into()) },
        needed: false,
    };
    assert_eq!(from_json(text), Ok(expected));
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let cases = [
        ("[]", vec![("", "expected a record")]),
        ("{", vec![("", "the configuration is not JSON")]),
        ("{}", vec![("needed", "required field missing")]),
        (
            r#"{"needed":1,"name":"","rate":0,"x":1}"#,
            vec![
                ("name", "length must be at least 1"),
                ("rate", "value must be greater than 0"),
                ("needed", "expected a boolean"),
                ("x", "unknown field"),
            ],
        ),
        (
            r#"{"needed":true,"list":[1,"a"],"labels":{"k":"v"},"color":"red","server":{"port":0,"kind":"t"}}"#,
            vec![
                ("list.2", "expected an integer"),
                ("labels.k", "length must be at least 2"),
                ("color", "expected one of: blue, dark-red"),
                ("server.port", "value should be between 1 and 65535"),
                ("server.kind", "unknown field"),
            ],
        ),
    ];
    for (text, expected) in cases {
        let errors = from_json::<Settings>(text).expect_err(text);
        let found: Vec<_> = errors.iter().map(|error| (error.path.as_str(), error.message.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn the_schema_is_json_in_the_order_of_the_fields() {
    let schema = Settings::schema();
    let expected = concat!(
        r#"{"type":"object","properties":{"#,
        r#""name":{"type":"string","description":"A \"quoted\" description.","default":"x","minLength":1,"#,
        r#""x-kong-kind":"header_name"},"#,
        r#""rate":{"type":"number","exclusiveMinimum":0},"#,
        r#""list":{"type":"array","items":{"type":"integer"},"default":[1,2]},"#,
        r#""tags":{"type":"array","items":{"type":"string"},"uniqueItems":true},"#,
        r#""labels":{"type":"object","additionalProperties":{"type":"string","minLength":2}},"#,
        r#""color":{"type":"string","enum":["blue","dark-red"],"default":"dark-red"},"#,
        r#""server":{"type":"object","properties":{"port":{"type":"integer","default":80,"minimum":1,"#,
        r#""maximum":65535},"type":{"type":"string"}},"additionalProperties":false},"#,
        r#""needed":{"type":"boolean"}},"required":["list","server","needed"],"additionalProperties":false,"#,
        r#""x-kong-checks":[{"only_one_of":["name","color"]}],"x-kong-shorthands":{"old_port":"server.port"}}"#,
    );
    assert_eq!(schema, expected);
    assert!(sandgate_sdk::json::from_str::<Value>(&schema).is_ok());
}
