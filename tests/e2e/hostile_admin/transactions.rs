use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Besieged, both, is_clear_refusal};

/// An operation that would be done if it stood alone.
const GOOD: &str = r#"{"method":"POST","path":"/consumers","body":{"username":"new"}}"#;

/// Lists of operations, of which each begins with a good one.
fn operations() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |open: &str, close: &str, depth: usize| {
        format!(r#"{{"method":"POST","path":"/services","body":{}{}}}"#, open.repeat(depth), close.repeat(depth))
    };
    let of = |method: &str, path: &str, body: &str| {
        format!(r#"{{"method":"{method}","path":"{path}","body":{body}}}"#).into_bytes()
    };
    let consumer = |name: &str| of("POST", "/consumers", &format!(r#"{{"username":"{name}"}}"#));
    vec![
        ("no object", b"5".to_vec()),
        ("nothing", b"null".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("an unknown method", of("BREW", "/consumers", "{}")),
        ("a method that reads", of("GET", "/consumers", "null")),
        ("a method that is no text", br#"{"method":5,"path":"/consumers"}"#.to_vec()),
        ("a method with a line end", of("POST\\r\\nX: y", "/consumers", "{}")),
        ("no path", br#"{"method":"POST","body":{}}"#.to_vec()),
        ("an unknown path", of("POST", "/nowhere", "{}")),
        ("a path without a slash", of("POST", "consumers", r#"{"username":"other"}"#)),
        ("a path of another host", of("POST", "http://a.test/consumers", r#"{"username":"other"}"#)),
        ("an empty path", of("POST", "", r#"{"username":"other"}"#)),
        ("dots", of("POST", "/services/../consumers", r#"{"username":"other"}"#)),
        ("a path that is not UTF-8", of("PATCH", "/consumers/%ff", r#"{"custom_id":"x"}"#)),
        ("a path with a NUL", of("PATCH", "/consumers/a%00", r#"{"custom_id":"x"}"#)),
        ("a path with a space", of("PATCH", "/consumers/a b", r#"{"custom_id":"x"}"#)),
        ("a very long path", of("PATCH", &format!("/consumers/{}", "a".repeat(100_000)), r#"{"custom_id":"x"}"#)),
        ("a transaction within", of("POST", "/transactions", r#"{"operations":[]}"#)),
        ("a module", of("DELETE", "/modules/key-auth", "null")),
        ("a token", of("POST", "/admin-tokens", r#"{"name":"x","roles":["admin"]}"#)),
        ("a rollback", of("POST", "/config/versions/1/rollback", "null")),
        ("a level of the log", of("PUT", "/debug/node/log-level/debug", "null")),
        ("a body that is a list", of("POST", "/consumers", "[]")),
        ("a body that is a text", of("POST", "/consumers", r#""username=other""#)),
        ("an unknown member", br#"{"method":"DELETE","path":"/consumers/a","force":true}"#.to_vec()),
        ("a member twice", br#"{"method":"DELETE","path":"/consumers/a","path":"/consumers/b"}"#.to_vec()),
        ("a name twice in the body", of("POST", "/consumers", r#"{"username":"x","\u0075sername":"y"}"#)),
        ("a NUL in the body", of("POST", "/consumers", r#"{"username":"x\u0000"}"#)),
        (
            "not UTF-8",
            of("POST", "/consumers", "{\"username\":\"\u{1}\"}")
                .iter()
                .map(|b| if *b == 1 { 0xff } else { *b })
                .collect(),
        ),
        ("half a surrogate", of("POST", "/consumers", r#"{"username":"\ud800"}"#)),
        ("deep arrays", nested("[", "]", 100_000).into_bytes()),
        ("deep objects", nested("{\"a\":", "}", 100_000).into_bytes()),
        ("as deep as is read", nested("{\"a\":", "0}", 100).replace("0}", "}").into_bytes()),
        ("an unknown field", of("POST", "/consumers", r#"{"username":"x","admin":true}"#)),
        ("a wrong type", of("POST", "/services", r#"{"name":"x","host":"a","port":"80"}"#)),
        ("a name that is taken", consumer("a")),
        ("the name of the operation before", consumer("new")),
        ("a reference to nothing", of("POST", "/routes", r#"{"paths":["/x"],"service":{"name":"none"}}"#)),
        ("a parent that has children", of("DELETE", "/services/a", "null")),
        ("a change of what is not there", of("PATCH", "/consumers/none", r#"{"custom_id":"x"}"#)),
    ]
}

#[tokio::test]
async fn one_hostile_operation_refuses_the_whole_transaction() {
    for mut besieged in Besieged::both().await {
        let admin = besieged.gateway.admin.clone();
        for (label, operation) in operations() {
            let good = GOOD.as_bytes();
            for parts in [[good, &operation], [&operation, good]] {
                let body = [br#"{"operations":["#, parts.join(&b',').as_slice(), b"]}"].concat();
                let call = admin.call("POST /transactions").header("content-type", "application/json").body(body);
                let answer = call.send().await;
                let (status, text) = (answer.status, answer.text());
                assert!(is_clear_refusal(status, &text), "{label}: {status} {text}");
            }
        }
        besieged.is_unharmed("hostile operations").await;
    }
}

#[tokio::test]
async fn what_is_no_list_of_operations_is_refused() {
    let good: Value = serde_json::from_str(GOOD).unwrap();
    for mut besieged in Besieged::both().await {
        let admin = besieged.gateway.admin.clone();
        for (label, body) in [
            ("nothing", json!({})),
            ("a text", json!({ "operations": "POST /consumers" })),
            ("an object", json!({ "operations": good.clone() })),
            ("an empty list", json!({ "operations": [] })),
            ("too many", json!({ "operations": vec![good.clone(); 10_001] })),
            ("more than operations", json!({ "operations": [good.clone()], "dry_run": true })),
        ] {
            let answer = admin.post("/transactions", body).await;
            assert!(is_clear_refusal(answer.status, &answer.text()), "{label}: {answer:?}");
        }
        let body = format!(r#"{{"operations":[{GOOD}],"operations":[{GOOD}]}}"#);
        for (media_type, body, status) in [
            ("application/json", body.into_bytes(), 400),
            ("application/x-www-form-urlencoded", b"operations=x".to_vec(), 400),
            ("application/yaml", b"operations: []".to_vec(), 415),
            ("application/json", vec![b' '; 11 << 20], 413),
        ] {
            let call = admin.call("POST /transactions").header("content-type", media_type).body(body);
            call.send().await.expect(status);
        }
        besieged.is_unharmed("what is no list of operations").await;
    }
}

#[tokio::test]
async fn transactions_at_once_are_done_one_after_the_other_whatever_they_touch_first() {
    for gateway in both().await {
        for name in ["a", "b"] {
            gateway.admin.create("/services", json!({ "name": name, "host": "h.test" })).await;
        }
        let mut writers = JoinSet::new();
        for number in 0..40 {
            let set = |name: &str| json!({ "method": "PATCH", "path": format!("/services/{name}"), "body": { "host": format!("h{number}") } });
            // Each of them takes a name that all want, too.
            let mine =
                json!({ "method": "PUT", "path": "/consumers/one", "body": { "custom_id": number.to_string() } });
            let mut operations = vec![set("a"), mine, set("b")];
            if number % 2 == 1 {
                operations.reverse();
            }
            let call = gateway.admin.call("POST /transactions").json(&json!({ "operations": operations }));
            writers.spawn(async move { call.send().await.expect(200).json()["version"].as_u64().unwrap() });
        }
        let mut versions = writers.join_all().await;
        versions.sort_unstable();
        assert!(versions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "a version each: {versions:?}");
        let host = async |name: &str| gateway.admin.get(&format!("/services/{name}")).await.json()["host"].clone();
        let (a, b) = (host("a").await, host("b").await);
        assert_eq!(a, b, "no transaction is seen in part");
        let consumers = gateway.admin.get("/consumers").await.json()["data"].clone();
        assert_eq!(consumers.as_array().unwrap().len(), 1);
        assert_eq!(json!(format!("h{}", consumers[0]["custom_id"].as_str().unwrap())), a, "the last did all of it");
    }
}

#[tokio::test]
async fn transactions_that_want_one_name_leave_it_to_one_and_nothing_of_the_others() {
    for gateway in both().await {
        let mut writers = JoinSet::new();
        for number in 0..40 {
            let create = |path: &str, body: Value| json!({ "method": "POST", "path": path, "body": body });
            let operations = [
                create("/services", json!({ "name": format!("s{number}"), "host": "h.test" })),
                create(&format!("/services/s{number}/routes"), json!({ "paths": ["/a"] })),
                create("/consumers", json!({ "username": "wanted" })),
            ];
            let call = gateway.admin.call("POST /transactions").json(&json!({ "operations": operations }));
            writers.spawn(async move { call.send().await.status });
        }
        let statuses = writers.join_all().await;
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
        for collection in ["services", "routes", "consumers"] {
            let page = gateway.admin.get(&format!("/{collection}")).await.json();
            assert_eq!(page["data"].as_array().unwrap().len(), 1, "{collection}");
        }
    }
}
