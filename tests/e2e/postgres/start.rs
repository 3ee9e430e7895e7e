//! How nodes start on a database, and what they say of it.

use std::{fs, path::Path};

use serde_json::json;

use super::{database, sql};
use crate::harness::{PASSWORD, TestGateway, TestPostgres, builtin, marked};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_install_the_built_in_plugins_once() {
    let url = database().await;
    let start = || TestGateway::new().on_postgres(&url).start();
    let (first, second, third) = tokio::join!(start(), start(), start());
    assert_eq!(sql(&url, "SELECT version FROM config_version").await, "1");
    let modules = first.admin.get("/modules").await.expect(200).json();
    for other in [second, third] {
        assert_eq!(other.admin.get("/modules").await.expect(200).json()["data"], modules["data"]);
    }
}

#[tokio::test]
async fn of_builds_of_one_version_the_first_stays_and_a_later_version_replaces_it() {
    let url = database().await;
    let mut gateway = TestGateway::new().on_postgres(&url).start().await;
    let own = gateway.module("key-auth").await["digest"].clone();
    let other = marked(&builtin("key-auth"), "another build");
    gateway.admin.upload("PUT /modules/key-auth?grants=*", other).await.expect(200);
    let other = gateway.module("key-auth").await["digest"].clone();
    assert_ne!(own, other);
    // As if another gateway had brought it.
    let with = |from: &str, to: &str| {
        format!("UPDATE modules SET data = replace(data, '{from}', '{to}') WHERE name = 'key-auth'")
    };
    sql(&url, &with(r#""source":"upload""#, r#""source":"builtin""#)).await;
    gateway.restart().await.unwrap();
    assert_eq!(gateway.module("key-auth").await["digest"], other);
    let said = "a built-in plugin of another build stays";
    gateway.process.log.line(said, std::time::Duration::from_secs(30)).await.unwrap();
    let version = gateway.module("key-auth").await["version"].as_str().unwrap().to_owned();
    sql(&url, &with(&format!(r#""version":"{version}""#), r#""version":"0.0.1""#)).await;
    gateway.restart().await.unwrap();
    assert_eq!(gateway.module("key-auth").await["digest"], own);
}

#[tokio::test]
async fn each_node_has_an_identity_of_its_own_and_keeps_it() {
    let url = database().await;
    let mut first = TestGateway::new().on_postgres(&url).start().await;
    let second = TestGateway::new().on_postgres(&url).start().await;
    let (one, other) = (first.admin.id_of_node().await, second.admin.id_of_node().await);
    assert_ne!(one, other);
    first.restart().await.unwrap();
    assert_eq!(first.admin.id_of_node().await, one);
}

#[tokio::test]
async fn the_database_is_shown_without_its_password() {
    let url = database().await;
    let gateway = TestGateway::new().on_postgres(&url).setting("SANDGATE_LOG_LEVEL", "debug").start().await;
    let root = gateway.admin.get("/").await.expect(200);
    let shown = &root.json()["configuration"];
    let expected = [
        ("pg_host", json!("127.0.0.1")),
        ("pg_port", json!(TestPostgres::shared().port())),
        ("pg_user", json!("sandgate")),
        ("pg_ssl", json!(false)),
        ("database", json!("postgres")),
    ];
    for (field, value) in expected {
        assert_eq!(shown[field], value, "{field}");
    }
    assert!(shown["pg_database"].as_str().unwrap().starts_with("test_"));
    assert!(!root.text().contains(PASSWORD) && !gateway.process.log.tail().contains(PASSWORD));
}

async fn verifying(url: &str, root: &Path) -> Result<crate::harness::Gateway, String> {
    let url = format!("{url}?sslmode=verify-full&sslrootcert={}", root.display());
    TestGateway::new().on_postgres(&url).try_start().await
}

#[tokio::test]
async fn a_server_is_believed_only_with_the_certificate_that_is_asked_for() {
    let url = database().await;
    let gateway = verifying(&url, &TestPostgres::shared().certificate()).await.unwrap();
    assert_eq!(gateway.admin.get("/").await.expect(200).json()["configuration"]["pg_ssl"], true);
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE application_name = 'sandgate' AND datname = current_database()";
    assert_eq!(sql(&url, encrypted).await, "t");
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other.pem");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(&other, made.cert.pem()).unwrap();
    let begun = std::time::Instant::now();
    let refused = verifying(&url, &other).await.err().expect("a refusal");
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "what waiting cannot mend is not waited for");
    assert!(refused.contains("the configuration database cannot be reached"), "{refused}");
    assert!(refused.contains("certificate") && !refused.contains(PASSWORD), "{refused}");
}

#[tokio::test]
async fn a_wrong_password_refuses_the_start_and_is_not_repeated() {
    let url = database().await.replace(PASSWORD, "guessed-wrongly");
    let refused = TestGateway::new().on_postgres(&url).try_start().await.err().expect("a refusal");
    assert!(refused.contains("password authentication failed") && !refused.contains("guessed-wrongly"), "{refused}");
}
