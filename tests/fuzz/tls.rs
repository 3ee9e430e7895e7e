//! Certificates and keys: of operators as PEM, of clients as DER.

use std::{sync::LazyLock, time::Duration};

use sandgate::tls::{ClientIdentity, Question, Suites, Versions, certified_key};

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

/// A certificate that names a responder, with itself as its issuer.
static ASKED: LazyLock<Question> = LazyLock::new(|| {
    let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
    params.serial_number = Some(vec![1, 2, 3].into());
    let access = b"\x30\x1c\x30\x1a\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01\x86\x0ehttp://a.test/";
    params.custom_extensions =
        vec![rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access.to_vec())];
    let made = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    Question::about(made.der(), made.der()).unwrap()
});

/// An answer in the form of RFC 6960 about this certificate, with a signature of nobody.
fn unsigned(question: &Question) -> Vec<u8> {
    let element = |tag: u8, content: Vec<u8>| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [vec![tag, 0x82, length[0], length[1]], content].concat()
    };
    // The question is four sequences around the name of the certificate, each with a length of one byte.
    let id = question.request()[8..].to_vec();
    let time = || b"\x18\x0f20261126021500Z".to_vec();
    let single = element(0x30, [id, vec![0x80, 0], time()].concat());
    let data = element(0x30, [vec![0xa2, 2, 4, 0], time(), element(0x30, single)].concat());
    let algorithm = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02".to_vec();
    let basic = element(0x30, [data, algorithm, vec![3, 3, 0, 1, 2]].concat());
    let kind = b"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01".to_vec();
    let typed = element(0x30, [kind, element(4, basic)].concat());
    element(0x30, [vec![10, 1, 0], element(0xa0, typed)].concat())
}

#[test]
fn no_made_up_answer_about_a_certificate_is_believed() {
    let now = Duration::from_secs(1_795_659_400);
    let answer = unsigned(&ASKED);
    assert_eq!(ASKED.check(&answer, now), Err(sandgate::tls::OcspError::Signature), "all but the signature is right");
    let corpus = [&*answer, b"\x30\x03\x0a\x01\x06", &MADE.der];
    Target { name: "no_made_up_answer_about_a_certificate_is_believed", runs: 50_000 }.feed_bytes(&corpus, |bytes| {
        assert!(ASKED.check(bytes, now).is_err());
    });
}
