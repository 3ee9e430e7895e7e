//! Certificates of clients.

use std::{net::SocketAddr, path::Path};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::{Value, json};

use super::is_answered;
use crate::harness::{Authority, Gateway, TestGateway, TestTarget, s_client};

/// Who vouches, who does not, and clients of both, as files of a folder.
struct Cast {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Cast {
    fn new() -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        authority.write(folder.path());
        authority.vouch("valid").write(folder.path(), "valid");
        let past = |params: &mut rcgen::CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        authority.vouch_with("expired", past).write(folder.path(), "expired");
        let purpose = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        authority.vouch_with("server", |params| params.extended_key_usages = purpose).write(folder.path(), "server");
        Authority::named("wrong").vouch("wrong").write(folder.path(), "wrong");
        Self { folder, authority }
    }

    fn gateway(&self, word: &str) -> TestGateway {
        let ca = self.folder.path().join("ca.pem");
        let gateway = TestGateway::new().setting("SANDGATE_SSL_VERIFY_CLIENT", word);
        gateway.setting("SANDGATE_SSL_CLIENT_CERTIFICATE", ca.to_str().unwrap())
    }

    /// Arguments that show this certificate.
    fn shows(&self, name: &str) -> Vec<String> {
        if name == "nothing" {
            return Vec::new();
        }
        let file = |kind: &str| self.folder.path().join(format!("{name}.{kind}")).to_str().unwrap().to_owned();
        ["-cert".to_owned(), file("crt"), "-key".to_owned(), file("key")].to_vec()
    }
}

async fn lets_in(gateway: &Gateway, version: &str, shown: &[String]) -> bool {
    let arguments: Vec<&str> = std::iter::once(version).chain(shown.iter().map(String::as_str)).collect();
    is_answered(gateway, &arguments).await
}

#[tokio::test]
async fn a_listener_lets_in_whom_its_authority_vouches_for() {
    let cast = Cast::new();
    let clients = ["nothing", "valid", "expired", "wrong", "server"];
    for (word, expected) in [
        ("off", [true, true, true, true, true]),
        ("optional", [true, true, false, false, false]),
        ("optional_no_ca", [true, true, true, true, true]),
        ("on", [false, true, false, false, false]),
    ] {
        let gateway = cast.gateway(word).start().await;
        for version in ["-tls1_2", "-tls1_3"] {
            for (client, expected) in clients.iter().zip(expected) {
                let found = lets_in(&gateway, version, &cast.shows(client)).await;
                assert_eq!(found, expected, "{word}: {client} with {version}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_is_told_whose_certificates_are_wanted() {
    let gateway = Cast::new().gateway("optional").start().await;
    let said = s_client(gateway.proxy_tls(), &["-ign_eof"]).await;
    said.expect(&["Acceptable client certificate CA names", "CN = authority"]);
}

/// A client of an authority that this many others stand before, as files.
fn deep(cast: &Cast, between: usize) -> Vec<String> {
    let (mut chain, mut last) = (String::new(), None::<Authority>);
    for number in 0..between {
        let next = last.as_ref().unwrap_or(&cast.authority).below(&format!("between-{number}"));
        chain.insert_str(0, &next.pem);
        last = Some(next);
    }
    let name = format!("deep-{between}");
    last.as_ref().unwrap_or(&cast.authority).vouch(&name).write(cast.folder.path(), &name);
    let file = cast.folder.path().join("chain.pem");
    std::fs::write(&file, &chain).unwrap();
    let mut arguments = cast.shows(&name);
    if !chain.is_empty() {
        arguments.extend(["-cert_chain".to_owned(), file.to_str().unwrap().to_owned()]);
    }
    arguments
}

#[tokio::test]
async fn a_chain_may_be_as_long_as_the_setting_says() {
    let cast = Cast::new();
    for (depth, expected) in [(None, [true, true, false]), (Some("0"), [true, false, false]), (Some("2"), [true; 3])] {
        let gateway = cast.gateway("on");
        let gateway = match depth {
            Some(depth) => gateway.setting("SANDGATE_SSL_VERIFY_DEPTH", depth),
            None => gateway,
        };
        let gateway = gateway.start().await;
        for (between, expected) in expected.into_iter().enumerate() {
            let found = lets_in(&gateway, "-tls1_3", &deep(&cast, between)).await;
            assert_eq!(found, expected, "{between} between, depth {depth:?}");
        }
    }
}

/// What a guest that asks for the certificates of the client is told.
async fn told(gateway: &Gateway, arguments: &[String]) -> String {
    let arguments: Vec<&str> = ["-ign_eof"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
    let said = s_client(gateway.proxy_tls(), &arguments).await;
    let body = said.0.split("\r\n\r\n").nth(1).unwrap_or_else(|| panic!("no answer:\n{}", said.0));
    body.lines().next().unwrap_or_default().trim_end_matches("closed").to_owned()
}

#[tokio::test]
async fn plugins_see_what_the_client_showed() {
    let (cast, target) = (Cast::new(), TestTarget::answering("a").await);
    let hexadecimal = |pem: &str| {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        der.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let below = cast.authority.below("between");
    let deep = below.vouch("deep");
    deep.write(cast.folder.path(), "deep");
    let chain = cast.folder.path().join("between.pem");
    std::fs::write(&chain, &below.pem).unwrap();
    let mut shows = cast.shows("deep");
    shows.extend(["-cert_chain".to_owned(), chain.to_str().unwrap().to_owned()]);
    for (word, verified) in [("optional", "verified"), ("optional_no_ca", "unverified")] {
        let gateway = cast.gateway(word).start().await;
        gateway.upload("badge").await;
        gateway.route("a", "/", &target).await;
        gateway.plugin("a", "badge", json!({})).await;
        gateway.plugin("a", "file-log", json!({ "path": gateway.file("access.log") })).await;
        gateway.applied().await;
        assert_eq!(gateway.get("/").await.text(), "none", "clear text");
        assert_eq!(told(&gateway, &[]).await, "none");
        let expected = format!("{verified} {} {}", hexadecimal(&deep.chain), hexadecimal(&below.pem));
        assert_eq!(told(&gateway, &shows).await, expected);
        let records = gateway.lines("access.log", 3).await.join("");
        let logged = if verified == "verified" { "SUCCESS" } else { "FAILED:not verified" };
        assert!(records.contains(&format!("\"client_verify\":\"{logged}\"")), "{records}");
    }
}

/// Addresses of all listeners with TLS.
fn listeners(gateway: &Gateway) -> Vec<SocketAddr> {
    let lines = gateway.process.log.all();
    let ready = lines.lines().find(|line| line.contains("sandgate is ready")).expect("it is ready");
    let event: Value = serde_json::from_str(ready).unwrap();
    event["proxy_tls"].as_str().unwrap().split(", ").map(|address| address.parse().unwrap()).collect()
}

#[tokio::test]
async fn each_listener_asks_for_itself_and_no_session_of_another_gets_past() {
    let cast = Cast::new();
    let listen = "127.0.0.1:0, 127.0.0.1:0 ssl ssl_verify_client=off, 127.0.0.1:0 ssl";
    let gateway = cast.gateway("on").setting("SANDGATE_PROXY_LISTEN", listen).start().await;
    let [open, guarded] = listeners(&gateway)[..] else { panic!("two listeners") };
    for version in ["-tls1_2", "-tls1_3"] {
        let session = cast.folder.path().join(version);
        let keep = ["-ign_eof", version, "-sess_out", session.to_str().unwrap()];
        assert!(s_client(open, &keep).await.is_answered());
        let reuse = ["-ign_eof", version, "-sess_in", session.to_str().unwrap()];
        assert!(s_client(open, &reuse).await.is_resumed());
        assert!(!s_client(guarded, &reuse).await.is_answered());
    }
}

/// Tells the gateway to read its files again.
async fn reload(gateway: &Gateway, said: &str) {
    let before = gateway.process.log.all().matches(said).count();
    gateway.process.signal(rustix::process::Signal::HUP).unwrap();
    gateway.until(async || gateway.process.log.all().matches(said).count() > before).await;
}

#[tokio::test]
async fn another_authority_takes_over_without_a_restart() {
    let cast = Cast::new();
    let gateway = cast.gateway("on").start().await;
    let other = Authority::named("other");
    other.vouch("new").write(cast.folder.path(), "new");
    let lets_in = async |name: &str| lets_in(&gateway, "-tls1_3", &cast.shows(name)).await;
    assert!(lets_in("valid").await && !lets_in("new").await);
    other.write(cast.folder.path());
    reload(&gateway, "read again").await;
    assert!(!lets_in("valid").await && lets_in("new").await);
    std::fs::write(Path::new(&cast.folder.path().join("ca.pem")), "nothing").unwrap();
    reload(&gateway, "TLS stays as it is").await;
    assert!(!lets_in("valid").await && lets_in("new").await, "a broken file changes nothing");
}
