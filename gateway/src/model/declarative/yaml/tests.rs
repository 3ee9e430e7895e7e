use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn scalars_mean_what_they_mean_to_kong() {
    for (text, expected) in [
        ("~", json!(null)),
        ("", json!(null)),
        ("yes", json!(true)),
        ("Off", json!(false)),
        ("y", json!("y")),
        ("'yes'", json!("yes")),
        ("3.0", json!(3.0)),
        ("\"3.0\"", json!("3.0")),
        ("017", json!(15)),
        ("089", json!(89)),
        ("0x1F", json!(31)),
        ("0b101", json!(5)),
        ("1_000", json!(1000)),
        ("-12", json!(-12)),
        ("1e3", json!(1000.0)),
        (".5", json!(0.5)),
        ("12:30", json!("12:30")),
        ("10.0.0.1", json!("10.0.0.1")),
        ("1.2.3", json!("1.2.3")),
        ("-", json!([null])),
        ("2026-11-25", json!("2026-11-25")),
        (".", json!(".")),
        ("+", json!("+")),
        ("_", json!("_")),
        ("!!str 5", json!("5")),
        ("! 5", json!("5")),
        ("{vault: x}", json!({"vault": "x"})),
        ("\"{vault://env/x}\"", json!("{vault://env/x}")),
    ] {
        assert_eq!(parse(text), Ok(expected), "{text}");
    }
}

#[test]
fn anchors_and_merges_are_followed() {
    let text = "base: &b {a: 1, b: 2}\nuse:\n  <<: *b\n  b: 3\nboth:\n  <<: [{a: 9}, *b]\nlist: [*b, *b]\n";
    let expected = json!({
        "base": {"a": 1, "b": 2}, "use": {"b": 3, "a": 1}, "both": {"a": 9, "b": 2},
        "list": [{"a": 1, "b": 2}, {"a": 1, "b": 2}],
    });
    assert_eq!(parse(text), Ok(expected));
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let bomb: String = (1..40).fold("a0: &a0 [x, x, x, x]\n".to_owned(), |text, at| {
        format!("{text}a{at}: &a{at} [*a{p}, *a{p}, *a{p}]\n", p = at - 1)
    });
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let deeper = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let block: String = (0..300).map(|at| format!("{}a:\n", " ".repeat(at))).collect();
    for (text, problem) in [
        ("a: 1\na: 2\n", "2:1: the key 'a' stands twice in one map"),
        ("a: &x [*x]\n", "its own anchor"),
        ("a: *nothing\n", "1:4"),
        ("{[a]: b}", "a key must be text"),
        ("<<: 5\n", "only maps can be merged"),
        ("a: !!binary aGk=\n", "has no meaning here"),
        ("a: !lua x\n", "has no meaning here"),
        ("a: 1\n---\nb: 2\n", "there is a second document"),
        ("a: [1, 2\n", "2:1"),
        (&bomb, "its aliases stand for too much"),
        (&deep, "deeper than"),
        (&deeper, ""),
        (&block, "deeper than"),
    ] {
        let error = parse(text).expect_err(&text[..text.len().min(40)]).to_string();
        assert!(error.contains(problem), "{}: {error}", &text[..text.len().min(40)]);
    }
}

#[test]
fn a_document_has_kongs_layout() {
    let value = json!({
        "_format_version": "3.0", "_transform": false,
        "services": [{"host": "h", "port": 80, "tags": ["a", "b"], "off": {}, "none": [], "deep": {"x": null, "y": [[1], {"z": "on"}]}}],
        "certificates": [{"cert": "-----BEGIN\nabc\n-----END\n", "key": "a\nb"}],
        "text": ["", " x", "a: b", "it's", "- x", "-x", "~/a", "~", "*.x", "a\tb", "é", "null", "10:80", "10.0.0.1:80", "@", "x\n\n"],
    });
    let text = "_format_version: '3.0'\n_transform: false\nservices:\n- host: h\n  port: 80\n  tags:\n  - a\n  - b\n  'off': {}\n  none: []\n  deep:\n    x: null\n    'y':\n    - - 1\n    - z: 'on'\ncertificates:\n- cert: |\n    -----BEGIN\n    abc\n    -----END\n  key: |-\n    a\n    b\ntext:\n- ''\n- ' x'\n- 'a: b'\n- 'it''s'\n- '- x'\n- -x\n- ~/a\n- '~'\n- '*.x'\n- \"a\\tb\"\n- é\n- 'null'\n- '10:80'\n- 10.0.0.1:80\n- '@'\n- \"x\\n\\n\"\n";
    assert_eq!(to_text(&value), text.replace("'it''s'", "it's"));
    assert_eq!(parse(text), Ok(value));
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,12}",
        "[-?:,\\[\\]{}#&*!|>'\"%@`~=<. \n\t0-9a-fxyn_+]{0,10}",
        "\\PC{0,8}",
        proptest::collection::vec(any::<char>(), 0..6).prop_map(|chars| chars.into_iter().collect()),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((any_text(), inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(value in any_value()) {
        let text = to_text(&value);
        prop_assert_eq!(parse(&text), Ok(value), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in prop_oneof![any_text(), "[-a:\\[\\]{}&*<|>'\"#\n ,!]{0,60}"]) {
        _ = parse(&text);
    }
}
