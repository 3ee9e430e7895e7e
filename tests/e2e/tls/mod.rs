//! TLS with clients, as OpenSSL's client and others see it.

mod clients;
mod files;
mod matrix;
mod sessions;
mod stapling;

use serde_json::{Value, json};

use crate::harness::{Gateway, s_client};

/// What the Admin API takes as a certificate with these names; with an RSA key beside it where one is wanted.
fn pair(name: &str, snis: &[&str]) -> Value {
    let made = |key: &rcgen::KeyPair| {
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        (params.self_signed(key).unwrap().pem(), key.serialize_pem())
    };
    let (cert, key) = made(&rcgen::KeyPair::generate().unwrap());
    let rsa = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let (cert_alt, key_alt) = made(&rsa);
    json!({ "cert": cert, "key": key, "cert_alt": cert_alt, "key_alt": key_alt, "snis": snis })
}

/// Whether the request of a client with these arguments is answered.
async fn is_answered(gateway: &Gateway, arguments: &[&str]) -> bool {
    let arguments = [&["-ign_eof"], arguments].concat();
    s_client(gateway.proxy_tls(), &arguments).await.is_answered()
}
