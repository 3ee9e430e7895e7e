//! Certificates in files that the settings name.

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;
use serde_json::json;

use super::{is_answered, pair};
use crate::harness::{Authority, Gateway, TestGateway, TestTarget, Wire, s_client};

const PATIENCE: Duration = Duration::from_secs(60);

/// Writes a certificate for this name, with its key, and one with an RSA key beside it.
fn write(folder: &Path, name: &str) {
    let made = pair(name, &[]);
    for (field, file) in [("cert", "ec.crt"), ("key", "ec.key"), ("cert_alt", "rsa.crt"), ("key_alt", "rsa.key")] {
        fs::write(folder.join(file), made[field].as_str().unwrap()).unwrap();
    }
}

/// Paths of these files, with commas between.
fn paths(folder: &Path, names: &[&str]) -> String {
    names.iter().map(|name| folder.join(name).display().to_string()).collect::<Vec<_>>().join(",")
}

fn with_files(folder: &Path) -> TestGateway {
    TestGateway::new()
        .setting("SANDGATE_ADMIN_LISTEN", "127.0.0.1:0 ssl")
        .setting("SANDGATE_SSL_CERT", &paths(folder, &["ec.crt", "rsa.crt"]))
        .setting("SANDGATE_SSL_CERT_KEY", &paths(folder, &["ec.key", "rsa.key"]))
        .setting("SANDGATE_ADMIN_SSL_CERT", &paths(folder, &["ec.crt"]))
        .setting("SANDGATE_ADMIN_SSL_CERT_KEY", &paths(folder, &["ec.key"]))
}

async fn expect_shown(gateway: &Gateway, name: &str) {
    for algorithms in ["ECDSA+SHA256", "RSA-PSS+SHA256"] {
        let said = s_client(gateway.proxy_tls(), &["-ign_eof", "-sigalgs", algorithms]).await;
        said.expect(&[&format!("subject=CN = {name}"), &algorithms[..3], "HTTP/1.1 404"]);
    }
    let said = s_client(gateway.admin.address, &["-ign_eof"]).await;
    said.expect(&[&format!("subject=CN = {name}"), "HTTP/1.1 200"]);
}

#[tokio::test]
async fn renewed_files_are_served_after_a_hangup() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "first.test");
    let gateway = with_files(folder.path()).start().await;
    expect_shown(&gateway, "first.test").await;
    write(folder.path(), "second.test");
    expect_shown(&gateway, "first.test").await;
    gateway.process.signal(Signal::HUP).unwrap();
    gateway.process.log.line("certificates of the settings were read again", PATIENCE).await.unwrap();
    expect_shown(&gateway, "second.test").await;
    gateway.admin.call("GET /").over(Wire::Tls).send().await.expect(200);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "first.test");
    let gateway = with_files(folder.path()).start().await;
    write(folder.path(), "second.test");
    fs::write(folder.path().join("rsa.key"), "nonsense").unwrap();
    gateway.process.signal(Signal::HUP).unwrap();
    gateway.process.log.line("TLS stays as it is", PATIENCE).await.unwrap();
    gateway.process.log.line("rsa.key", PATIENCE).await.unwrap();
    expect_shown(&gateway, "first.test").await;
}

#[tokio::test]
async fn a_gateway_without_its_certificate_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "first.test");
    fs::copy(folder.path().join("ec.key"), folder.path().join("rsa.key")).unwrap();
    let error = with_files(folder.path()).try_start().await.err().expect("keys of another certificate");
    assert!(error.contains("rsa.crt") && error.contains("rsa.key"), "{error}");
    fs::remove_file(folder.path().join("ec.crt")).unwrap();
    let error = with_files(folder.path()).try_start().await.err().expect("no certificate");
    assert!(error.contains("ec.crt"), "{error}");
}

#[tokio::test]
async fn what_is_spoken_changes_after_a_hangup() {
    let settings = tempfile::NamedTempFile::new().unwrap();
    fs::write(settings.path(), "").unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_CONFIG", settings.path().to_str().unwrap()).start().await;
    assert!(is_answered(&gateway, &["-tls1_2"]).await);
    fs::write(settings.path(), "ssl_protocols = ['TLSv1.3']").unwrap();
    gateway.process.signal(Signal::HUP).unwrap();
    gateway.process.log.line(r#""changed":"ssl_protocols""#, PATIENCE).await.unwrap();
    assert!(!is_answered(&gateway, &["-tls1_2"]).await);
    assert!(is_answered(&gateway, &["-tls1_3"]).await);
}

#[tokio::test]
async fn targets_are_shown_the_certificate_of_the_node() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let [chain, key] = authority.vouch("node").write(folder.path(), "node");
    let trusted = rustls_pki_types::pem::PemObject::from_pem_slice(authority.pem.as_bytes()).unwrap();
    let target = TestTarget::echoing_as(authority.client("target"), Some(trusted)).await;
    for (switch, expected) in [("on", 200), ("off", 502)] {
        let gateway = TestGateway::new()
            .setting("SANDGATE_CLIENT_SSL", switch)
            .setting("SANDGATE_CLIENT_SSL_CERT", &chain)
            .setting("SANDGATE_CLIENT_SSL_CERT_KEY", &key)
            .start()
            .await;
        let service = json!({ "name": "s", "url": format!("https://{}", target.address) });
        gateway.admin.create("/services", service).await;
        gateway.admin.create("/services/s/routes", json!({ "paths": ["/"] })).await;
        assert_eq!(gateway.get("/").await.status, expected, "{switch}");
    }
}
