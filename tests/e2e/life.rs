//! The life of a process as its operator sees it: listeners, signals, commands, the service manager.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::{UnixDatagram, UnixStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::harness::{Call, Gateway, TestGateway, TestTarget};

const PATIENCE: Duration = Duration::from_secs(30);

/// The answer to a GET over a socket in the file system.
fn ask(socket: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A gateway before this target that clients and operators reach through files, too.
async fn beside_files(proxy: &Path, admin: &Path, target: &TestTarget) -> Gateway {
    let listen = format!("127.0.0.1:0, 127.0.0.1:0 ssl, unix:{}", proxy.display());
    let gateway = TestGateway::new().setting("SANDGATE_PROXY_LISTEN", &listen);
    let gateway = gateway.setting("SANDGATE_ADMIN_LISTEN", &format!("127.0.0.1:0, unix:{}", admin.display()));
    let gateway = gateway.route("/", [target]).start().await;
    gateway.applied().await;
    gateway
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_in_the_file_system_serve_clients_and_operators() {
    let target = TestTarget::answering("a").await;
    let folder = TempDir::new().unwrap();
    let (proxy, admin) = (folder.path().join("proxy.sock"), folder.path().join("admin.sock"));
    let mut gateway = beside_files(&proxy, &admin, &target).await;
    assert!(ask(&proxy, "/").ends_with("\r\n\r\na"), "{}", ask(&proxy, "/"));
    assert!(ask(&admin, "/services").contains("service-0"));
    gateway.terminate().await;
    assert!(!proxy.exists() && !admin.exists(), "nothing is left behind");
}

#[tokio::test]
async fn one_listener_may_serve_both_kinds_of_ip() {
    let target = TestTarget::answering("a").await;
    let listen = "[::]:0 ipv6only=off, 127.0.0.1:0 ssl";
    let gateway = TestGateway::new().setting("SANDGATE_PROXY_LISTEN", listen).route("/", [&target]).start().await;
    gateway.applied().await;
    let port = gateway.proxy().port();
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let answer = Call::new(address.parse().unwrap(), "GET /").send().await;
        assert_eq!(answer.expect(200).text(), "a", "{address}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_in_the_file_system_stay_when_another_process_takes_over() {
    let target = TestTarget::answering("a").await;
    let folder = TempDir::new().unwrap();
    let (proxy, admin) = (folder.path().join("proxy.sock"), folder.path().join("admin.sock"));
    let mut gateway = beside_files(&proxy, &admin, &target).await;
    for _ in 0..2 {
        gateway.process.hand_over(PATIENCE * 3).await.unwrap();
        assert!(ask(&proxy, "/").ends_with("\r\n\r\na"), "{}", ask(&proxy, "/"));
        assert!(ask(&admin, "/services").contains("service-0"));
    }
    gateway.process.terminate().unwrap();
    // The last one leaves nothing behind.
    gateway.until(async || !proxy.exists() && !admin.exists()).await;
}

#[tokio::test]
async fn gateways_that_both_say_reuseport_share_a_port() {
    let (one, two) = (TestTarget::answering("one").await, TestTarget::answering("two").await);
    let on = async |port: u16, target: &TestTarget| {
        let listen = format!("127.0.0.1:{port} reuseport, 127.0.0.1:0 ssl");
        let gateway = TestGateway::new().setting("SANDGATE_PROXY_LISTEN", &listen).route("/", [target]).start().await;
        gateway.applied().await;
        gateway
    };
    let first = on(0, &one).await;
    let second = on(first.proxy().port(), &two).await;
    assert_eq!(first.proxy(), second.proxy());
    // The kernel spreads connections by their ports.
    for wanted in ["one", "two"] {
        let asked = async || Call::new(first.proxy(), "GET /").send().await.expect(200).text();
        first.until(async || asked().await == wanted).await;
    }
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let target = TestTarget::waiting().await;
    let mut gateway = TestGateway::new().route("/", [&target]).start().await;
    gateway.applied().await;
    let mut call = JoinSet::new();
    call.spawn(Call::new(gateway.proxy(), "GET /").try_send());
    target.arrived().await;
    gateway.process.signal(Signal::QUIT).unwrap();
    gateway.process.log.line("being drained", PATIENCE).await.unwrap();
    let begun = Instant::now();
    assert_eq!(gateway.terminate().await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(call.join_next().await.unwrap().unwrap().is_err(), "there is nobody to answer");
}

#[tokio::test]
async fn a_hangup_changes_the_log_level_and_names_what_waits_for_a_restart() {
    let settings = tempfile::NamedTempFile::new().unwrap();
    fs::write(settings.path(), "log_level = 'notice'").unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_CONFIG", settings.path().to_str().unwrap()).start().await;
    fs::write(settings.path(), "log_level = 'debug'\nupload_limit = '1MiB'").unwrap();
    gateway.process.signal(Signal::HUP).unwrap();
    gateway.process.log.line("\"settings\":\"upload_limit\"", PATIENCE).await.unwrap();
    let level = gateway.admin.get("/debug/node/log-level").await.expect(200).text();
    assert!(level.contains("debug"), "{level}");
}

#[tokio::test]
async fn a_hangup_with_settings_that_are_wrong_changes_nothing() {
    let settings = tempfile::NamedTempFile::new().unwrap();
    let gateway = TestGateway::new().setting("SANDGATE_CONFIG", settings.path().to_str().unwrap()).start().await;
    fs::write(settings.path(), "log_level = 'debug'\ncolour = 'red'").unwrap();
    gateway.process.signal(Signal::HUP).unwrap();
    gateway.process.log.line("the settings stay as they are", PATIENCE).await.unwrap();
    let level = gateway.admin.get("/debug/node/log-level").await.expect(200).text();
    assert!(level.contains("notice"), "{level}");
}

#[tokio::test]
async fn an_access_log_that_was_moved_is_opened_again() {
    let target = TestTarget::answering("a").await;
    let gateway = TestGateway::new().setting("SANDGATE_PROXY_ACCESS_LOG", "access.log").route("/", [&target]);
    let gateway = gateway.start().await;
    gateway.get("/first").await.expect(200);
    gateway.lines("access.log", 1).await;
    fs::rename(gateway.file("access.log"), gateway.file("access.log.1")).unwrap();
    gateway.process.signal(Signal::USR1).unwrap();
    gateway.until(async || gateway.file("access.log").exists()).await;
    gateway.get("/second").await.expect(200);
    assert!(gateway.lines("access.log", 1).await[0].contains("/second"));
}

#[tokio::test]
async fn commands_find_the_process_by_its_file() {
    let mut gateway = TestGateway::new().start().await;
    let id = fs::read_to_string(gateway.file("sandgate.pid")).unwrap();
    assert_eq!(id.trim(), gateway.process.id().to_string());
    assert!(gateway.command(&["reload"]).is_ok());
    gateway.process.log.line("the settings were read again", PATIENCE).await.unwrap();
    assert!(gateway.command(&["health"]).unwrap().contains("runs"));
    assert!(gateway.command(&["quit"]).is_ok());
    assert_eq!(gateway.process.ended(PATIENCE).await.unwrap().code(), Some(0));
    assert!(!gateway.file("sandgate.pid").exists());
    assert!(gateway.command(&["stop"]).unwrap_err().contains("no gateway runs"));
}

/// What a service manager hears. It listens at all times, as a real one does: the kernel keeps ten messages and no more.
fn listening(manager: UnixDatagram) -> mpsc::Receiver<String> {
    let (tell, states) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = [0; 256];
        while let Ok(length) = manager.recv(&mut text) {
            if tell.send(String::from_utf8_lossy(&text[..length]).into_owned()).is_err() {
                return;
            }
        }
    });
    states
}

#[tokio::test]
async fn the_service_manager_hears_of_start_reload_and_end() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let states = listening(manager);
    let gateway = TestGateway::new().setting("NOTIFY_SOCKET", path.to_str().unwrap());
    let mut gateway = gateway.setting("WATCHDOG_USEC", "200000").start().await;
    let heard = |wanted: &str| {
        loop {
            let state = states.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            if state.contains(wanted) {
                return state;
            }
        }
    };
    assert!(heard("READY=1").contains(&format!("MAINPID={}", gateway.process.id())));
    heard("WATCHDOG=1");
    gateway.process.signal(Signal::HUP).unwrap();
    heard("RELOADING=1\nMONOTONIC_USEC=");
    heard("READY=1");
    gateway.process.hand_over(PATIENCE * 3).await.unwrap();
    assert!(heard("MAINPID").contains(&gateway.process.id().to_string()));
    gateway.process.terminate().unwrap();
    heard("STOPPING=1");
}

/// A process that ends with its value.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Waits for a line of a process started by hand.
fn line(output: impl Read, wanted: &str) -> String {
    use std::io::BufRead as _;
    let lines = std::io::BufReader::new(output).lines().map_while(Result::ok);
    let mut seen = Vec::new();
    for line in lines {
        if line.contains(wanted) {
            return line;
        }
        seen.push(line);
    }
    panic!("no line with {wanted}: {seen:#?}");
}

#[test]
fn sockets_of_systemd_are_served_by_every_worker() {
    let (data, folder) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (proxy, admin) = (folder.path().join("proxy"), folder.path().join("admin"));
    let mut command = Command::new("systemd-socket-activate");
    command.arg(format!("--listen={}", proxy.display())).arg(format!("--listen={}", admin.display()));
    let settings = [
        ("SANDGATE_PROXY_LISTEN", format!("unix:{}", proxy.display())),
        ("SANDGATE_ADMIN_LISTEN", format!("unix:{}", admin.display())),
        ("SANDGATE_STATUS_LISTEN", "off".to_owned()),
        ("SANDGATE_WORKERS", "2".to_owned()),
        ("SANDGATE_DATA_DIR", data.path().display().to_string()),
        ("SANDGATE_PLUGIN_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled").to_owned()),
    ];
    for (name, value) in settings {
        command.arg(format!("--setenv={name}={value}"));
    }
    command.arg(env!("CARGO_BIN_EXE_sandgate")).arg("run").stderr(Stdio::piped());
    let mut process = Killed(command.spawn().expect("systemd-socket-activate, of the package systemd"));
    let mut log = process.0.stderr.take().unwrap();
    // The first connection starts the gateway.
    let end = Instant::now() + PATIENCE;
    while !proxy.exists() {
        assert!(Instant::now() < end, "nobody listens");
        std::thread::sleep(Duration::from_millis(10));
    }
    let waiting = std::thread::spawn({
        let proxy = proxy.clone();
        move || ask(&proxy, "/")
    });
    line(&mut log, "sandgate is ready");
    assert!(waiting.join().unwrap().starts_with("HTTP/1.1 404 "), "what waited in the queue is answered");
    for _ in 0..20 {
        assert!(ask(&proxy, "/").starts_with("HTTP/1.1 404 "));
    }
    assert!(ask(&admin, "/").starts_with("HTTP/1.1 200 "));
}

/// The exit code of a command, and what it says.
fn command(data: &TempDir, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandgate"));
    command.args(arguments).env_clear().env("SANDGATE_DATA_DIR", data.path()).env("MY_LEVEL", "debug");
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn migrations_that_are_pending_have_an_exit_code_of_their_own() {
    let data = TempDir::new().unwrap();
    let (code, text) = command(&data, &["migrate", "status"]);
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("0001 initial: pending"), "{text}");
    assert_eq!(command(&data, &["migrations", "bootstrap"]).0, Some(0));
    let (code, text) = command(&data, &["migrations", "list"]);
    assert!(code == Some(0) && text.contains("0001 initial: applied") && !text.contains("pending"), "{text}");
}

#[test]
fn a_check_reads_the_declarative_file_too() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("kong.yaml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        command(&data, &["check", "--declarative-config", file.to_str().unwrap()])
    };
    let (code, text) = check("_format_version: '3.0'\nservices:\n- name: a\n  url: http://a.test\n");
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = check("_format_version: '3.0'\nservices:\n- nme: a\n");
    assert!(code == Some(1) && text.contains("in 'nme': unknown field"), "{text}");
}

#[test]
fn a_setting_may_refer_to_a_variable_and_shows_the_reference() {
    let data = TempDir::new().unwrap();
    let (code, text) = command(&data, &["config", "show", "--log-level", "{vault://env/my-level}"]);
    assert!(code == Some(0) && text.contains("log_level = \"{vault://env/my-level}\"  # --log-level"), "{text}");
    let (code, text) = command(&data, &["check", "--log-level", "{vault://env/nothing}"]);
    assert!(code == Some(1) && text.contains("the vault has no such secret"), "{text}");
}
