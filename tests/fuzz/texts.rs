//! Texts that clients and operators write.

use http::Uri;
use sandgate::{
    config::Listen,
    model::{
        VaultReference,
        declarative::{self, Syntax},
    },
    router::{Expression, NormalPath, Subsystem, escape_for_upstream},
};

use crate::harness::Target;

/// The longest text of an error: it is shown to whoever sent the input.
const LONGEST_ERROR: usize = 20_000;

#[test]
fn paths_have_one_normal_form() {
    let corpus = [
        "/",
        "/a/b",
        "/a/../b",
        "/./a//b/",
        "/%61/%2e%2E/b",
        "/%2f/%25/%2525",
        "/%zz",
        "/ä/%c3%a4",
        "/a;b=/,c?x=/..",
        "a",
    ];
    let check = |raw: &str| {
        let Ok(normal) = NormalPath::parse(raw) else { return };
        let path = normal.as_str();
        assert!(path.starts_with('/'));
        assert!(!path.split('/').any(|segment| segment == ".." || segment == "."), "{path}");
        assert!(!path.contains("//") && !path.bytes().any(|byte| byte < 0x20 || byte == 0x7f), "{path}");
        let again = NormalPath::parse(path).expect("what is normal can be read");
        assert_eq!(again.as_str(), path);
        let sent = escape_for_upstream(path);
        assert_eq!(NormalPath::parse(&sent).expect("what is sent can be read").as_str(), path);
        assert!(sent.parse::<Uri>().is_ok(), "{sent} can be sent");
    };
    Target { name: "paths_have_one_normal_form", runs: 50_000 }.feed(&corpus, |bytes| {
        // As the HTTP engine reads the bytes of a request line, and as text of any kind.
        if let Ok(uri) = Uri::try_from(bytes) {
            check(uri.path());
        }
        check(&String::from_utf8_lossy(bytes));
    });
}

#[test]
fn expressions_are_read_or_refused() {
    let corpus = [
        "http.path == \"/a\"",
        "http.path ~ r#\"^/a/(?<b>\\d+)$\"# && net.port == 80",
        "(http.host == \"a.test\" || tls.sni =^ \"b\") && !(http.method == \"GET\")",
        "http.headers.x_y == \"1\" && any(lower(http.queries.a)) contains \"b\"",
        "net.src.ip in 10.0.0.0/8 && net.dst.port != 1",
        "http.path.segments.0_1 == \"a/b\" && http.path.segments.len > 2",
    ];
    Target { name: "expressions_are_read_or_refused", runs: 10_000 }.feed_texts(&corpus, |text| {
        for subsystem in [Subsystem::Http, Subsystem::Stream] {
            if let Err(error) = Expression::parse(text, subsystem) {
                assert!(error.to_string().len() < LONGEST_ERROR);
            }
        }
    });
}

#[test]
fn declarative_texts_are_read_or_refused() {
    let corpus = [
        "_format_version: \"3.0\"\nservices:\n- name: a\n  url: http://a.test\n  routes: [{paths: [/a]}]\n",
        "{\"_format_version\":\"3.0\",\"consumers\":[{\"username\":\"a\",\"keyauth_credentials\":[{\"key\":\"k\"}]}]}",
        "a: &x [*x, 1]\nb: !!binary aGk=\nc: >\n  folded\n  text\n",
        "%YAML 1.2\n---\n? [a, b]\n: {c: 0x1F, d: .inf, e: ~}\n...\n",
        "[[[[[[{{{{{{\"a\":1e999}",
        "a: \"b\\0c\\x00\"\n",
    ];
    Target { name: "declarative_texts_are_read_or_refused", runs: 10_000 }.feed_texts(&corpus, |text| {
        for syntax in [Syntax::Json, Syntax::Yaml, Syntax::Either] {
            let Ok(value) = declarative::parse(text, syntax) else { continue };
            assert!(!value.to_string().replace("\\\\", "").contains("\\u0000"), "no database keeps a NUL");
        }
    });
}

#[test]
fn listen_addresses_are_read_and_written_alike() {
    let corpus = [
        "0.0.0.0:8000",
        "[::]:8443 ssl http2 reuseport backlog=16384",
        "unix:/run/sandgate.sock",
        "127.0.0.1:0 so_keepalive=30m::10 ipv6only=on deferred",
        "[::1]:80 ipv6only=off so_keepalive=on bind",
        "off",
    ];
    Target { name: "listen_addresses_are_read_and_written_alike", runs: 50_000 }.feed_texts(&corpus, |text| {
        let Ok(listen) = text.parse::<Listen>() else { return };
        let written = listen.to_string();
        assert_eq!(written.parse::<Listen>().ok(), Some(listen), "{written}");
    });
}

#[test]
fn references_to_secrets_are_read_or_refused() {
    let corpus = [
        "{vault://env/a}",
        "{vault://my-vault/a/b/c?prefix=x&y=%20#3}",
        "{vault://env/%41/}",
        "{vault://}",
        "{vault:///a}",
        "a {vault://env/a} b",
    ];
    Target { name: "references_to_secrets_are_read_or_refused", runs: 50_000 }.feed_texts(&corpus, |text| {
        if VaultReference::parse(text).is_ok() {
            assert!(VaultReference::is_meant(text), "what can be read is meant");
        }
    });
}
