//! Roles: what they allow, and what nothing allows is denied.

use serde_json::{Value, json};

use super::{close, holder};
use crate::harness::{Admin, Call, Gateway, TestGateway, guest};

/// A gateway with something to look at and change, and its administrator.
async fn prepared() -> (Gateway, Admin) {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/services", json!({ "name": "a", "host": "a.test" })).await;
    gateway.admin.create("/services/a/routes", json!({ "name": "a", "paths": ["/a"] })).await;
    gateway.admin.create("/consumers", json!({ "username": "a" })).await;
    gateway.admin.create("/upstreams", json!({ "name": "a" })).await;
    let root = close(&gateway).await;
    (gateway, root)
}

/// A request that is only looked at for whether it is allowed.
fn request(admin: &Admin, line: &str) -> Call {
    let call = admin.call(line);
    match line.split_once(' ') {
        Some(("POST" | "PUT" | "PATCH", _)) => call.json(&json!({ "nonsense": true })),
        _ => call,
    }
}

async fn is_allowed(admin: &Admin, line: &str) -> bool {
    let answer = request(admin, line).send().await;
    assert_ne!(answer.status, 401, "{line}");
    answer.status != 403
}

/// Requests, and what `read-only`, `operator` and `admin` may.
const BUILTIN: [(&str, [bool; 3]); 30] = [
    ("GET /", [true; 3]),
    ("HEAD /services", [true; 3]),
    ("GET /services/a", [true; 3]),
    ("GET /services/a/routes", [true; 3]),
    ("GET /consumers/a/key-auth", [true; 3]),
    ("GET /upstreams/a/health", [true; 3]),
    ("GET /modules", [true; 3]),
    ("GET /modules/key-auth/code", [true; 3]),
    ("GET /tags", [true; 3]),
    ("GET /admin-tokens", [true; 3]),
    ("GET /admin-roles/admin", [true; 3]),
    ("POST /schemas/services/validate", [true; 3]),
    ("POST /services", [false, true, true]),
    ("PUT /services/b", [false, true, true]),
    ("PATCH /services/a", [false, true, true]),
    ("DELETE /services/none", [false, true, true]),
    ("POST /services/a/plugins", [false, true, true]),
    ("PUT /routes/a/service", [false, true, true]),
    ("POST /consumers/a/key-auth", [false, true, true]),
    ("POST /upstreams/a/targets", [false, true, true]),
    ("PUT /upstreams/a/targets/b/healthy", [false, true, true]),
    ("POST /modules", [false, false, true]),
    ("PUT /modules/key-auth", [false, false, true]),
    ("PATCH /modules/key-auth", [false, false, true]),
    ("DELETE /modules/none", [false, false, true]),
    ("POST /admin-tokens", [false, false, true]),
    ("PATCH /admin-tokens/none", [false, false, true]),
    ("DELETE /admin-tokens/none", [false, false, true]),
    ("POST /admin-roles", [false, false, true]),
    ("POST /admin-certificates", [false, false, true]),
];

#[tokio::test]
async fn the_built_in_roles_allow_what_the_table_says() {
    let (_gateway, root) = prepared().await;
    let mut holders = Vec::new();
    for role in ["read-only", "operator", "admin"] {
        holders.push((role, holder(&root, &format!("a-{role}"), &[role]).await));
    }
    for (line, expected) in BUILTIN {
        for ((role, admin), expected) in holders.iter().zip(expected) {
            assert_eq!(is_allowed(admin, line).await, expected, "{role}: {line}");
        }
    }
}

#[tokio::test]
async fn a_role_of_ones_own_allows_what_its_rules_name() {
    let (_gateway, root) = prepared().await;
    let rules = json!([
        { "verbs": ["read"], "resources": ["services", "/upstreams/*/health"] },
        { "verbs": ["create", "update"], "resources": ["routes", "key-auths", "/services/a"] },
        { "verbs": ["upload"], "resources": ["modules"] },
    ]);
    root.create("/admin-roles", json!({ "name": "deployer", "rules": rules })).await;
    let deployer = holder(&root, "deployer", &["deployer"]).await;
    for (line, expected) in [
        ("GET /services", true),
        ("GET /services/a", true),
        ("GET /routes/a/service", true),
        ("GET /services/a/routes", false),
        ("GET /routes", false),
        ("GET /upstreams/a/health", true),
        ("GET /upstreams/a", false),
        ("POST /services/a/routes", true),
        ("PATCH /routes/a", true),
        ("DELETE /routes/a", false),
        ("PATCH /services/a", true),
        ("PATCH /services/b", false),
        ("PATCH /services/%61", true),
        ("PATCH /services/a%2Fb", false),
        ("POST /services", false),
        ("PUT /routes/a/service", false),
        ("POST /services/a/plugins", false),
        ("POST /consumers/a/key-auth", true),
        ("POST /consumers/a/acls", false),
        ("PATCH /modules/key-auth", false),
        ("GET /modules", false),
        ("GET /admin-access", true),
        ("GET /admin-tokens", false),
    ] {
        assert_eq!(is_allowed(&deployer, line).await, expected, "{line}");
    }
}

#[tokio::test]
async fn a_denial_names_who_what_and_where() {
    let (_gateway, root) = prepared().await;
    let reader = holder(&root, "reader", &["read-only"]).await;
    let answer = request(&reader, "DELETE /services/a/routes/a").send().await.expect(403);
    assert_eq!(answer.json(), json!({ "message": "'token:reader' may not 'delete' 'routes'" }));
    root.get("/routes/a").await.expect(200);
}

#[tokio::test]
async fn uploading_and_granting_are_different_rights() {
    let (_gateway, root) = prepared().await;
    for verb in ["upload", "grant"] {
        let rules = json!([{ "verbs": ["read", verb], "resources": ["modules"] }]);
        root.create("/admin-roles", json!({ "name": verb, "rules": rules })).await;
    }
    let (uploader, granter) = (holder(&root, "up", &["upload"]).await, holder(&root, "gr", &["grant"]).await);
    granter.upload("POST /modules", guest("peek")).await.expect(403);
    let answer = uploader.upload("POST /modules?grants=*", guest("peek")).await.expect(403);
    assert!(answer.text().contains("'grant'"), "{}", answer.text());
    root.get("/modules/peek").await.expect(404);
    uploader.upload("POST /modules", guest("peek")).await.expect(201);
    uploader.patch("/modules/peek", json!({ "grants": {} })).await.expect(403);
    granter.patch("/modules/peek", json!({ "failure_policy": "open" })).await.expect(200);
    granter.delete("/modules/peek").await.expect(403);
    uploader.delete("/modules/peek").await.expect(204);
}

#[tokio::test]
async fn the_built_in_roles_are_shown_and_stay_as_they_are() {
    let (_gateway, root) = prepared().await;
    let listed = root.get("/admin-roles").await.expect(200).json();
    let names: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|role| &role["name"]).collect();
    assert_eq!(names, ["admin", "operator", "read-only"]);
    let admin = root.get("/admin-roles/admin").await.expect(200).json();
    assert_eq!(admin["rules"], json!([{ "verbs": ["*"], "resources": ["*"] }]));
    let id = admin["id"].as_str().unwrap();
    for line in ["PATCH /admin-roles/admin", "PUT /admin-roles/operator", "DELETE /admin-roles/read-only"] {
        request(&root, line).send().await.expect(400);
    }
    request(&root, &format!("DELETE /admin-roles/{id}")).send().await.expect(400);
    root.post("/admin-roles", json!({ "name": "admin", "rules": [] })).await.expect(400);
    root.create("/admin-roles", json!({ "name": "mine", "rules": [] })).await;
    root.patch("/admin-roles/mine", json!({ "name": "operator" })).await.expect(400);
}

#[tokio::test]
async fn a_role_in_use_can_be_changed_but_not_taken_away() {
    let (_gateway, root) = prepared().await;
    root.create("/admin-roles", json!({ "name": "mine", "rules": [] })).await;
    let mine = holder(&root, "mine", &["mine"]).await;
    mine.get("/services").await.expect(403);
    root.delete("/admin-roles/mine").await.expect(400);
    root.patch("/admin-roles/mine", json!({ "name": "other" })).await.expect(400);
    let rules = json!([{ "verbs": ["read"], "resources": ["services"] }]);
    root.patch("/admin-roles/mine", json!({ "rules": rules })).await.expect(200);
    mine.get("/services").await.expect(200);
    root.delete("/admin-tokens/mine").await.expect(204);
    root.delete("/admin-roles/mine").await.expect(204);
}

#[tokio::test]
async fn rules_are_checked() {
    let (_gateway, root) = prepared().await;
    for rules in [
        json!([{ "verbs": ["dance"], "resources": ["*"] }]),
        json!([{ "verbs": [], "resources": ["*"] }]),
        json!([{ "verbs": ["read"] }]),
        json!([{ "verbs": ["read"], "resources": ["a b"] }]),
        json!([{ "verbs": ["read"], "resources": ["*"], "deny": true }]),
        json!("*"),
    ] {
        root.post("/admin-roles", json!({ "name": "mine", "rules": rules })).await.expect(400);
    }
}

#[tokio::test]
async fn access_is_no_part_of_the_configuration_that_others_see() {
    let (_gateway, root) = prepared().await;
    for path in ["/schemas/admin_tokens", "/schemas/admin-tokens", "/schemas/admin_roles"] {
        root.get(path).await.expect(404);
    }
    for path in ["/tags/x", "/tags"] {
        assert!(!root.get(path).await.expect(200).text().contains("admin"), "{path}");
    }
    root.post("/schemas/admin_tokens/validate", json!({ "name": "a" })).await.expect(404);
}

#[tokio::test]
async fn explaining_takes_the_right_to_read_all_that_it_tells_of() {
    let (_gateway, root) = prepared().await;
    let cases = [("little", json!(["routes"])), ("enough", json!(["routes", "services", "plugins", "consumers"]))];
    for (name, resources) in cases {
        let rules = json!([{ "verbs": ["read"], "resources": resources }]);
        root.create("/admin-roles", json!({ "name": name, "rules": rules })).await;
        let reader = holder(&root, name, &[name]).await;
        assert_eq!(is_allowed(&reader, "POST /routes/explain").await, name == "enough", "{name}");
    }
}
