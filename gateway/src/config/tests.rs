use std::{ffi::OsString, net::IpAddr, path::Path, time::Duration};

use proptest::prelude::*;

use super::*;

/// Settings from variables alone, without the prefix.
fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (format!("SANDGATE_{name}").into(), (*value).into()));
    Config::load(&Settings::default(), variables, None)
}

fn load_file(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sandgate.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(&Settings::default(), [], Some(&path))
}

fn shown(listens: &[Listen]) -> String {
    listens.iter().map(Listen::to_string).collect::<Vec<_>>().join(", ")
}

#[test]
fn an_empty_environment_gives_the_defaults() {
    let config = load(&[]).unwrap();
    assert_eq!(shown(&config.proxy_listen), "0.0.0.0:8000, 0.0.0.0:8443 ssl http2");
    assert_eq!(shown(&config.admin_listen), "127.0.0.1:8001");
    assert_eq!(shown(&config.status_listen), "127.0.0.1:8007");
    assert_eq!(config.database, Database::Sqlite("./sandgate-data/sandgate.db".into()));
    assert_eq!((config.log_level, config.log_format), (LogLevel::Notice, LogFormat::Plain));
    assert_eq!((config.access_log, config.stream_access_log), (AccessLog::Off, AccessLog::Off));
    let naming = Naming::Header(http::HeaderName::from_static("x-real-ip"));
    assert_eq!((config.real_ip.naming, config.real_ip.recursive), (naming, false));
    assert_eq!(config.request_limits.headers, ByteCount::new(32 * 1024));
    assert_eq!(config.request_limits.uri, ByteCount::new(8 * 1024));
    assert_eq!(config.plugin_limits.cpu, Duration::from_millis(50));
    assert_eq!(config.config_debounce, Duration::from_millis(20));
}

#[test]
fn listen_addresses_follow_kongs_syntax() {
    let cases = [
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("127.0.0.1:8000, 127.0.0.1:8443 ssl http2", "127.0.0.1:8000, 127.0.0.1:8443 ssl http2"),
        ("[::1]:8000 http2 ssl reuseport backlog=511", "[::1]:8000 ssl http2 reuseport backlog=511"),
        ("[::]:8000 ipv6only=off deferred bind", "[::]:8000 ipv6only=off"),
        ("[::]:8000 ipv6only=on, 0.0.0.0:8000", "[::]:8000, 0.0.0.0:8000"),
        ("127.0.0.1:1 so_keepalive=30m::10", "127.0.0.1:1 so_keepalive=1800::10"),
        ("127.0.0.1:1 so_keepalive=on, 127.0.0.1:2 so_keepalive=off", "127.0.0.1:1 so_keepalive=on, 127.0.0.1:2"),
        ("unix:/run/a.sock ssl backlog=7", "unix:/run/a.sock ssl backlog=7"),
        (
            "127.0.0.1:1 proxy_protocol ssl, unix:/a proxy_protocol",
            "127.0.0.1:1 ssl proxy_protocol, unix:/a proxy_protocol",
        ),
        ("  0.0.0.0:0   http2 ", "0.0.0.0:0 http2"),
        ("off", ""),
    ];
    for (typed, meant) in cases {
        assert_eq!(shown(&load(&[("PROXY_LISTEN", typed)]).unwrap().proxy_listen), meant, "{typed}");
    }
}

#[test]
fn each_mistake_is_explained_with_its_place() {
    let cases = [
        ("PROXY_LISTEN", "127.0.0.1:1 sssl", "`sssl` behind 127.0.0.1:1 is not an option"),
        ("PROXY_LISTEN", "127.0.0.1:1 udp", "`udp` behind 127.0.0.1:1 is not an option there"),
        ("STREAM_LISTEN", "127.0.0.1:1 udp, 127.0.0.1:1 udp", "127.0.0.1:1 is listened on already"),
        ("STREAM_PROXY_PROTOCOL_UPSTREAM", "v3", "`v3` is neither off, v1, v2"),
        ("PROXY_LISTEN", "127.0.0.1:1 backlog=0", "`backlog=0` behind 127.0.0.1:1 is not an option"),
        ("PROXY_LISTEN", "127.0.0.1:1 ipv6only=on", "`ipv6only=on` behind 127.0.0.1:1 is not an option there"),
        ("PROXY_LISTEN", "[::1]:1 ipv6only=maybe", "`ipv6only=maybe` behind [::1]:1 is not an option"),
        ("PROXY_LISTEN", "[::1]:1 so_keepalive=1:2", "`so_keepalive=1:2` behind [::1]:1 is not an option"),
        ("PROXY_LISTEN", "unix:/a reuseport", "`reuseport` behind unix:/a is not an option there"),
        ("PROXY_LISTEN", "unix:", "the path is empty"),
        ("ADMIN_LISTEN", "unix:/a, unix:/a", "unix:/a is listened on already"),
        ("PROXY_LISTEN", "localhost:80", "`localhost:80` is not an IP address with a port"),
        ("PROXY_LISTEN", "127.0.0.1:1,", "`` is not an IP address with a port"),
        ("PROXY_LISTEN", "127.0.0.1:1,127.0.0.1:1", "127.0.0.1:1 is listened on already"),
        ("STATUS_LISTEN", "127.0.0.1:8001", "127.0.0.1:8001 is listened on already"),
        ("ADMIN_TOKEN", "secret", "a token has at least 32 visible ASCII characters"),
        ("ADMIN_TOKEN", "", "a token has at least 32 visible ASCII characters"),
        ("ADMIN_SSL_CERT", "a.crt", "`admin_ssl_cert_key` is missing"),
        ("ADMIN_SSL_CERT_KEY", "a.key", "`admin_ssl_cert` is missing"),
        ("ADMIN_GUI_URL", "ops.example", "`ops.example` is not a URL"),
        ("ADMIN_HEADER_TIMEOUT", "0", "`0` is not within 1s and 3600s"),
        (
            "DATABASE_URL",
            "postgres://kong:secret@db/kong?sslmod=require",
            "`sslmod` is not a parameter of a database URL",
        ),
        ("DATABASE_URL", "postgres://kong:secret@db/kong?sslmode=maybe", "is not a database URL"),
        ("DATABASE_POOL_SIZE", "1", "`1` is not within 2 and 1000"),
        ("DECLARATIVE_CONFIG", "", "the path is empty"),
        ("DATABASE_URL", "mysql://kong:secret@db", "is not a database URL"),
        ("DATABASE_URL", "sqlite://", "the path is empty"),
        ("WORKERS", "0", "`0` is not within 1 and 1024"),
        ("WORKERS", "-1", "`-1` is not a whole number"),
        ("LOG_LEVEL", "verbose", "`verbose` is none of error, warn, notice, info, debug"),
        ("TRUSTED_IPS", "10.0.0.0/8, unix:/a", "`unix:/a` is neither an IP address, a network"),
        ("ADMIN_LISTEN", "127.0.0.1:1 proxy_protocol", "`proxy_protocol` behind 127.0.0.1:1 is not an option there"),
        ("REAL_IP_HEADER", "x real ip", "`x real ip` is not the name of a header"),
        ("REAL_IP_RECURSIVE", "yes", "`yes` is neither on nor off"),
        ("DRAIN_GRACE_PERIOD", "30", "`30` is not a duration"),
        ("PLUGIN_CPU_LIMIT", "1m", "`1m` is not within 1ms and 10s"),
        ("UPLOAD_LIMIT", "64 MB", "`64 MB` is not a size"),
        ("UPLOAD_LIMIT", "99999999999999999999GiB", "is not a size"),
        ("REQUEST_URI_LIMIT", "100", "`100` is not within 256 and 1MiB"),
        ("HEADERS", "Via, X-Powered-By", "`X-Powered-By` is none of server_tokens"),
        ("HEADERS_UPSTREAM", "Via", "`Via` is neither X-Kong-Request-Id nor off"),
        ("REQUEST_DEBUG_TOKEN", "short-secret", "a token has at least 16 visible ASCII characters"),
        ("PORT_MAPS", "80", "`80` is not a port that clients know"),
        ("PORT_MAPS", "80:8000,81:8000", "two ports are said to lead to 8000"),
        ("ERROR_DEFAULT_TYPE", "json", "`json` is none of text/plain"),
        ("ERROR_TEMPLATE_HTML", "", "the path is empty"),
        ("PROXY_LISTENS", "off", "there is no such setting"),
    ];
    for (name, typed, expected) in cases {
        let shown = load(&[(name, typed)]).unwrap_err().to_string();
        assert!(shown.contains(&format!("SANDGATE_{name}: ")) && shown.contains(expected), "{name}={typed}: {shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}

#[test]
fn a_declarative_file_means_no_database() {
    let config = load(&[("DECLARATIVE_CONFIG", "kong.yaml")]).unwrap();
    assert_eq!((config.database, config.declarative), (Database::Off, Declarative::File("kong.yaml".into())));
    let beside = load(&[("DECLARATIVE_CONFIG", "kong.yaml"), ("DATABASE_URL", "sqlite://x")]).unwrap_err().to_string();
    assert!(beside.contains("SANDGATE_DECLARATIVE_CONFIG: only works without a database"), "{beside}");
    let both = load(&[("DECLARATIVE_CONFIG", "kong.yaml"), ("DECLARATIVE_CONFIG_STRING", "{}")]).unwrap_err();
    assert!(both.to_string().contains("names a file already"), "{both}");
    assert_eq!(load(&[("DATABASE_URL", "off")]).unwrap().declarative, Declarative::Empty);
}

#[test]
fn all_mistakes_are_shown_at_once() {
    let error = load(&[("WORKERS", "many"), ("COLOUR", "red"), ("LOG_LEVEL", "loud")]).unwrap_err();
    let mut places: Vec<_> = error.0.iter().map(|mistake| mistake.at.as_str()).collect();
    places.sort_unstable();
    assert_eq!(places, ["SANDGATE_COLOUR", "SANDGATE_LOG_LEVEL", "SANDGATE_WORKERS"]);
}

#[test]
fn flags_go_over_the_environment_and_the_environment_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.toml");
    std::fs::write(&path, "workers = 1\nlog_level = 'info'\ndata_dir = 'here'").unwrap();
    let flags = Settings { workers: Some("3".to_owned().into()), ..Settings::default() };
    let variables = [("SANDGATE_WORKERS", "2"), ("SANDGATE_LOG_LEVEL", "debug"), ("HOME", "/")];
    let variables = variables.map(|(name, value)| (name.into(), value.into()));
    let config = Config::load(&flags, variables, Some(&path)).unwrap();
    assert_eq!((config.workers.get(), config.log_level), (3, LogLevel::Debug));
    assert_eq!(config.database, Database::Sqlite("here/sandgate.db".into()));
}

#[test]
fn a_file_may_hold_numbers_switches_and_lists() {
    let text = "proxy_listen = ['127.0.0.1:1', '127.0.0.1:2 ssl']\nworkers = 2\nreal_ip_recursive = true";
    let config = load_file(text).unwrap();
    assert_eq!(shown(&config.proxy_listen), "127.0.0.1:1, 127.0.0.1:2 ssl");
    assert!(config.workers.get() == 2 && config.real_ip.recursive);
}

#[test]
fn mistakes_in_a_file_are_shown_with_their_key() {
    let cases = [
        ("worker = 2", "sandgate.toml: worker: there is no such setting"),
        ("workers = 2.5", "sandgate.toml: workers: neither text, a number"),
        ("[proxy_listen]\na = 1", "sandgate.toml: proxy_listen: neither text, a number"),
        ("workers = ", "sandgate.toml: TOML parse error"),
    ];
    for (text, expected) in cases {
        let shown = load_file(text).unwrap_err().to_string();
        assert!(shown.contains(expected), "{text}: {shown}");
    }
    let missing = Config::load(&Settings::default(), [], Some(Path::new("/no/such/file"))).unwrap_err();
    assert!(missing.to_string().contains("/no/such/file: cannot be read"), "{missing}");
}

#[test]
fn sizes_and_durations_have_units() {
    let sizes = [("80k", 80 << 10), ("70000", 70_000), ("1 MiB", 1 << 20), ("1g", 1 << 30)];
    for (typed, bytes) in sizes {
        assert_eq!(load(&[("UPLOAD_LIMIT", typed)]).unwrap().upload_limit.get(), bytes, "{typed}");
    }
    for (typed, millis) in [("0", 0), ("250ms", 250), ("5 m", 300_000), ("1h", 3_600_000)] {
        let grace = load(&[("DRAIN_GRACE_PERIOD", typed)]).unwrap().drain_grace_period;
        assert_eq!(grace, Duration::from_millis(millis), "{typed}");
    }
}

#[test]
fn kongs_names_of_log_levels_are_accepted() {
    for name in ["debug", "info", "notice", "warn", "error", "crit", "alert", "emerg"] {
        assert!(load(&[("LOG_LEVEL", name)]).is_ok(), "{name}");
    }
}

#[test]
fn a_trusted_network_believes_its_addresses() {
    let real_ip = load(&[("TRUSTED_IPS", "10.0.0.0/8, unix:, 192.0.2.1, ::1")]).unwrap().real_ip.trusted;
    let cases =
        [("10.1.2.3", true), ("192.0.2.1", true), ("192.0.2.2", false), ("::ffff:10.0.0.1", true), ("::1", true)];
    for (address, trusted) in cases {
        assert_eq!(real_ip.contains(address.parse::<IpAddr>().unwrap()), trusted, "{address}");
    }
    assert!(real_ip.files && !load(&[]).unwrap().real_ip.trusted.files);
}

#[test]
fn every_setting_is_read() {
    for name in serde_json::to_value(Settings::default()).unwrap().as_object().unwrap().keys() {
        let sources =
            [include_str!("read.rs"), include_str!("admin.rs"), include_str!("dns.rs"), include_str!("answers.rs")];
        let sources =
            sources.into_iter().chain([include_str!("tls.rs"), include_str!("stream.rs")]).collect::<Vec<_>>();
        assert!(sources.iter().any(|source| source.contains(&format!("\"{name}\""))), "{name} is never read");
    }
}

#[test]
fn the_settings_in_force_are_shown_with_their_sources_and_without_secrets() {
    let token = "a-secret-that-nobody-may-ever-see";
    let url = "postgres://kong:secret@db/kong";
    let config = load(&[("WORKERS", "3"), ("ADMIN_TOKEN", token), ("DATABASE_URL", url)]).unwrap();
    let shown: Vec<String> = config.shown.iter().map(Shown::to_string).collect();
    for line in [
        r#"workers = "3"  # SANDGATE_WORKERS"#,
        r#"log_level = "notice"  # default"#,
        r#"admin_token = "******"  # SANDGATE_ADMIN_TOKEN"#,
        r#"database_url = "postgres://kong:******@db/kong"  # SANDGATE_DATABASE_URL"#,
        r#"pid_file = "./sandgate-data/sandgate.pid"  # default"#,
        "# admin_client_ca is not set",
    ] {
        assert!(shown.iter().any(|found| found == line), "{line}: {shown:#?}");
    }
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn settings_may_refer_to_secrets() {
    let vaults = |reference: &str, folder: Option<&Path>| match (reference, folder) {
        ("{vault://env/token}", Some(folder)) if folder == Path::new("/secrets") => Ok("t".repeat(32)),
        _ => Err("the vault has no such secret".to_owned()),
    };
    let load = |reference: &str| {
        let variables = [("SANDGATE_ADMIN_TOKEN", reference), ("SANDGATE_VAULT_FILE_DIR", "/secrets")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        Config::load_with(&Settings::default(), variables, None, &vaults)
    };
    let config = load("{vault://env/token}").unwrap();
    assert_eq!(config.admin.token, Some(BootstrapToken::Text("t".repeat(32))));
    let shown = config.shown.iter().find(|shown| shown.name == "admin_token").unwrap();
    assert_eq!(shown.value(), "{vault://env/token}");
    let error = load("{vault://env/other}").unwrap_err().to_string();
    assert!(error.contains("SANDGATE_ADMIN_TOKEN: the secret is not found: the vault has no such secret"), "{error}");
}

#[test]
fn what_differs_between_two_readings_is_named() {
    let (one, two) = (load(&[("WORKERS", "3")]).unwrap(), load(&[("LOG_LEVEL", "debug")]).unwrap());
    let mut names = two.differing(&one);
    names.sort_unstable();
    assert_eq!(names, ["log_level", "workers"]);
}

proptest! {
    #[test]
    fn no_text_makes_reading_fail_badly(text in ".{0,60}", name in "[A-Z_]{0,20}") {
        for name in ["PROXY_LISTEN", "DATABASE_URL", "TRUSTED_IPS", "UPLOAD_LIMIT", "CONFIG_DEBOUNCE", &name] {
            let variable = (OsString::from(format!("SANDGATE_{name}")), OsString::from(&text));
            let _ = Config::load(&Settings::default(), [variable], None);
        }
    }

    #[test]
    fn a_listen_address_survives_being_shown(port: u16, tls: bool, http2: bool, reuseport: bool, backlog in 1u32..65_536) {
        let address = Address::Tcp(([127, 0, 0, 1], port).into());
        let listen = Listen { tls, http2, reuseport, backlog, ..Listen::new(address) };
        prop_assert_eq!(listen.to_string().parse::<Listen>().unwrap(), listen);
    }
}

#[test]
fn a_postgres_url_is_understood_and_never_shown() {
    let url = "postgres://kong:secret@db:5433/gateway?sslmode=verify-full&sslrootcert=/ca.pem";
    let config = load(&[("DATABASE_URL", url)]).unwrap();
    let Database::Postgres(database) = &config.database else { panic!("{:?}", config.database) };
    let options = database.options();
    assert_eq!((options.get_host(), options.get_port(), options.get_username()), ("db", 5433, "kong"));
    assert_eq!((options.get_database(), database.requires_tls()), (Some("gateway"), true));
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn what_kong_takes_from_the_proxy_protocol_is_no_header() {
    for text in ["proxy_protocol", "Proxy_Protocol"] {
        assert_eq!(load(&[("REAL_IP_HEADER", text)]).unwrap().real_ip.naming, Naming::ProxyProtocol);
    }
    let header = Naming::Header(http::HeaderName::from_static("x-forwarded-for"));
    assert_eq!(load(&[("REAL_IP_HEADER", "X-Forwarded-For")]).unwrap().real_ip.naming, header);
}
