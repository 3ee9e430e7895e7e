//! Certificates and keys: of operators as PEM, of clients as DER.

use std::sync::LazyLock;

use sandgate::tls::{ClientIdentity, Suites, Versions, certified_key};

use crate::harness::Target;

/// A certificate with its key, as PEM and DER.
struct Made {
    chain: String,
    key: String,
    der: Vec<u8>,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let names = ["a.test".to_owned(), "192.0.2.1".to_owned(), "2001:db8::1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    Made { chain: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().to_vec() }
});

#[test]
fn certificates_and_keys_are_read_or_refused() {
    let Made { chain, key, .. } = &*MADE;
    let corpus = [
        &**chain,
        &**key,
        "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        "-----BEGIN RSA PRIVATE KEY-----\nMAA=\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nMAMCAQE=\n-----END EC PRIVATE KEY-----\n",
    ];
    assert!(certified_key(chain, key).is_ok(), "what was not changed is read");
    Target { name: "certificates_and_keys_are_read_or_refused", runs: 5_000 }.feed_texts(&corpus, |text| {
        for (chain, key) in [(text, &**key), (&**chain, text), (text, text)] {
            if let Ok(certified) = certified_key(chain, key) {
                assert!(!certified.cert.is_empty());
                assert!(certified.keys_match().is_ok() || chain != MADE.chain, "a key of another certificate");
            }
        }
    });
}

#[test]
fn certificates_of_clients_are_read_or_refused() {
    let der = MADE.der.as_slice();
    assert!(ClientIdentity::read(der).is_some_and(|owner| owner.names == ["a.test", "192.0.2.1", "2001:db8::1"]));
    Target { name: "certificates_of_clients_are_read_or_refused", runs: 20_000 }.feed_bytes(&[der], |bytes| {
        let Some(owner) = ClientIdentity::read(bytes) else { return };
        assert_eq!(owner.fingerprint.len(), 64);
        assert!(owner.subject.len() + owner.names.iter().map(String::len).sum::<usize>() <= 8 * bytes.len() + 1024);
    });
}

#[test]
fn versions_and_suites_are_read_or_refused() {
    let corpus =
        ["TLSv1.2 TLSv1.3", "TLSv1.1,SSLv3", "ECDHE-RSA-AES128-GCM-SHA256:TLS_AES_128_GCM_SHA256", "HIGH:!aNULL"];
    Target { name: "versions_and_suites_are_read_or_refused", runs: 20_000 }.feed_texts(&corpus, |text| {
        if let Err(error) = text.parse::<Versions>() {
            assert!(error.to_string().len() < text.len() + 1_000);
        }
        if let Err(error) = text.parse::<Suites>() {
            assert!(error.to_string().len() < text.len() + 1_000);
        }
    });
}
