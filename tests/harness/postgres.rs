//! A PostgreSQL of the tests' own: a server a test process, on loopback, and a database a test. A shell that holds the
//! server stops it by its id when the tests are gone, however they ended.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::Port;

/// No start takes longer.
const START: Duration = Duration::from_secs(120);
/// Must never be seen in an answer or a log.
pub const PASSWORD: &str = "the-password-of-the-tests";
/// Starts the server, again for each line it reads, and stops it at the end of its input.
const KEEPER: &str = r#"
trap '' INT TERM HUP
exec >>"$FOLDER/log" 2>&1
"$@" <&- & pid=$!
while read -r again; do wait $pid; "$@" <&- & pid=$!; done
kill -QUIT $pid; wait $pid; rm -rf "$FOLDER"
"#;

/// A server.
pub struct TestPostgres {
    bin: PathBuf,
    folder: PathBuf,
    port: Port,
    keeper: Mutex<Child>,
    databases: AtomicU32,
}

/// A user that may run a server, which root may not.
struct User {
    id: u32,
    group: u32,
}

impl TestPostgres {
    /// The one of this process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<TestPostgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// One more, for a test that kills it.
    pub fn start() -> Self {
        let (bin, user) = (programs(), unprivileged());
        let folder = tempfile::Builder::new().prefix("sandgate-postgres-").tempdir().expect("a folder").keep();
        fs::write(folder.join("password"), PASSWORD).unwrap();
        own(&folder, user.as_ref());
        let made = run(as_user(user.as_ref(), &bin.join("initdb")).args(initial(&folder)));
        certify(&folder, user.as_ref());
        let port = Port::reserve();
        let mut server = as_user(user.as_ref(), &bin.join("postgres"));
        server.args(settings(&folder, port.number()));
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(server.get_program()).args(server.get_args());
        let keeper = keeper.env("FOLDER", &folder).current_dir("/").stdin(Stdio::piped()).spawn().expect("a shell");
        let server = Self { bin, folder, port, keeper: Mutex::new(keeper), databases: AtomicU32::new(0) };
        server.wait(&made, 0);
        server
    }

    /// A new database, and where it is.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql(&self.url("postgres"), &format!("CREATE DATABASE {name} TEMPLATE template0"));
        self.url(&name)
    }

    /// What `psql` answers to statements, a line a row.
    pub fn sql(&self, url: &str, statements: &str) -> String {
        let mut psql = Command::new(self.bin.join("psql"));
        run(psql.args(["--no-psqlrc", "--quiet", "-At", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statements]))
    }

    /// The certificate that the server shows, and that signs itself.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("server.crt")
    }

    /// Where the server listens.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Ends it as the kernel does when memory runs out.
    pub fn kill9(&self) {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("it runs");
        let id = file.lines().next().expect("its id");
        run(Command::new("kill").args(["-9", id]));
        let ends = Instant::now() + START;
        while self.is_ready() || Path::new(&format!("/proc/{id}/exe")).exists() {
            assert!(Instant::now() < ends, "process {id} lives on");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts it again on what it left behind.
    pub fn start_again(&self) {
        let refused = self.refused();
        self.again();
        self.wait("", refused);
    }

    fn again(&self) {
        let mut keeper = self.keeper.lock().unwrap();
        keeper.stdin.as_mut().expect("a pipe").write_all(b"again\n").expect("its keeper lives");
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://sandgate:{PASSWORD}@127.0.0.1:{}/{database}", self.port.number())
    }

    fn is_ready(&self) -> bool {
        let mut ready = Command::new(self.bin.join("pg_isready"));
        let ready = ready.args(["-q", "-h", "127.0.0.1", "-d", "postgres", "-p", &self.port.number().to_string()]);
        ready.status().is_ok_and(|status| status.success())
    }

    /// What it said.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// How often a start was refused for what a killed server had left in memory, which its children still held.
    fn refused(&self) -> usize {
        self.log().matches("pre-existing shared memory").count()
    }

    /// Waits until it takes connections, starting it again when a start is refused once more than `refused` times.
    fn wait(&self, made: &str, mut refused: usize) {
        let ends = Instant::now() + START;
        while !self.is_ready() {
            assert!(Instant::now() < ends, "PostgreSQL does not start:\n{made}\n{}", self.log());
            if self.refused() > refused {
                refused = self.refused();
                self.again();
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        let keeper = self.keeper.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        drop(keeper.stdin.take());
        _ = keeper.wait();
    }
}

/// The folder of the newest version there is.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> = versions.map(|entry| entry.path().join("bin")).collect();
    found.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let all = ["initdb", "postgres", "psql", "pg_isready"];
    found.retain(|folder| all.iter().all(|program| folder.join(program).exists()));
    found.sort();
    found.pop().expect("PostgreSQL's server is here; `cargo xtask setup --for test` installs it")
}

fn unprivileged() -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").expect("the users of this machine");
    let find = |name: &str| {
        let mut fields = passwd.lines().find(|line| line.starts_with(name))?.split(':').skip(2);
        Some(User { id: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    };
    Some(find("postgres:").or_else(|| find("nobody:")).expect("a user that is not root"))
}

fn as_user(user: Option<&User>, program: &Path) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={}", user.id), format!("--regid={}", user.group), "--clear-groups".to_owned()]);
    command.arg(program).current_dir("/");
    command
}

fn own(path: &Path, user: Option<&User>) {
    if let Some(user) = user {
        chown(path, Some(user.id), Some(user.group)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

fn initial(folder: &Path) -> Vec<String> {
    let (data, password) = (folder.join("data"), folder.join("password"));
    let fixed = ["--auth=scram-sha-256", "--username=sandgate", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"];
    let own = [format!("--pgdata={}", data.display()), format!("--pwfile={}", password.display())];
    fixed.into_iter().map(str::to_owned).chain(own).collect()
}

fn certify(folder: &Path, user: Option<&User>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    for (name, text, mode) in
        [("server.crt", made.cert.pem(), 0o644), ("server.key", made.signing_key.serialize_pem(), 0o600)]
    {
        let file = folder.join(name);
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        own(&file, user);
    }
}

/// What is written is safe from the death of processes; machines do not die in tests.
fn settings(folder: &Path, port: u16) -> Vec<String> {
    let path = |name: &str| folder.join(name).display().to_string();
    let settings = [
        ("listen_addresses", "127.0.0.1".to_owned()),
        ("port", port.to_string()),
        ("unix_socket_directories", folder.display().to_string()),
        ("ssl", "on".to_owned()),
        ("ssl_cert_file", path("server.crt")),
        ("ssl_key_file", path("server.key")),
        ("max_connections", "300".to_owned()),
        ("shared_buffers", "32MB".to_owned()),
        ("fsync", "off".to_owned()),
        // Its workers are sessions, and nobody copies a database that has any.
        ("autovacuum", "off".to_owned()),
    ];
    let settings = settings.into_iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]);
    ["-D".to_owned(), path("data")].into_iter().chain(settings).collect()
}

/// Runs a program to its end, which must be a good one. Answers what it printed.
fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{command:?}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}
