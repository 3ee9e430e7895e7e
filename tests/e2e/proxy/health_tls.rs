//! Active checks over TLS: what they show, and whom they believe.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::harness::{Gateway, TestGateway, TestTarget};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate with its key, and the PEM of both.
fn issued(by: &Authority) -> ((Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Value) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, by).unwrap();
    let entity = json!({ "cert": certificate.pem(), "key": key.serialize_pem() });
    ((vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap()), entity)
}

/// Before a target that is checked often, and whose certificate is not looked at.
async fn gateway(target: &TestTarget, kind: &str) -> Gateway {
    let gateway = TestGateway::new().start().await;
    let upstream = json!({ "name": "u", "healthchecks": { "active": {
        "type": kind, "timeout": 30, "https_verify_certificate": false,
        "healthy": { "interval": 0.05, "successes": 1 },
        "unhealthy": { "interval": 0.05, "http_failures": 1, "tcp_failures": 1 },
    } } });
    gateway.admin.create("/upstreams", upstream).await;
    gateway.admin.create("/upstreams/u/targets", json!({ "target": target.address.to_string() })).await;
    gateway
}

async fn becomes(gateway: &Gateway, state: &str) {
    let shown = async || gateway.admin.get("/upstreams/u/health").await.expect(200).json();
    gateway.until(async || shown().await["data"][0]["health"] == state).await;
}

/// Shows certificates of the upstream that the target believes or not, and changes one in place.
async fn shows(gateway: &Gateway, (ours, theirs): (&Authority, &Authority)) {
    becomes(gateway, "UNHEALTHY").await;
    let good = gateway.admin.create("/certificates", issued(ours).1).await;
    let shown = json!({ "client_certificate": { "id": good["id"] } });
    gateway.admin.patch("/upstreams/u", shown).await.expect(200);
    becomes(gateway, "HEALTHY").await;
    let path = format!("/certificates/{}", good["id"].as_str().unwrap());
    gateway.admin.patch(&path, issued(theirs).1).await.expect(200);
    becomes(gateway, "UNHEALTHY").await;
    gateway.admin.patch(&path, issued(ours).1).await.expect(200);
    becomes(gateway, "HEALTHY").await;
    gateway.admin.patch("/upstreams/u", json!({ "client_certificate": null })).await.expect(200);
    becomes(gateway, "UNHEALTHY").await;
}

#[tokio::test]
async fn checks_over_https_show_the_certificate_of_the_upstream() {
    let (ours, theirs) = (authority(), authority());
    let target = TestTarget::echoing_as(issued(&ours).0, Some(ours.der().clone())).await;
    let gateway = gateway(&target, "https").await;
    shows(&gateway, (&ours, &theirs)).await;
}

#[tokio::test]
async fn checks_over_grpcs_show_the_certificate_of_the_upstream() {
    let (ours, theirs) = (authority(), authority());
    let serving = Arc::new(AtomicBool::new(true));
    let target = TestTarget::grpc_health_as(serving, issued(&ours).0, Some(ours.der().clone())).await;
    let gateway = gateway(&target, "grpcs").await;
    shows(&gateway, (&ours, &theirs)).await;
}

#[tokio::test]
async fn checks_over_grpcs_heed_what_the_target_says_and_verify_it_where_they_should() {
    let serving = Arc::new(AtomicBool::new(false));
    let target = TestTarget::grpc_health_as(serving.clone(), issued(&authority()).0, None).await;
    let gateway = gateway(&target, "grpcs").await;
    for (is_serving, state) in [(false, "UNHEALTHY"), (true, "HEALTHY"), (false, "UNHEALTHY"), (true, "HEALTHY")] {
        serving.store(is_serving, Relaxed);
        becomes(&gateway, state).await;
    }
    let verify = |wanted: bool| json!({ "healthchecks": { "active": { "https_verify_certificate": wanted } } });
    for (wanted, state) in [(true, "UNHEALTHY"), (false, "HEALTHY")] {
        gateway.admin.patch("/upstreams/u", verify(wanted)).await.expect(200);
        becomes(&gateway, state).await;
    }
}

#[tokio::test]
async fn checks_whose_certificate_cannot_be_read_fail() {
    let target = TestTarget::echoing_as(issued(&authority()).0, None).await;
    let gateway = gateway(&target, "https").await;
    gateway.until(async || target.count() > 0).await;
    let nowhere = json!({ "cert": "{vault://env/no-cert}", "key": "{vault://env/no-key}" });
    let lost = gateway.admin.create("/certificates", nowhere).await;
    gateway.admin.patch("/upstreams/u", json!({ "client_certificate": { "id": lost["id"] } })).await.expect(200);
    becomes(&gateway, "UNHEALTHY").await;
}
