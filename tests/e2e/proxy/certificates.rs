//! Certificates of the configuration, as clients see them in handshakes.

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls_pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget, shown_certificate};

/// A certificate, and what the Admin API takes.
fn made(key: &KeyPair, snis: &[&str]) -> (CertificateDer<'static>, Value) {
    let certificate = CertificateParams::new(vec!["made.test".to_owned()]).unwrap().self_signed(key).unwrap();
    let entity = json!({ "cert": certificate.pem(), "key": key.serialize_pem(), "snis": snis });
    (certificate.der().clone(), entity)
}

fn ecdsa(snis: &[&str]) -> (CertificateDer<'static>, Value) {
    made(&KeyPair::generate().unwrap(), snis)
}

/// What a client that asks for this name is shown, once every change is served.
async fn shown(gateway: &Gateway, name: &str) -> CertificateDer<'static> {
    gateway.applied().await;
    shown_certificate(gateway.proxy_tls(), name, |_| true).await.unwrap()
}

#[tokio::test]
async fn a_name_is_shown_its_certificate_the_closest_first() {
    let gateway = TestGateway::new().start().await;
    let default = shown(&gateway, "other.test").await;
    let ((exact, one), (wide, two), (end, three)) = (ecdsa(&["a.b.test"]), ecdsa(&["*.b.test"]), ecdsa(&["a.c.*"]));
    for entity in [one, two, three] {
        gateway.admin.create("/certificates", entity).await;
    }
    let cases = [
        ("a.b.test", &exact),
        ("A.B.test", &exact),
        ("x.b.test", &wide),
        ("x.y.b.test", &default),
        ("a.c.test", &end),
        ("other.test", &default),
    ];
    for (name, expected) in cases {
        assert!(shown(&gateway, name).await == *expected, "{name}");
    }
    let (all, entity) = ecdsa(&["*"]);
    gateway.admin.create("/certificates", entity).await;
    assert!(shown(&gateway, "other.test").await == all);
}

#[tokio::test]
async fn a_certificate_changes_while_connections_are_made() {
    let target = TestTarget::answering("here").await;
    let gateway = TestGateway::new().route("/", [&target]).start().await;
    let (mut current, entity) = ecdsa(&["a.test"]);
    gateway.admin.create("/certificates", entity).await;
    let mut seen = 0;
    for _ in 0..5 {
        let (next, entity) = ecdsa(&["a.test"]);
        gateway.applied().await;
        let change = gateway.admin.put("/certificates/a.test", entity);
        let connect = async {
            for _ in 0..20 {
                let answered = shown_certificate(gateway.proxy_tls(), "a.test", |_| true).await.unwrap();
                assert!(answered == current || answered == next, "neither the old one nor the new one");
                seen += 1;
            }
        };
        let (changed, ()) = tokio::join!(change, connect);
        changed.expect(200);
        assert!(shown(&gateway, "a.test").await == next);
        current = next;
    }
    assert_eq!(seen, 100);
    gateway.call_tls("GET /").await.send().await.expect(200);
}

#[tokio::test]
async fn a_pair_serves_clients_of_either_kind_of_key() {
    let gateway = TestGateway::new().start().await;
    let (ecdsa, mut entity) = ecdsa(&["a.test"]);
    let (rsa, alternative) = made(&KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap(), &[]);
    (entity["cert_alt"], entity["key_alt"]) = (alternative["cert"].clone(), alternative["key"].clone());
    gateway.admin.create("/certificates", entity).await;
    gateway.applied().await;
    for (kind, expected) in [("ECDSA", &ecdsa), ("RSA", &rsa)] {
        let takes = move |scheme: &str| scheme.starts_with(kind);
        let answered = shown_certificate(gateway.proxy_tls(), "a.test", takes).await.unwrap();
        assert!(answered == *expected, "{kind}");
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_set_aside_and_the_rest_is_served() {
    let gateway = TestGateway::new().start().await;
    let nowhere = json!({ "cert": "{vault://env/no-cert}", "key": "{vault://env/no-key}", "snis": ["lost.test"] });
    let lost = gateway.admin.create("/certificates", nowhere).await;
    let (good, entity) = ecdsa(&["good.test"]);
    gateway.admin.create("/certificates", entity).await;
    assert!(shown(&gateway, "good.test").await == good);
    assert!(shown(&gateway, "lost.test").await == shown(&gateway, "unknown.test").await);
    let quarantined = gateway.admin.get("/").await.json()["sandgate"]["quarantined"].clone();
    assert_eq!((&quarantined[0]["collection"], &quarantined[0]["id"]), (&json!("certificates"), &lost["id"]));
    assert_eq!(
        quarantined[0]["reason"].as_str().map(|reason| reason.starts_with("its certificate cannot be read")),
        Some(true)
    );
}
