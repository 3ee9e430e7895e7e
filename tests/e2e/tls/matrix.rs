//! What is spoken and what is not: versions, cipher suites, kinds of keys, names, protocols behind TLS.

use std::sync::Arc;

use rustls::{
    ClientConfig, NamedGroup, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{is_answered, pair};
use crate::harness::{TestGateway, s_client, s_client_says};

const OLD: &str = "DEFAULT:@SECLEVEL=0";
const NEW_SUITES: [&str; 3] = ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"];
const KEYS: [(&str, &str); 2] = [("ECDSA", "ECDSA+SHA256"), ("RSA", "RSA+SHA256:RSA-PSS+SHA256")];

#[tokio::test]
async fn each_version_suite_and_kind_of_key_is_spoken() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/certificates", pair("a.test", &["a.test"])).await;
    gateway.applied().await;
    let named = ["-ign_eof", "-servername", "a.test"];
    for (kind, algorithms) in KEYS {
        for suite in NEW_SUITES {
            let wanted = ["-tls1_3", "-ciphersuites", suite, "-sigalgs", algorithms];
            let said = s_client(gateway.proxy_tls(), &[&named[..], &wanted].concat()).await;
            said.expect(&[&format!("New, TLSv1.3, Cipher is {suite}"), "HTTP/1.1 404", kind, "CN = a.test"]);
        }
        for cipher in ["AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305"] {
            let suite = format!("ECDHE-{kind}-{cipher}");
            let wanted = ["-tls1_2", "-cipher", &suite];
            let said = s_client(gateway.proxy_tls(), &[&named[..], &wanted].concat()).await;
            said.expect(&[&format!("New, TLSv1.2, Cipher is {suite}"), "HTTP/1.1 404", kind, "CN = a.test"]);
        }
    }
}

#[tokio::test]
async fn nothing_old_is_spoken() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/certificates", pair("a.test", &["*"])).await;
    gateway.applied().await;
    assert!(is_answered(&gateway, &["-tls1_2", "-cipher", OLD]).await, "the client can speak");
    let refused: [&[&str]; 8] = [
        &["-tls1", "-cipher", OLD],
        &["-tls1_1", "-cipher", OLD],
        &["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA"],
        &["-tls1_2", "-cipher", "ECDHE-RSA-AES256-SHA384"],
        &["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"],
        &["-tls1_2", "-cipher", "ADH-AES128-GCM-SHA256:@SECLEVEL=0"],
    ];
    for arguments in refused {
        assert!(!is_answered(&gateway, arguments).await, "{arguments:?}");
    }
}

/// The client of today cannot say it any more.
#[tokio::test]
async fn ssl_3_is_answered_with_an_alert() {
    let gateway = TestGateway::new().start().await;
    let mut hello = vec![3, 0];
    hello.extend([7; 32]);
    // No session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
    hello.extend([0, 0, 2, 0, 47, 1, 0]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 0, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    let mut stream = TcpStream::connect(gateway.proxy_tls()).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!((answer.first(), answer.len()), (Some(&21), 7), "one alert: {answer:?}");
}

#[tokio::test]
async fn the_certificate_follows_the_name_that_is_asked_for() {
    let gateway = TestGateway::new().start().await;
    gateway.admin.create("/certificates", pair("exact.test", &["exact.test"])).await;
    gateway.admin.create("/certificates", pair("wide.test", &["*.wide.test"])).await;
    gateway.applied().await;
    let cases: [(&[&str], &str); 6] = [
        (&["-servername", "exact.test"], "exact.test"),
        (&["-servername", "EXACT.test"], "exact.test"),
        (&["-servername", "one.wide.test"], "wide.test"),
        (&["-servername", "unknown.test"], "localhost"),
        (&["-servername", "127.0.0.1"], "localhost"),
        (&["-noservername"], "localhost"),
    ];
    for (arguments, expected) in cases {
        let said = s_client(gateway.proxy_tls(), &[&["-ign_eof"], arguments].concat()).await;
        said.expect(&[&format!("subject=CN = {expected}"), "HTTP/1.1 404"]);
    }
    let metrics = gateway.process.at.status;
    let text = crate::harness::Call::new(metrics, "GET /metrics").send().await.text();
    assert!(text.contains("sandgate_tls_nameless_handshakes_total 2\n"), "{text}");
    assert!(!gateway.process.log.all().contains("SNI"), "what clients can repeat is not logged");
}

#[tokio::test]
async fn the_protocol_behind_tls_is_agreed_on() {
    let gateway = TestGateway::new().start().await;
    for version in ["-tls1_2", "-tls1_3"] {
        let with = |protocols: &'static str| [version, "-alpn", protocols];
        s_client_says(gateway.proxy_tls(), &with("h2,http/1.1"), "Q\n").await.expect(&["ALPN protocol: h2"]);
        let said = s_client(gateway.proxy_tls(), &[&["-ign_eof"][..], &with("http/1.1")].concat()).await;
        said.expect(&["ALPN protocol: http/1.1", "HTTP/1.1 404"]);
        let said = s_client(gateway.proxy_tls(), &["-ign_eof", version]).await;
        said.expect(&["No ALPN negotiated", "HTTP/1.1 404"]);
        assert!(!is_answered(&gateway, &with("spdy/3")).await, "nothing in common (RFC 7301 §3.2)");
    }
}

#[tokio::test]
async fn nothing_is_compressed_and_nothing_renegotiated() {
    let gateway = TestGateway::new().start().await;
    let said = s_client(gateway.proxy_tls(), &["-ign_eof", "-tls1_2", "-comp"]).await;
    said.expect(&["Compression: NONE", "Secure Renegotiation IS supported", "HTTP/1.1 404"]);
    let said = s_client_says(gateway.proxy_tls(), &["-tls1_2"], "R\n").await;
    said.expect(&["RENEGOTIATING", "no renegotiation"]);
}

/// OpenSSL has the hybrid from 3.5 on.
#[tokio::test]
async fn keys_are_exchanged_so_that_a_quantum_computer_is_of_no_use() {
    let gateway = TestGateway::new().start().await;
    let authority = crate::harness::Authority::new();
    let mut site = authority.vouch("a");
    site.chain.push_str(&authority.pem);
    let entity = serde_json::json!({ "cert": site.chain, "key": site.key, "snis": ["a.test"] });
    gateway.admin.create("/certificates", entity).await;
    gateway.applied().await;
    let group = |groups: &[NamedGroup]| {
        let whole = aws_lc_rs::default_provider();
        let chosen = groups.iter().map(|group| *whole.kx_groups.iter().find(|known| known.name() == *group).unwrap());
        let provider = CryptoProvider { kx_groups: chosen.collect(), ..whole };
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        let address = gateway.proxy_tls();
        async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("a.test").unwrap();
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
            stream.get_ref().1.negotiated_key_exchange_group().unwrap().name()
        }
    };
    let (hybrid, classic) = (NamedGroup::X25519MLKEM768, NamedGroup::X25519);
    assert_eq!(group(&[hybrid, classic]).await, hybrid);
    assert_eq!(group(&[classic, hybrid]).await, classic, "the client's order counts");
    assert_eq!(group(&[classic]).await, classic);
    assert_eq!(group(&[NamedGroup::secp384r1]).await, NamedGroup::secp384r1);
}

#[tokio::test]
async fn the_settings_say_what_is_spoken() {
    let modern = TestGateway::new().setting("SANDGATE_SSL_CIPHER_SUITE", "modern").start().await;
    assert!(is_answered(&modern, &["-tls1_3"]).await);
    assert!(!is_answered(&modern, &["-tls1_2"]).await);
    let old = TestGateway::new().setting("SANDGATE_SSL_PROTOCOLS", "TLSv1.2").start().await;
    assert!(is_answered(&old, &["-tls1_2"]).await);
    assert!(!is_answered(&old, &["-tls1_3"]).await);
    let custom = TestGateway::new().setting("SANDGATE_SSL_CIPHER_SUITE", "custom");
    let ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-GCM-SHA256";
    let custom = custom.setting("SANDGATE_SSL_CIPHERS", ciphers).start().await;
    let both = ["-ign_eof", "-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"];
    let said = s_client(custom.proxy_tls(), &both).await;
    said.expect(&["Cipher is ECDHE-ECDSA-CHACHA20-POLY1305", "HTTP/1.1 404"]);
    assert!(!is_answered(&custom, &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"]).await);
}
