//! Files that mean harm: each is a clear 400, and the gateway goes on.

use serde_json::Value;

use super::without_database;

#[tokio::test]
async fn hostile_texts_are_refused_and_cost_little() {
    let gateway = without_database().start().await;
    let bomb: String = (1..60).fold("a0: &a0 [x, x, x, x, x, x]\n".to_owned(), |text, at| {
        format!("{text}a{at}: &a{at} [*a{p}, *a{p}, *a{p}, *a{p}]\n", p = at - 1)
    });
    let long = format!("_format_version: '3.0'\nservices: [{{name: {}, host: h}}]\n", "é ".repeat(100_000));
    let texts: Vec<(&str, String, &str)> = vec![
        ("an alias bomb", bomb, "stand for too much"),
        ("an alias to itself", "a: &a [*a]".to_owned(), "its own anchor"),
        ("deep flow", "[".repeat(500_000), ""),
        ("deep maps", "{a: ".repeat(100_000), ""),
        ("deep blocks", (0..2000).map(|at| format!("{}a:\n", " ".repeat(at))).collect(), "nested deeper than"),
        ("deep merges", format!("{}x", "- ".repeat(5000)), "nested deeper than"),
        ("a key twice", "_format_version: '3.0'\nservices: []\nservices: []\n".to_owned(), "stands twice"),
        ("a key twice in JSON", r#"{"_format_version":"3.0","services":[],"services":[]}"#.to_owned(), "comes twice"),
        (
            "a key twice in JSON within",
            r#"{"_format_version":"3.0","services":[{"name":"a","host":"a","\u0068ost":"b"}]}"#.to_owned(),
            "comes twice in one object at line 1 column 71",
        ),
        (
            "a key twice in a flow",
            "_format_version: '3.0'\nservices: [{name: a, host: a, host: b}]\n".to_owned(),
            "the key 'host' stands twice in one map",
        ),
        ("a list of nothing", "_format_version: '3.0'\nservices: [null]\n".to_owned(), "expected a record"),
        (
            "lists for everything",
            "_format_version: '3.0'\nservices: [{name: [], host: {}, port: [1], routes: {a: 1}}]\n".to_owned(),
            "",
        ),
        ("a huge name", long, "invalid value"),
        ("no text", "_format_version: '3.0'\nservices: [{name: \"a\\0b\", host: h}]\n".to_owned(), ""),
        ("a foreign tag", "a: !!python/object/apply:os.system [id]\n".to_owned(), "has no meaning here"),
        ("a second document", "_format_version: '3.0'\n---\na: 1\n".to_owned(), "second document"),
        ("only a scalar", "hello".to_owned(), "expected an object"),
        ("a number", "1".to_owned(), "expected an object"),
        ("broken JSON", "{\"_format_version\": \"3.0\", ".to_owned(), ""),
        (
            "a circle",
            "_format_version: '3.0'\nroutes: [{name: r, paths: [/a], service: r}]\n".to_owned(),
            "no such entry in 'services'",
        ),
    ];
    for (what, text, expected) in texts {
        let call = gateway.admin.call("POST /config").header("content-type", "text/yaml").body(text);
        let answer = call.send().await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        let answer: Value = answer.json();
        assert_eq!(answer["code"], 14, "{what}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(expected), "{what}: {}", answer["message"]);
    }
    let invalid = gateway.admin.call("POST /config").header("content-type", "text/yaml").body(vec![0xff, 0xfe, 0x00]);
    assert_eq!(invalid.send().await.status, 400);
    assert!(gateway.process.memory("VmHWM").unwrap() < 1 << 30, "no text may cost much memory");
    gateway.admin.get("/status").await.expect(200);
}
