use super::{Besieged, is_clear_refusal};
use crate::harness::exchange;

/// A request target as it goes over the wire, and the status that it gets.
fn targets() -> Vec<(&'static str, String, u16)> {
    vec![
        ("two slashes", "//services".into(), 404),
        ("two slashes within", "/services//a".into(), 404),
        ("two slashes at the end", "/services//".into(), 404),
        ("dots", "/services/../consumers".into(), 404),
        ("dots to a name", "/consumers/../services/a".into(), 404),
        ("encoded dots", "/services/%2e%2e/consumers".into(), 404),
        ("dots in one segment", "/services/..%2Fa".into(), 404),
        ("an encoded slash", "/services%2Fa".into(), 404),
        ("an encoded question mark", "/services%3Fsize=1".into(), 404),
        ("a NUL", "/services/%00".into(), 400),
        ("a NUL at the end of a name", "/services/a%00".into(), 400),
        ("not UTF-8", "/services/%ff".into(), 400),
        ("half a character", "/services/%c3".into(), 400),
        ("an overlong slash", "/services/%c0%af".into(), 400),
        ("a tag that is not UTF-8", "/tags/%ff".into(), 400),
        ("a broken escape", "/services/%zz".into(), 404),
        ("an escape cut short", "/services/%".into(), 404),
        ("a backslash", "/services\\a".into(), 404),
        ("a semicolon", "/services;x=1/a".into(), 404),
        ("other case", "/SERVICES/a".into(), 404),
        ("a very long name", format!("/services/{}", "a".repeat(60_000)), 404),
        ("a very long tag", format!("/tags/{}", "a".repeat(60_000)), 200),
        ("a path without end", format!("/services/{}", "a".repeat(200_000)), 414),
        ("very many segments", "/a".repeat(30_000), 404),
        ("no UUID where one is needed", "/acls/nobody".into(), 400),
        ("nearly a UUID", "/acls/00000000-0000-4000-8000-00000000000g".into(), 400),
        ("a UUID in braces", "/acls/%7B00000000-0000-4000-8000-000000000000%7D".into(), 400),
        ("a query that is not UTF-8", "/services?tags=%ff".into(), 400),
        ("a NUL in a query", "/services?tags=a%00b".into(), 400),
        ("a NUL in a custom id", "/consumers?custom_id=%00".into(), 400),
        ("no number of entities", "/services?size=1e400".into(), 400),
        ("less than none", "/services?size=-1".into(), 400),
        ("a number that is none", "/services?size=NaN".into(), 400),
        ("an offset of zeros", "/services?offset=%00".into(), 400),
        ("an offset that is no list", "/services?offset=e30".into(), 400),
        ("an offset beyond all", "/upstreams/a/targets?offset=WzE4NDQ2NzQ0MDczNzA5NTUxNjE1XQ".into(), 200),
        ("an offset of another kind", "/services?offset=W3sieCI6MX1d".into(), 200),
        ("an offset of tags to nowhere", "/tags?offset=WyJub3doZXJlIixudWxsLDE4NDQ2NzQ0MDczNzA5NTUxNjE1XQ".into(), 200),
        ("six tags", "/services?tags=a,b,c,d,e,f".into(), 400),
        ("tags of both kinds", "/services?tags=a,b/c".into(), 400),
        ("only commas", "/services?tags=,,,".into(), 400),
        ("a unit of SQL", "/status?unit=m;DROP".into(), 400),
        ("digits without end", "/status?scale=99999999999".into(), 200),
        ("a whole URL", "http://127.0.0.1:1/services/nobody".into(), 404),
    ]
}

#[tokio::test]
async fn a_path_means_one_thing_or_nothing() {
    for mut besieged in Besieged::both().await {
        for (label, target, status) in targets() {
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = exchange(besieged.gateway.admin.address, request.as_bytes()).await;
            let line = answer.lines().next().unwrap_or_default();
            assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{label}: {line:?}");
            let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            // What is too long for a URI is refused below the Admin API, without a body.
            assert!(matches!(status, 200 | 414) || is_clear_refusal(status, body), "{label}: {body}");
        }
        besieged.is_unharmed("paths").await;
    }
}

#[tokio::test]
async fn no_path_is_read_otherwise_by_a_write() {
    for mut besieged in Besieged::both().await {
        let json = "Host: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"host\":\"b\"}";
        for line in [
            "DELETE /services/../services/a",
            "DELETE /services/%00a",
            "DELETE /services//a",
            "DELETE /consumers/a%ff",
            "PUT /services/%ff",
            "PUT /services/%00",
            "PATCH /services/a%00",
            "PUT /services/a%2Fb",
            "PUT /services/a%0a",
            "PUT /schemas/services",
            "TRACE /services/a",
            "CONNECT /services/a",
            "PROPFIND /services",
        ] {
            let answer =
                exchange(besieged.gateway.admin.address, format!("{line} HTTP/1.1\r\n{json}").as_bytes()).await;
            let status: u16 = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
            assert!((400..500).contains(&status), "{line}: {answer}");
        }
        besieged.is_unharmed("paths of writes").await;
    }
}
