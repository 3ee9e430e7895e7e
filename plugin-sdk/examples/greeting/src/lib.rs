//! greeting: answers a path of its own, greets the upstream and the client, and counts whom it has greeted.

use sandgate_sdk::prelude::*;

/// What operators configure.
#[derive(Config)]
pub struct Settings {
    /// The word of greeting.
    #[config(default = "Hello", len_min = 1)]
    word: String,
    /// Path that is answered here and never reaches the upstream.
    #[config(kind = "path")]
    answer_path: Option<String>,
    /// Greetings an hour for one name.
    #[config(default = 1000, range = 1..=1000000)]
    hourly: u64,
}

/// One configuration.
pub struct Greeting(Settings);

#[plugin(
    name = "greeting",
    priority = 700,
    request_headers = ["x-name"],
    capabilities(counters)
)]
impl Plugin for Greeting {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        Ok(Self(settings))
    }

    fn on_request(&self, request: &mut Request, host: &impl Host) -> Flow {
        let name = request.header(0).value().unwrap_or("stranger").to_owned();
        let greeting = [&self.0.word, ", ", &name].concat();
        match host.increment(&name, 1, 3_600_000) {
            Ok(count) if count > self.0.hourly => return refuse(429, "That is enough for one hour"),
            Ok(count) => request.set_response_header("x-greetings", &count.to_string()),
            // The operator has not granted `counters`: greet without counting.
            Err(_) => {}
        }
        if self.0.answer_path.as_deref() == Some(host.path().as_str()) {
            return Flow::text(200, &greeting);
        }
        request.set_header("x-greeting", &greeting);
        Flow::Next
    }

    fn on_response(&self, response: &mut Response, _host: &impl Host) -> ResponseFlow {
        response.set_header("x-greeted-by", &self.0.word);
        ResponseFlow::Next
    }
}

#[cfg(test)]
mod tests {
    use sandgate_sdk::{mock::MockHost, testing::Tester};

    use super::*;

    #[test]
    fn the_upstream_hears_the_greeting() {
        let tester = Tester::<Greeting>::new(r#"{"word":"Salve"}"#);
        let outcome = tester.on_request(&MockHost::get("/").header("X-Name", "Ada"));
        assert_eq!(outcome.upstream_header("x-greeting"), Some("Salve, Ada"));
        assert_eq!(outcome.answer_header("x-greetings"), Some("1"));
    }

    #[test]
    fn its_own_path_is_answered_here() {
        let tester = Tester::<Greeting>::new(r#"{"answer_path":"/hi"}"#);
        assert_eq!(tester.on_request(&MockHost::get("/hi")).status(), Some(200));
        assert_eq!(tester.on_request(&MockHost::get("/other")).status(), None);
    }

    #[test]
    fn too_many_greetings_are_refused() {
        let tester = Tester::<Greeting>::new(r#"{"hourly":1}"#);
        let host = MockHost::get("/");
        assert_eq!(tester.on_request(&host).status(), None);
        assert_eq!(tester.on_request(&host).refusal(), Some((429, "That is enough for one hour")));
    }

    #[test]
    fn without_the_grant_it_greets_all_the_same() {
        let outcome = Tester::<Greeting>::new("{}").on_request(&MockHost::get("/").deny("counters"));
        assert_eq!(outcome.upstream_header("x-greeting"), Some("Hello, stranger"));
    }
}
