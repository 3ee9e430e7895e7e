//! file-log: appends the access record of each request to a file, as one line of JSON.

use sandgate_sdk::{
    config::{Map, error},
    custom_fields::CustomFields,
    prelude::*,
};

/// What operators configure.
#[derive(Debug, Config)]
#[config(protocols = "all")]
pub struct Settings {
    /// File that the lines are appended to; made when it is not there.
    #[config(required, lua_pattern = r"^[^*&%%\`]+$", pattern_error = "not a valid filename")]
    path: String,
    /// Whether the file is opened anew for each line, so that it may be rotated.
    #[config(default = false, required)]
    reopen: bool,
    /// Members to add to the record: `return` with a literal, or with nil to remove one.
    #[config(items(len_min = 1))]
    custom_fields_by_lua: Option<Map<String>>,
}

/// One configuration.
#[derive(Debug)]
pub struct FileLog {
    path: String,
    reopen: bool,
    fields: CustomFields,
}

#[plugin(name = "file-log", priority = 9, capabilities(sinks("/")))]
impl Plugin for FileLog {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        let fields = CustomFields::parse(settings.custom_fields_by_lua.as_ref())?;
        Ok(Self { path: settings.path, reopen: settings.reopen, fields })
    }

    fn validate(settings: &Settings) -> Vec<ConfigError> {
        let path = settings.path.as_str();
        if path.trim() != path || path.contains(['*', '&', '%', '\\', '`']) {
            return vec![error("path", "not a valid filename")];
        }
        Vec::new()
    }

    fn on_log(&self, host: &impl Host) {
        let written = if self.fields.is_empty() {
            host.append_record(&self.path, self.reopen)
        } else {
            host.log_record().and_then(|record| {
                let mut line = self.fields.apply(record);
                line.push('\n');
                host.append(&self.path, line.as_bytes(), self.reopen)
            })
        };
        if let Err(failure) = written {
            host.log(Level::Error, &["the access record is not in ", &self.path, ": ", failure.reason()].concat());
        }
    }
}

#[cfg(test)]
mod tests {
    use sandgate_sdk::{mock::MockHost, testing::Tester};

    use super::*;

    #[test]
    fn each_request_is_a_line() {
        let tester = Tester::<FileLog>::new(r#"{"path":"/tmp/a.log"}"#);
        let host = MockHost::get("/").record(r#"{"response":{"status":200}}"#);
        assert_eq!((tester.on_log(&host), tester.on_log(&host)), (Ok(()), Ok(())));
        assert_eq!(host.appended("/tmp/a.log"), "{\"response\":{\"status\":200}}\n".repeat(2));
    }

    #[test]
    fn custom_fields_are_in_the_line() {
        let config = r#"{"path":"/a","custom_fields_by_lua":{"extra":"return 'v'","tries":"return nil"}}"#;
        let host = MockHost::get("/").record(r#"{"tries":[]}"#);
        Tester::<FileLog>::new(config).on_log(&host).expect("nothing is enqueued");
        assert_eq!(host.appended("/a"), "{\"extra\":\"v\"}\n");
    }

    #[test]
    fn a_refused_file_is_told_in_the_log() {
        let host = MockHost::get("/").deny("sinks");
        Tester::<FileLog>::new(r#"{"path":"/a"}"#).on_log(&host).expect("nothing is enqueued");
        assert_eq!(host.logs()[0].1, "the access record is not in /a: sinks");
    }

    #[test]
    fn bad_names_and_lua_are_refused() {
        for path in ["/a*b", "/a&b", "/a%b", "/a`b", " /a", "/a "] {
            let config = ["{\"path\":\"", path, "\"}"].concat();
            let errors = Tester::<FileLog>::try_new(&config).expect_err(path);
            assert_eq!((errors[0].path.as_str(), errors[0].message.as_str()), ("path", "not a valid filename"));
        }
        let lua = r#"{"path":"/a","custom_fields_by_lua":{"x":"return kong.ip"}}"#;
        assert_eq!(Tester::<FileLog>::try_new(lua).expect_err("no Lua")[0].path, "custom_fields_by_lua.x");
    }
}
