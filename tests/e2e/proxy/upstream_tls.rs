//! What is shown to targets over TLS, and who may vouch for them.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for loopback, and the PEM of both.
fn issued(by: &Authority) -> (CertificateDer<'static>, PrivateKeyDer<'static>, Value) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, by).unwrap();
    let entity = json!({ "cert": certificate.pem(), "key": key.serialize_pem() });
    (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap(), entity)
}

async fn target(by: &Authority, clients: Option<&Authority>) -> TestTarget {
    let (certificate, key, _) = issued(by);
    TestTarget::echoing_as((vec![certificate], key), clients.map(|authority| authority.der().clone())).await
}

async fn gateway(target: &TestTarget, mut service: Value) -> Gateway {
    let gateway = TestGateway::new().start().await;
    service["name"] = "a".into();
    service["url"] = format!("https://{}", target.address).into();
    gateway.admin.create("/services", service).await;
    gateway.admin.create("/services/a/routes", json!({ "paths": ["/"] })).await;
    gateway
}

async fn status(gateway: &Gateway) -> u16 {
    gateway.applied().await;
    gateway.get("/").await.status
}

#[tokio::test]
async fn a_target_that_asks_for_a_certificate_gets_that_of_the_service() {
    let (ours, theirs) = (authority(), authority());
    let target = target(&ours, Some(&ours)).await;
    let gateway = gateway(&target, json!({})).await;
    assert_eq!(status(&gateway).await, 502, "no certificate");
    for (by, expected) in [(&theirs, 502), (&ours, 200), (&theirs, 502)] {
        let certificate = gateway.admin.create("/certificates", issued(by).2).await;
        let shown = json!({ "client_certificate": { "id": certificate["id"] } });
        gateway.admin.patch("/services/a", shown).await.expect(200);
        assert_eq!(status(&gateway).await, expected);
    }
}

#[tokio::test]
async fn a_target_is_believed_whom_an_authority_of_the_service_vouches_for() {
    let (ours, theirs) = (authority(), authority());
    let target = target(&ours, None).await;
    let gateway = gateway(&target, json!({ "tls_verify": true })).await;
    let trusted = gateway.admin.create("/ca_certificates", json!({ "cert": ours.pem() })).await;
    assert_eq!(status(&gateway).await, 502, "the system does not know it");
    gateway.admin.patch("/services/a", json!({ "ca_certificates": [trusted["id"]] })).await.expect(200);
    assert_eq!(status(&gateway).await, 200);
    let path = format!("/ca_certificates/{}", trusted["id"].as_str().unwrap());
    gateway.admin.patch(&path, json!({ "cert": theirs.pem() })).await.expect(200);
    assert_eq!(status(&gateway).await, 502, "another one, live");
    gateway.admin.patch(&path, json!({ "cert": ours.pem() })).await.expect(200);
    assert_eq!(status(&gateway).await, 200);
}

#[tokio::test]
async fn a_service_whose_certificate_cannot_be_read_is_not_served() {
    let target = target(&authority(), None).await;
    let gateway = gateway(&target, json!({})).await;
    let nowhere = json!({ "cert": "{vault://env/no-cert}", "key": "{vault://env/no-key}" });
    let lost = gateway.admin.create("/certificates", nowhere).await;
    gateway.admin.patch("/services/a", json!({ "client_certificate": { "id": lost["id"] } })).await.expect(200);
    assert_eq!(status(&gateway).await, 503);
    assert_eq!(target.count(), 0);
}

/// An authority that this one vouches for.
fn intermediate(name: &str, by: &Authority) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), by).unwrap()
}

#[tokio::test]
async fn no_chain_is_longer_than_the_depth_of_the_service() {
    let root = authority();
    let upper = intermediate("upper", &root);
    let lower = intermediate("lower", &upper);
    let (certificate, key, _) = issued(&lower);
    let chain = vec![certificate, lower.der().clone(), upper.der().clone()];
    let target = TestTarget::echoing_as((chain, key), None).await;
    let gateway = gateway(&target, json!({ "tls_verify": true })).await;
    let trusted = gateway.admin.create("/ca_certificates", json!({ "cert": root.pem() })).await;
    gateway.admin.patch("/services/a", json!({ "ca_certificates": [trusted["id"]] })).await.expect(200);
    assert_eq!(status(&gateway).await, 502, "nginx goes no further than one");
    for (depth, expected) in [(2, 200), (1, 502), (9, 200), (0, 502)] {
        gateway.admin.patch("/services/a", json!({ "tls_verify_depth": depth })).await.expect(200);
        assert_eq!(status(&gateway).await, expected, "depth {depth}");
    }
}
