//! The gateway under test.

use std::{fs, net::SocketAddr, path::PathBuf, process::ExitStatus, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    admin::Admin,
    client::{Answer, Call},
    guest::guest,
    postgres::TestPostgres,
    process::Process,
    target::TestTarget,
};

/// A change is served within this, even on a machine that does a lot else.
const SERVED: Duration = Duration::from_secs(30);

/// A gateway ends within this: its grace period is half of it.
const ENDED: Duration = Duration::from_secs(60);

/// A gateway that is not started yet.
pub struct TestGateway {
    settings: Vec<(String, String)>,
    routes: Vec<(String, Vec<SocketAddr>)>,
    /// Whether `SANDGATE_TEST_DATABASE` concerns it.
    chooses: bool,
}

/// A running gateway with a data directory of its own; both end with it.
pub struct Gateway {
    pub admin: Admin,
    pub process: Process,
    settings: Vec<(String, String)>,
    data: TempDir,
}

impl TestGateway {
    pub fn new() -> Self {
        let settings = [
            ("SANDGATE_PROXY_LISTEN", "127.0.0.1:0 http2, 127.0.0.1:0 ssl http2"),
            ("SANDGATE_ADMIN_LISTEN", "127.0.0.1:0"),
            ("SANDGATE_STATUS_LISTEN", "127.0.0.1:0"),
            ("SANDGATE_WORKERS", "2"),
            // What one gateway compiled, the gateways of all tests find.
            ("SANDGATE_PLUGIN_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled")),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { settings: settings.to_vec(), routes: Vec::new(), chooses: true }
    }

    /// Keeps its configuration in this PostgreSQL database, as other gateways may.
    pub fn on_postgres(self, url: &str) -> Self {
        self.setting("SANDGATE_DATABASE_URL", url)
    }

    /// With the database that its other settings say, whatever the tests run on.
    pub fn embedded(mut self) -> Self {
        self.chooses = false;
        self
    }

    /// Sets one more setting, such as `SANDGATE_REQUEST_URI_LIMIT`.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A route from this path to these targets.
    pub fn route<'a>(mut self, path: &str, targets: impl IntoIterator<Item = &'a TestTarget>) -> Self {
        let targets = targets.into_iter().map(|target| target.address).collect();
        self.routes.push((path.to_owned(), targets));
        self
    }

    /// Starts it and waits until it serves all of this.
    pub async fn start(self) -> Gateway {
        self.try_start().await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// As `start`, for gateways that may refuse. Error: what it said.
    pub async fn try_start(mut self) -> Result<Gateway, String> {
        self.choose_database().await;
        let data = TempDir::new().expect("a temporary directory");
        let process = Process::start(data.path(), &self.settings).await.map_err(|error| format!("{error:#}"))?;
        let gateway = Gateway { admin: Admin::new(process.at.admin), process, settings: self.settings, data };
        for (number, (path, targets)) in self.routes.iter().enumerate() {
            gateway.balance(&format!("service-{number}"), path, targets).await;
        }
        Ok(gateway)
    }
}

impl TestGateway {
    /// `SANDGATE_TEST_DATABASE=postgres` runs every test on PostgreSQL.
    async fn choose_database(&mut self) {
        let chosen = std::env::var("SANDGATE_TEST_DATABASE").is_ok_and(|chosen| chosen == "postgres");
        if chosen && self.chooses && !self.settings.iter().any(|(name, _)| name == "SANDGATE_DATABASE_URL") {
            let url = tokio::task::spawn_blocking(|| TestPostgres::shared().database()).await.expect("a database");
            self.settings.push(("SANDGATE_DATABASE_URL".to_owned(), url));
        }
    }
}

impl Gateway {
    /// Where clients connect.
    pub fn proxy(&self) -> SocketAddr {
        self.process.at.proxy
    }

    /// Where clients connect with TLS.
    pub fn proxy_tls(&self) -> SocketAddr {
        self.process.at.proxy_tls
    }

    /// Where streams come in, in the order of the setting.
    pub fn streams(&self) -> Vec<SocketAddr> {
        self.process.log.streams()
    }

    /// A file in the data directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// Waits until every change that was acknowledged is served.
    pub async fn applied(&self) {
        let version = self.admin.acknowledged();
        self.process.log.served(version, SERVED).await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// A request to the proxy, once every acknowledged change is served.
    pub async fn call(&self, line: &str) -> Call {
        self.applied().await;
        Call::new(self.proxy(), line)
    }

    /// As `call`, to the listener with TLS.
    pub async fn call_tls(&self, line: &str) -> Call {
        self.applied().await;
        Call::new(self.process.at.proxy_tls, line).over(super::Wire::Tls)
    }

    pub async fn get(&self, target: &str) -> Answer {
        self.call(&format!("GET {target}")).await.send().await
    }

    /// With headers.
    pub async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let call = self.call(&format!("GET {target}")).await;
        headers.iter().fold(call, |call, (name, value)| call.header(name, value)).send().await
    }

    /// The bodies of so many answers.
    pub async fn get_times(&self, target: &str, times: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        for _ in 0..times {
            bodies.push(self.get(target).await.text());
        }
        bodies
    }

    /// Asks again and again until the answer is as wanted.
    pub async fn eventually(&self, target: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let end = tokio::time::Instant::now() + SERVED;
        loop {
            let answer = self.get(target).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(tokio::time::Instant::now() < end, "the answer stays {answer:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a file of the data directory has so many lines, and returns them.
    pub async fn lines(&self, name: &str, count: usize) -> Vec<String> {
        let end = tokio::time::Instant::now() + SERVED;
        loop {
            let text = fs::read_to_string(self.file(name)).unwrap_or_default();
            if text.matches('\n').count() >= count {
                return text.lines().map(str::to_owned).collect();
            }
            assert!(tokio::time::Instant::now() < end, "{name} has only {text:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A module as the Admin API shows it.
    pub async fn module(&self, name: &str) -> Value {
        self.admin.get(&format!("/modules/{name}")).await.expect(200).json()
    }

    /// A service of this name and a route of the same name to it.
    pub async fn route(&self, name: &str, path: &str, target: &TestTarget) -> Value {
        self.route_with(name, target, json!({ "paths": [path] })).await
    }

    /// As `route`, with all the route's fields but its name.
    pub async fn route_with(&self, name: &str, target: &TestTarget, mut route: Value) -> Value {
        self.admin.create("/services", json!({ "name": name, "url": target.url() })).await;
        route["name"] = name.into();
        self.admin.create(&format!("/services/{name}/routes"), route).await
    }

    /// A service with an upstream of several targets, and a route to it.
    async fn balance(&self, name: &str, path: &str, targets: &[SocketAddr]) {
        let host = if let [only] = targets {
            self.admin.create("/services", json!({ "name": name, "url": format!("http://{only}") })).await
        } else {
            let upstream = format!("{name}.upstream");
            self.admin.create("/upstreams", json!({ "name": upstream })).await;
            for target in targets {
                let target = json!({ "target": target.to_string() });
                self.admin.create(&format!("/upstreams/{upstream}/targets"), target).await;
            }
            self.admin.create("/services", json!({ "name": name, "host": upstream })).await
        };
        let route = json!({ "name": name, "paths": [path], "service": { "id": host["id"] } });
        self.admin.create("/routes", route).await;
    }

    /// A consumer with a key.
    pub async fn consumer(&self, name: &str, key: &str) -> Value {
        let consumer = self.admin.create("/consumers", json!({ "username": name })).await;
        self.admin.create(&format!("/consumers/{name}/key-auth"), json!({ "key": key })).await;
        consumer
    }

    /// A plugin on the route of this name.
    pub async fn plugin(&self, route: &str, name: &str, config: Value) -> Value {
        let plugin = json!({ "name": name, "config": config });
        self.admin.create(&format!("/routes/{route}/plugins"), plugin).await
    }

    /// Uploads a guest and grants it all it asks for.
    pub async fn upload(&self, name: &str) -> Value {
        let module = self.admin.upload("POST /modules?grants=*", guest(name)).await.expect(201).json();
        self.applied().await;
        module
    }

    /// Waits until so many connections were refused for this reason; no more may be.
    pub async fn refused(&self, reason: &str, count: u64) {
        let start = format!("sandgate_connections_refused_total{{reason=\"{reason}\"}} ");
        let counted = async || {
            let metrics = self.admin.get("/metrics").await.expect(200).text();
            let line = metrics.lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned));
            line.and_then(|number| number.parse::<u64>().ok()).unwrap_or_else(|| panic!("{start} is not in {metrics}"))
        };
        self.until(async || counted().await >= count).await;
        assert_eq!(counted().await, count, "{reason}");
    }

    /// Another setting from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Runs the binary once more, on the same data. Answers with what it says; error: what it complains of.
    pub fn command(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sandgate"));
        command.args(arguments).env_clear().env("SANDGATE_DATA_DIR", self.data.path());
        let output = command.output().expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Waits until this holds.
    pub async fn until(&self, holds: impl AsyncFn() -> bool) {
        let end = tokio::time::Instant::now() + SERVED;
        while !holds().await {
            assert!(tokio::time::Instant::now() < end, "it never holds");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks it to end, and waits until it has.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate().expect("the gateway runs");
        self.process.ended(ENDED).await.unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Ends it as a power failure would.
    pub fn kill9(&mut self) {
        self.process.kill().expect("the gateway runs");
    }

    /// Starts it again on the same data directory, and on other ports.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        _ = self.process.kill();
        self.process = Process::start(self.data.path(), &self.settings).await?;
        self.admin = Admin::new(self.process.at.admin);
        Ok(())
    }
}
