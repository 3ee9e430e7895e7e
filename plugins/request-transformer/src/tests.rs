use sandgate_sdk::{mock::MockHost, testing::Tester};

use super::*;

const EVERYTHING: &str = r#"{
    "remove": {"headers": ["x-del"], "querystring": ["qd"], "body": ["bd"]},
    "rename": {"headers": ["x-old:x-new"], "querystring": ["qo:qn"], "body": ["bo:bn"]},
    "replace": {"headers": ["x-rep:new"], "querystring": ["qr:new"], "body": ["br:new"]},
    "add": {"headers": ["x-add:1", "x-has:added"], "querystring": ["qa:1"], "body": ["ba:1"]},
    "append": {"headers": ["x-app:2"], "querystring": ["qx:2"], "body": ["bx:2"]}
}"#;

fn everything() -> Tester<RequestTransformer> {
    Tester::new(EVERYTHING)
}

#[test]
fn headers_that_are_there_are_changed() {
    let host = MockHost::get("/a")
        .header("X-Del", "1")
        .header("X-Old", "2")
        .header("X-Old", "3")
        .header("X-Rep", "3")
        .header("X-Has", "orig")
        .header("X-App", "1");
    let outcome = everything().on_request(&host);
    let values = |name| outcome.upstream_values(name);
    assert_eq!((values("x-del"), values("x-old"), values("x-new")), (vec![], vec![], vec!["2", "3"]));
    assert_eq!((values("x-rep"), values("x-has"), values("x-app")), (vec!["new"], vec!["orig"], vec!["1", "2"]));
    assert_eq!(values("x-add"), ["1"]);
}

#[test]
fn headers_that_are_not_there_are_added_only() {
    let outcome = everything().on_request(&MockHost::get("/a"));
    let values = |name| outcome.upstream_values(name);
    assert_eq!((values("x-rep"), values("x-new")), (vec![], vec![]));
    assert_eq!((values("x-add"), values("x-has"), values("x-app")), (vec!["1"], vec!["added"], vec!["2"]));
}

#[test]
fn a_change_sees_the_one_before_it() {
    let config = r#"{"remove":{"headers":["a"]},"rename":{"headers":["b:c"]},"replace":{"headers":["c:new"]},"add":{"headers":["A:again"]}}"#;
    let host = MockHost::get("/").header("a", "1").header("b", "2").header("c", "3");
    let outcome = Tester::<RequestTransformer>::new(config).on_request(&host);
    assert_eq!((outcome.upstream_values("c"), outcome.upstream_values("a")), (vec!["new"], vec!["again"]));
}

#[test]
fn host_is_replaced_and_otherwise_left_alone() {
    let host = || MockHost::get("/").header("Host", "example.test");
    let value = |config| {
        let outcome = Tester::<RequestTransformer>::new(config).on_request(&host());
        outcome.upstream_values("host").join(",")
    };
    assert_eq!(value(r#"{"replace":{"headers":["host:rep.test"]}}"#), "rep.test");
    assert_eq!(value(r#"{"remove":{"headers":["Host"]},"add":{"headers":["host:x"]}}"#), "example.test");
    assert_eq!(value(r#"{"rename":{"headers":["host:x"]},"append":{"headers":["host:x"]}}"#), "example.test");
}

#[test]
fn arguments_of_the_query_are_changed() {
    let cases = [
        ("/a?qd=1&qo=2&qr=3&qx=1&z=9", "qa=1&qn=2&qr=new&qx=1&qx=2&z=9"),
        ("/a", "qa=1&qx=2"),
        ("/a?qr=1&qr=2&qo&z=a+b", "qa=1&qn&qr=new&qx=2&z=a%20b"),
    ];
    for (uri, expected) in cases {
        assert_eq!(everything().on_request(&MockHost::get(uri)).query(), Some(expected), "{uri}");
    }
}

#[test]
fn fields_of_the_body_are_changed_by_its_type() {
    let cases = [
        (
            "application/json",
            r#"{"bd": 1, "bo": 2, "br": 3, "bx": 1, "z": 9}"#,
            Some(r#"{"ba":"1","bn":2,"br":"new","bx":["2"],"z":9}"#),
        ),
        ("application/json", "", Some(r#"{"ba":"1","bx":["2"]}"#)),
        ("application/json", "{", None),
        ("application/x-www-form-urlencoded", "bd=1&bo=2&br=3&bx=1&z=9", Some("bn=2&br=new&bx=1&z=9&ba=1&bx=2")),
        ("text/plain", "hello", None),
    ];
    for (content_type, body, expected) in cases {
        let outcome = everything().on_request(&MockHost::post("/a", content_type, body));
        // Members of an object have no order.
        let members = |text: Option<&str>| {
            text.and_then(|text| sandgate_sdk::json::from_str::<sandgate_sdk::json::Value>(text).ok())
        };
        match content_type {
            "application/json" => assert_eq!(members(outcome.body()), members(expected), "{content_type}: {body}"),
            _ => assert_eq!(outcome.body(), expected, "{content_type}: {body}"),
        }
    }
    let part = |name: &str, value: &str| {
        ["--b\r\nContent-Disposition: form-data; name=\"", name, "\"\r\n\r\n", value, "\r\n"].concat()
    };
    let form = [&part("bd", "1"), &part("br", "3"), "--b--\r\n"].concat();
    let outcome = everything().on_request(&MockHost::post("/a", "multipart/form-data; boundary=b", &form));
    assert_eq!(outcome.body(), Some([&part("br", "new"), &part("ba", "1"), "--b--\r\n"].concat().as_str()));
}

#[test]
fn method_and_path_are_set() {
    let config = r#"{"http_method":"POST","replace":{"uri":"/new"}}"#;
    let outcome = Tester::<RequestTransformer>::new(config).on_request(&MockHost::get("/a?q=1"));
    assert_eq!((outcome.method(), outcome.path(), outcome.query()), (Some("POST"), Some("/new"), None));
}

#[test]
fn a_form_goes_to_the_query_when_the_method_takes_no_body() {
    let tester = Tester::<RequestTransformer>::new(r#"{"http_method":"GET"}"#);
    let form = |content_type| MockHost::post("/a?x=1&y=1", content_type, "y=2&z=3");
    let outcome = tester.on_request(&form("application/x-www-form-urlencoded"));
    assert_eq!((outcome.query(), outcome.body()), (Some("x=1&y=2&z=3"), None));
    assert_eq!(tester.on_request(&form("text/plain")).query(), None);
}

#[test]
fn without_changes_nothing_is_returned() {
    let outcome = Tester::<RequestTransformer>::new("{}").on_request(&MockHost::get("/a?b=1").header("c", "d"));
    assert_eq!(outcome.decision, sandgate_sdk::bindings::sandgate::plugin::types::RequestDecision::Next);
}

#[test]
fn mistakes_are_refused_with_their_place() {
    let template = "templates are not available in this version: the value contains '$('";
    let cases = [
        (r#"{"add":{"body":["x:1","x"]}}"#, "add.body.2", "key 'x' has no value"),
        (r#"{"add":{"querystring":["x:"]}}"#, "add.querystring.1", "key 'x' has no value"),
        (r#"{"add":{"headers":["x y:1"]}}"#, "add.headers.1", "'x y' is not a valid header"),
        (r#"{"rename":{"headers":["x:y z"]}}"#, "rename.headers.1", "'y z' is not a valid header"),
        (r#"{"remove":{"headers":["x y"]}}"#, "remove.headers.1", "'x y' is not a valid header"),
        (r#"{"add":{"headers":["x:$(headers.host)"]}}"#, "add.headers.1", template),
        (r#"{"replace":{"uri":"/v2/$(uri_captures[1])"}}"#, "replace.uri", template),
        (r#"{"append":{"body":["x:$(shared.x)"]}}"#, "append.body.1", template),
    ];
    for (config, path, message) in cases {
        let errors = Tester::<RequestTransformer>::try_new(config).expect_err("a mistake");
        assert_eq!((errors[0].path.as_str(), errors[0].message.as_str()), (path, message), "{config}");
    }
}
