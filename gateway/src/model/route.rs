//! `routes`: which requests go to a service. What a route may say depends on the first of its protocols.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Collection, OnDelete,
    schema::{Check, Conditional, Field, Pattern, Rule, Schema, TextKind, Variants, Violations},
    service::PROTOCOLS,
};
use crate::{
    model::{Object, schema::Custom},
    router::Flavor,
};

mod expression;

pub(super) fn collection(flavor: Flavor) -> Collection {
    let schema = if flavor == Flavor::Expressions {
        expression::schema()
    } else {
        schema(fields(), checks(), [http(), grpc(), stream(), passthrough()])
    };
    Collection::core("routes", "routes", Some("name"), schema).unique(&["name"]).reference(
        "service",
        "services",
        OnDelete::Refuse,
        Some("routes"),
    )
}

/// With a variant for the protocols of each kind.
fn schema(fields: Vec<Field>, checks: Vec<Check>, [http, grpc, stream, passthrough]: [Schema; 4]) -> Schema {
    let base = Schema { fields, checks, ..Schema::default() };
    let mut choices = Vec::new();
    for (protocols, variant) in [
        (&["http", "https"][..], http),
        (&["tcp", "tls", "udp"], stream),
        (&["tls_passthrough"], passthrough),
        (&["grpc", "grpcs"], grpc),
    ] {
        let whole = Arc::new(base.with(&variant));
        choices.extend(protocols.iter().map(|protocol| (Arc::from(*protocol), whole.clone())));
    }
    Schema { variants: Some(Variants { key: "protocols".into(), choices }), ..base }
}

fn fields() -> Vec<Field> {
    let exclusive = [&["http", "https"][..], &["tcp", "tls", "udp"], &["tls_passthrough"], &["grpc", "grpcs"]];
    let mut fields = vec![Field::id()];
    fields.extend(Field::timestamps());
    fields.extend([
        Field::text("name", TextKind::Name).unique(),
        Field::set("protocols", Field::string("").required().one_of(PROTOCOLS))
            .required()
            .default(json!(["http", "https"]))
            .rule(Rule::LenMin(1))
            .rule(Rule::ExclusiveSubsets(exclusive.map(<[_]>::to_vec).to_vec())),
        Field::integer("https_redirect_status_code").required().default(426).one_of([426, 301, 302, 307, 308]),
        Field::boolean("strip_path").required().default(true),
        Field::boolean("preserve_host").required().default(false),
        Field::boolean("request_buffering").required().default(true),
        Field::boolean("response_buffering").required().default(true),
        Field::tags(),
        Field::foreign("service", "services"),
        Field::set("snis", Field::text("", TextKind::WildcardHost).required()),
        Field::set("sources", address().required()),
        Field::set("destinations", address()),
        Field::set("methods", Field::text("", TextKind::Method).required()),
        Field::array("hosts", host()),
        Field::array("paths", path()),
        headers(),
        Field::integer("regex_priority").default(0),
        Field::string("path_handling").default("v0").one_of(["v0", "v1"]),
    ]);
    fields
}

fn address() -> Field {
    let fields = vec![Field::text("ip", TextKind::IpOrCidr), Field::port("port")];
    let checks = vec![Check::over(Check::AtLeastOneOf, &["ip", "port"])];
    Field::record("", Schema { fields, checks, ..Schema::default() })
}

fn host() -> Field {
    let ends = ["^%*%.", "%.%*$", "^[^*]*$"].map(Pattern::lua).to_vec();
    let once = Pattern::lua("^[^*]*%*?[^*]*$").saying("invalid wildcard: must have at most one wildcard");
    Field::text("", TextKind::RouteHost)
        .required()
        .rule(Rule::MatchAll(vec![once]))
        .rule(Rule::MatchAny(ends, Some("invalid wildcard: must be placed at leftmost or rightmost label".into())))
}

fn path() -> Field {
    let starts = ["^/", "^~/"].map(Pattern::lua).to_vec();
    Field::text("", TextKind::RoutePath)
        .required()
        .rule(Rule::MatchNone(vec![Pattern::lua("//").saying("must not have empty segments")]))
        .rule(Rule::MatchAny(starts, Some("should start with: / (fixed path) or ~/ (regex path)".into())))
}

fn headers() -> Field {
    let host = Pattern::lua("^[Hh][Oo][Ss][Tt]$")
        .saying("cannot contain 'host' header, which must be specified in the 'hosts' attribute");
    Field::map(
        "headers",
        Field::text("", TextKind::HeaderName).required().rule(Rule::MatchNone(vec![host])),
        Field::array("", Field::string("").required()).required(),
    )
}

fn checks() -> Vec<Check> {
    let without_tls = Rule::NotOneOf(["grpcs", "https", "tls", "tls_passthrough"].map(Value::from).to_vec());
    let needs_tls = "'snis' can only be set when 'protocols' is 'grpcs', 'https', 'tls' or 'tls_passthrough'";
    let snis = Conditional {
        if_field: "protocols".into(),
        if_match: vec![Rule::Elements(vec![without_tls])],
        then_field: "snis".into(),
        then_match: vec![Rule::LenEq(0)],
        then_error: Some(needs_tls.into()),
    };
    let nothing = Custom(|_: &Object, _: &mut Violations| {});
    vec![
        Check::Conditional(Box::new(snis)),
        // Both concern other router flavors; clients read them in `/schemas`.
        Check::Custom { sources: &["path_handling"], with_missing: false, run: nothing },
        Check::Custom { sources: expression::SOURCES, with_missing: true, run: nothing },
    ]
}

fn http() -> Schema {
    let forbidden = |name, element| {
        Field::set(name, element).null_or(&format!("cannot set '{name}' when 'protocols' is 'http' or 'https'"))
    };
    Schema {
        fields: vec![forbidden("sources", address()), forbidden("destinations", address())],
        checks: vec![
            Check::SomeIf {
                field: "protocols",
                has: &["https"],
                lacks: "",
                then: &["methods", "hosts", "headers", "paths", "snis"],
                message: "must set one of 'methods', 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'https'",
            },
            Check::SomeIf {
                field: "protocols",
                has: &["http"],
                lacks: "https",
                then: &["methods", "hosts", "headers", "paths"],
                message: "must set one of 'methods', 'hosts', 'headers', 'paths' when 'protocols' is 'http'",
            },
        ],
        ..Schema::default()
    }
}

fn grpc() -> Schema {
    let forbidden = |field: Field| {
        let message = format!("cannot set '{}' when 'protocols' is 'grpc' or 'grpcs'", field.name);
        field.null_or(&message)
    };
    let mut strip_path = Field::boolean("strip_path").required().default(false).rule(Rule::Ne(true.into()));
    strip_path.error = Some("cannot set 'strip_path' when 'protocols' is 'grpc' or 'grpcs'".into());
    Schema {
        fields: vec![
            strip_path,
            forbidden(Field::set("methods", Field::string(""))),
            forbidden(Field::set("sources", address())),
            forbidden(Field::set("destinations", address())),
        ],
        checks: vec![
            Check::SomeIf {
                field: "protocols",
                has: &["grpcs"],
                lacks: "",
                then: &["hosts", "headers", "paths", "snis"],
                message: "must set one of 'hosts', 'headers', 'paths', 'snis' when 'protocols' is 'grpcs'",
            },
            Check::SomeIf {
                field: "protocols",
                has: &["grpc"],
                lacks: "grpcs",
                then: &["hosts", "headers", "paths"],
                message: "must set one of 'hosts', 'headers', 'paths' when 'protocols' is 'grpc'",
            },
        ],
        ..Schema::default()
    }
}

fn without_http() -> Vec<Field> {
    let forbidden = |field: Field| {
        let message =
            format!("cannot set '{}' when 'protocols' is 'tcp', 'tls', 'tls_passthrough' or 'udp'", field.name);
        field.null_or(&message)
    };
    vec![
        forbidden(Field::set("methods", Field::string(""))),
        forbidden(Field::array("hosts", Field::string(""))),
        forbidden(Field::array("paths", Field::string(""))),
        forbidden(headers()),
    ]
}

fn stream() -> Schema {
    let check = Check::SomeIf {
        field: "protocols",
        has: &["tcp", "tls", "udp"],
        lacks: "",
        then: &["sources", "destinations", "snis"],
        message: "must set one of 'sources', 'destinations', 'snis' when 'protocols' is 'tcp', 'tls' or 'udp'",
    };
    Schema { fields: without_http(), checks: vec![check], ..Schema::default() }
}

fn passthrough() -> Schema {
    let check = Check::SomeIf {
        field: "protocols",
        has: &["tls_passthrough"],
        lacks: "",
        then: &["snis"],
        message: "must set snis when 'protocols' is 'tls_passthrough'",
    };
    Schema { fields: without_http(), checks: vec![check], ..Schema::default() }
}
