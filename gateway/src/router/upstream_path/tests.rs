use super::*;
use crate::router::NormalPath;

/// What the prefix column of the table means for one row.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Strip {
    Yes,
    No,
    Any,
}

/// `[service path, route path ("" for none), request path, v0, v1]`
type Row = (Strip, [&'static str; 5]);

const TABLE: &[Row] = &[
    (Strip::Any, ["/", "/", "/route/req", "/route/req", "/route/req"]),
    (Strip::Any, ["/", "/", "/", "/", "/"]),
    (Strip::No, ["/", "/route", "/routereq", "/routereq", "/routereq"]),
    (Strip::Yes, ["/", "/route", "/route", "/", "/"]),
    (Strip::Yes, ["/", "/route", "/route/", "/", "/"]),
    (Strip::Yes, ["/", "/route", "/routereq", "/req", "/req"]),
    (Strip::Yes, ["/", "/route/", "/route/", "/", "/"]),
    (Strip::Yes, ["/", "/route/", "/route/req", "/req", "/req"]),
    (Strip::No, ["/srv", "/rou", "/roureq", "/srv/roureq", "/srvroureq"]),
    (Strip::Yes, ["/srv", "/rou", "/roureq", "/srv/req", "/srvreq"]),
    (Strip::No, ["/srv/", "/rou", "/rou", "/srv/rou", "/srv/rou"]),
    (Strip::Yes, ["/srv/", "/rou", "/rou", "/srv", "/srv/"]),
    (Strip::Any, ["/service", "/", "/", "/service", "/service"]),
    (Strip::Any, ["/service", "/", "/route/", "/service/route/", "/serviceroute/"]),
    (Strip::No, ["/service", "/route", "/route", "/service/route", "/serviceroute"]),
    (Strip::No, ["/service", "/route", "/route/", "/service/route/", "/serviceroute/"]),
    (Strip::Yes, ["/service", "/route", "/route", "/service", "/service"]),
    (Strip::Yes, ["/service", "/route", "/route/", "/service/", "/service/"]),
    (Strip::Yes, ["/service", "/route", "/route/x", "/service/x", "/service/x"]),
    (Strip::Yes, ["/service", "/route", "/routereq", "/service/req", "/servicereq"]),
    (Strip::Yes, ["/service", "/route/", "/route/", "/service/", "/service"]),
    (Strip::Yes, ["/service", "/route/", "/route/req", "/service/req", "/servicereq"]),
    (Strip::Any, ["/service/", "/", "/", "/service/", "/service/"]),
    (Strip::Any, ["/service/", "/", "/route", "/service/route", "/service/route"]),
    (Strip::Yes, ["/service/", "/route", "/route", "/service", "/service/"]),
    (Strip::Yes, ["/service/", "/route", "/route/", "/service/", "/service/"]),
    (Strip::Yes, ["/service/", "/route", "/routereq", "/service/req", "/service/req"]),
    (Strip::Yes, ["/service/", "/route/", "/route/", "/service/", "/service/"]),
    (Strip::Yes, ["/service/", "/route/", "/route/req", "/service/req", "/service/req"]),
    (Strip::Any, ["/service", "", "/", "/service", "/service"]),
    (Strip::Any, ["/service", "", "/route", "/service/route", "/serviceroute"]),
    (Strip::Any, ["/service/", "", "/", "/service/", "/service/"]),
    (Strip::Yes, ["/service", "/route", "/route./req", "/service/req", "/servicereq"]),
    (Strip::Yes, ["/service", "/route", "/route%2E/req", "/service/req", "/servicereq"]),
    (Strip::Yes, ["/service", "/route", "/route../req", "/service/req", "/servicereq"]),
    (Strip::Yes, ["/service", "/route", "/route%2e%2E/req", "/service/req", "/servicereq"]),
    (Strip::Yes, ["/service", "/route", "/route..", "/service", "/service"]),
    (Strip::No, ["/service", "/route", "/route./req", "/service/route./req", "/serviceroute./req"]),
    (Strip::No, ["/service", "/route", "/route%2E/req", "/service/route./req", "/serviceroute./req"]),
    (Strip::No, ["/service", "/route", "/route../req", "/service/route../req", "/serviceroute../req"]),
    (Strip::No, ["/service", "/route", "/route%2E%2E/req", "/service/route../req", "/serviceroute../req"]),
];

#[test]
fn service_and_request_paths_join_as_in_the_table() {
    for (strip, row @ [service, route, request, v0, v1]) in TABLE {
        let path = NormalPath::parse(request).unwrap();
        let matched = Some(*route).filter(|route| !route.is_empty());
        for stripped in [matched, None] {
            let covered = *strip == Strip::Any || (*strip == Strip::Yes) == stripped.is_some();
            if covered {
                let join = |handling| upstream_path(Some(service), path.as_str(), stripped, handling);
                assert_eq!(join(PathHandling::V0), *v0, "v0 {stripped:?} {row:?}");
                assert_eq!(join(PathHandling::V1), *v1, "v1 {stripped:?} {row:?}");
            }
        }
    }
}

#[test]
fn no_service_path_is_the_root() {
    for handling in [PathHandling::V0, PathHandling::V1] {
        for stripped in [None, Some("/r"), Some("/r/"), Some("/")] {
            let without = upstream_path(None, "/r/x", stripped, handling);
            assert_eq!(without, upstream_path(Some("/"), "/r/x", stripped, handling));
        }
    }
}

#[test]
fn the_usual_joins_copy_nothing() {
    for stripped in [None, Some("/r"), Some("/r/"), Some("/")] {
        let joined = upstream_path(None, "/r/x", stripped, PathHandling::V0);
        assert!(matches!(joined, Cow::Borrowed(_)), "{stripped:?}");
    }
}
