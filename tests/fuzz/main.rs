//! Bytes of any kind into whatever reads what strangers write. Each target runs a short fixed number of inputs in every test
//! run, made from a seed out of the inputs below; `SANDGATE_FUZZ_RUNS` and `SANDGATE_FUZZ_SEED` ask for more and others. A
//! failure names the seed, the run and the input.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use sandgate::{
    config::Listen,
    listener::proxy_protocol::{self, Header, Progress, Version},
    model::{
        VaultReference,
        declarative::{self, Syntax},
    },
    router::{Expression, NormalPath, Subsystem, escape_for_upstream},
    stream::hello,
};

/// Inputs of one target, unless `SANDGATE_FUZZ_RUNS` says otherwise.
const RUNS: u64 = 20_000;
const SEED: u64 = 20_261_125;
/// The longest input, in bytes.
const LONGEST: usize = 2_000;
/// The longest text of an error: it is shown to whoever sent the input.
const LONGEST_ERROR: usize = 20_000;

/// Vigna's splitmix64: the same numbers at each run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or_default()
    }
}

/// An input of the corpus, cut, joined with another, doubled, or with bytes changed.
fn made(numbers: &mut Numbers, corpus: &[&[u8]]) -> Vec<u8> {
    let mut input = corpus[numbers.below(corpus.len())].to_vec();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(input.len() + 1);
        match numbers.below(6) {
            0 => input.truncate(at),
            1 => {
                let other = corpus[numbers.below(corpus.len())];
                let from = numbers.below(other.len() + 1);
                input.splice(at..at, other[from..].iter().copied());
            }
            2 => input.insert(at, numbers.next().to_le_bytes()[0]),
            3 => input.insert(at, b"/%.\0\r\n{}[]\"'\\*~&|=:?#;,-0"[numbers.below(25)]),
            4 if at < input.len() => drop(input.remove(at)),
            _ => {
                let part = input[at..].to_vec();
                input.extend(part.repeat(1 + numbers.below(3)));
            }
        }
        input.truncate(LONGEST);
    }
    input
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Feeds one target. Input that is no UTF-8 is read as servers do before these readers see it: not at all.
fn feed(corpus: &[&str], target: impl Fn(&str)) {
    let corpus: Vec<&[u8]> = corpus.iter().map(|text| text.as_bytes()).collect();
    feed_bytes(&corpus, |input| target(&String::from_utf8_lossy(input)));
}

/// Feeds one target that reads bytes.
fn feed_bytes(corpus: &[&[u8]], target: impl Fn(&[u8])) {
    let seed = setting("SANDGATE_FUZZ_SEED", SEED);
    let mut numbers = Numbers(seed);
    for run in 0..setting("SANDGATE_FUZZ_RUNS", RUNS) {
        let input = made(&mut numbers, corpus);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            eprintln!("seed {seed}, run {run}: {:?} = {input:?}", String::from_utf8_lossy(&input));
            resume_unwind(panic);
        }
    }
}

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
    feed(&corpus, |raw| {
        let Ok(normal) = NormalPath::parse(raw) else { return };
        let path = normal.as_str();
        assert!(path.starts_with('/'));
        assert!(!path.split('/').any(|segment| segment == ".." || segment == "."), "{path}");
        assert!(!path.contains("//") && !path.bytes().any(|byte| byte < 0x20 || byte == 0x7f), "{path}");
        let again = NormalPath::parse(path).expect("what is normal can be read");
        assert_eq!(again.as_str(), path);
        let sent = escape_for_upstream(path);
        assert_eq!(NormalPath::parse(&sent).expect("what is sent can be read").as_str(), path);
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
    feed(&corpus, |text| {
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
    ];
    feed(&corpus, |text| {
        for syntax in [Syntax::Json, Syntax::Yaml, Syntax::Either] {
            let _ = declarative::parse(text, syntax);
        }
    });
}

#[test]
fn listen_addresses_are_read_or_refused() {
    let corpus = [
        "0.0.0.0:8000",
        "[::]:8443 ssl http2 reuseport backlog=16384",
        "unix:/run/sandgate.sock",
        "127.0.0.1:0 so_keepalive=30m::10 ipv6only=on deferred",
        "off",
    ];
    feed(&corpus, |text| {
        let _ = text.parse::<Listen>();
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
    feed(&corpus, |text| {
        if VaultReference::parse(text).is_ok() {
            assert!(VaultReference::is_meant(text), "what can be read is meant");
        }
    });
}

#[test]
fn proxy_headers_are_read_or_refused() {
    let corpus: [&[u8]; 7] = [
        b"PROXY TCP4 192.0.2.1 192.0.2.9 4711 443\r\n",
        b"PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 1 65535\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x09\x12\x67\x01\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x2700000000000000001111111111111111\0\x01\0\x02\x04\0\0",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    feed_bytes(&corpus, |input| {
        let read = proxy_protocol::read(input);
        if let Ok(Progress::More(missing)) = read {
            assert!((1..=4096).contains(&missing) && input.len() < 4096, "a header has an end");
        }
        if let Ok(Progress::Done(Header::Passed(passed))) = read {
            for version in [Version::V1, Version::V2] {
                let again = proxy_protocol::read(&passed.write(version));
                let Ok(Progress::Done(Header::Passed(again))) = again else { panic!("{passed:?}: {again:?}") };
                assert_eq!(again.source.ip().to_canonical(), passed.source.ip().to_canonical());
                assert_eq!(again.destination.port(), passed.destination.port());
            }
        }
        if read.is_ok() {
            (0..input.len())
                .for_each(|end| assert!(matches!(proxy_protocol::read(&input[..end]), Ok(Progress::More(_)))));
        }
    });
}

/// A ClientHello that asks for `a.test`, in one record.
const HELLO: &[u8] = b"\x16\x03\x01\0\x40\x01\0\0\x3c\x03\x03\
    rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr\x02ss\0\x02\x13\x01\x01\0\0\x0f\0\0\0\x0b\0\x09\0\0\x06a.test";

#[test]
fn client_hellos_are_read_or_refused() {
    let expected = hello::Hello { server_name: Some("a.test".to_owned()) };
    assert_eq!(hello::read(HELLO), Ok(hello::Progress::Done(expected)), "the corpus has a sound one");
    let corpus: [&[u8]; 5] = [
        HELLO,
        b"\x16\x03\x01\0\x04\x01\0\0\x3c\x16\x03\x01\0\x01\x03",
        b"\x16\x03\x03\x40\0\x01\0\x3f\xfc\x03\x03",
        b"\x15\x03\x01\0\x02\x02\x28",
        b"GET / HTTP/1.1\r\n",
    ];
    feed_bytes(&corpus, |input| match hello::read(input) {
        Ok(hello::Progress::More(missing)) => assert!((1..=16 << 10).contains(&missing)),
        Ok(hello::Progress::Done(hello)) => {
            let name = hello.server_name.unwrap_or_default();
            assert!(name.len() <= 255 && name.is_ascii() && name == name.to_ascii_lowercase(), "{name}");
            // What follows the message changes nothing.
            let Ok(hello::Progress::Done(again)) = hello::read(&[input, b"more"].concat()) else { panic!("{name}") };
            assert_eq!(again.server_name.unwrap_or_default(), name);
        }
        Err(_) => {}
    });
}
