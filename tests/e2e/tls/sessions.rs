//! Sessions that go on in other connections.

use std::{path::Path, time::Duration};

use crate::harness::{Gateway, Shaken, TestGateway, s_client};

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

/// A session of this version, kept in this file.
async fn begin(gateway: &Gateway, version: &str, file: &Path) -> Shaken {
    let arguments = ["-ign_eof", version, "-servername", "a.test", "-sess_out", file.to_str().unwrap()];
    let said = s_client(gateway.proxy_tls(), &arguments).await;
    assert!(!said.is_resumed());
    said
}

/// Whether the session in this file goes on.
async fn goes_on(gateway: &Gateway, (version, name): (&str, &str), file: &Path) -> bool {
    let arguments = ["-ign_eof", version, "-servername", name, "-sess_in", file.to_str().unwrap()];
    s_client(gateway.proxy_tls(), &arguments).await.is_resumed()
}

/// The part of a ticket that names its key.
fn key_name(said: &Shaken) -> String {
    let line = said.0.lines().find_map(|line| line.trim().strip_prefix("0000 - ")).expect("a ticket");
    line[..47].to_owned()
}

#[tokio::test]
async fn a_session_goes_on_on_every_worker() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = TestGateway::new().start().await;
    for version in VERSIONS {
        let file = folder.path().join(version);
        begin(&gateway, version, &file).await;
        // Two workers share the connections by chance; that one of them gets none of sixteen is one in 32,768.
        for _ in 0..16 {
            assert!(goes_on(&gateway, (version, "a.test"), &file).await, "{version}");
        }
    }
}

#[tokio::test]
async fn a_session_stays_with_its_name_and_its_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let (gateway, other) = (TestGateway::new().start().await, TestGateway::new().start().await);
    for version in VERSIONS {
        let file = folder.path().join(version);
        begin(&gateway, version, &file).await;
        assert!(!goes_on(&gateway, (version, "b.test"), &file).await, "{version}: another name");
        assert!(!goes_on(&other, (version, "a.test"), &file).await, "{version}: another gateway");
    }
}

#[tokio::test]
async fn a_session_goes_on_with_the_process_that_takes_over_and_the_one_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = TestGateway::new().start().await;
    let first = VERSIONS.map(|version| (version, folder.path().join(version)));
    for (version, file) in &first {
        begin(&gateway, version, file).await;
    }
    for number in 1..=2 {
        gateway.process.hand_over(Duration::from_secs(60)).await.unwrap();
        for (version, file) in &first {
            assert!(goes_on(&gateway, (version, "a.test"), file).await, "{version}, process {number}");
        }
    }
}

#[tokio::test]
async fn no_session_goes_on_without_tickets() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_SSL_SESSION_TICKETS", "off").start().await;
    let file = folder.path().join("session");
    begin(&gateway, "-tls1_2", &file).await.expect(&["New, TLSv1.2"]);
    assert!(!file.exists(), "there is nothing to keep");
    let said = begin(&gateway, "-tls1_3", &file).await;
    assert!(!said.0.contains("New Session Ticket arrived"), "{}", said.0);
}

#[tokio::test]
async fn a_session_outlives_the_key_of_its_ticket() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_SSL_SESSION_TICKET_ROTATION", "1s").start().await;
    let (file, later) = (folder.path().join("session"), folder.path().join("later"));
    let first = key_name(&begin(&gateway, "-tls1_3", &file).await);
    gateway.until(async || key_name(&begin(&gateway, "-tls1_3", &later).await) != first).await;
    assert!(goes_on(&gateway, ("-tls1_3", "a.test"), &file).await);
}

#[tokio::test]
async fn a_session_ends_with_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_SSL_SESSION_TIMEOUT", "2s").start().await;
    let file = folder.path().join("session");
    let said = begin(&gateway, "-tls1_3", &file).await;
    said.expect(&["lifetime hint: 2 (seconds)"]);
    gateway.until(async || !goes_on(&gateway, ("-tls1_3", "a.test"), &file).await).await;
}
