//! What a Debian with nothing but rustup lacks. Asks for what is missing only, so a second run does nothing.

use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::shell::{self, say};
use crate::toolchain::{CORE, Toolchain, WASI};

#[path = "../../tests/harness/python.rs"]
mod python;

/// `cargo xtask setup`
#[derive(clap::Args)]
pub struct Options {
    /// What the machine is for
    #[arg(long = "for", value_enum, default_value_t = Purpose::Bench)]
    purpose: Purpose,
}

/// Each needs what those before it need, too.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Purpose {
    /// Build the gateway and its plugins, run the demo
    Run,
    /// Run every test
    Test,
    /// Measure beside nginx
    Bench,
}

/// A program or file, and Debian's package of it.
struct Need {
    since: Purpose,
    present: fn() -> bool,
    package: &'static str,
}

/// For what each Debian package is needed. A C compiler and cmake build aws-lc and SQLite.
const NEEDS: [Need; 17] = [
    Need { since: Purpose::Run, present: || program("cc"), package: "build-essential" },
    Need { since: Purpose::Run, present: || program("cmake"), package: "cmake" },
    Need { since: Purpose::Run, present: || program("pkg-config"), package: "pkg-config" },
    Need { since: Purpose::Test, present: || program("curl"), package: "curl" },
    Need { since: Purpose::Test, present: || program("python3"), package: "python3" },
    Need { since: Purpose::Test, present: venv, package: "python3-venv" },
    Need { since: Purpose::Test, present: || program("openssl"), package: "openssl" },
    Need { since: Purpose::Test, present: || program("h2load"), package: "nghttp2-client" },
    Need { since: Purpose::Test, present: || package("postgresql"), package: "postgresql" },
    Need { since: Purpose::Test, present: || program("haproxy"), package: "haproxy" },
    Need { since: Purpose::Test, present: || program("nginx"), package: "nginx" },
    Need { since: Purpose::Test, present: || program("slowhttptest"), package: "slowhttptest" },
    Need { since: Purpose::Test, present: || program("systemd-socket-activate"), package: "systemd" },
    Need { since: Purpose::Bench, present: || package("libnginx-mod-http-lua"), package: "libnginx-mod-http-lua" },
    Need { since: Purpose::Bench, present: || package("lua-cjson"), package: "lua-cjson" },
    Need { since: Purpose::Bench, present: || program("wrk"), package: "wrk" },
    Need { since: Purpose::Bench, present: || program("valgrind"), package: "valgrind" },
];

/// Installs what is missing for the purpose.
pub fn run(options: &Options) -> Result<()> {
    prepare(options.purpose)
}

/// The same for a command that needs it.
pub fn prepare(purpose: Purpose) -> Result<()> {
    let missing: Vec<_> = NEEDS.iter().filter(|need| need.since <= purpose && !(need.present)()).collect();
    let packages: Vec<_> = missing.iter().map(|need| need.package).collect();
    install(&packages)?;
    Toolchain::prepare(CORE)?;
    if purpose >= Purpose::Test {
        say("the Python environment of the tests");
        python::environment(&shell::target()).context("making the Python environment of the tests")?;
    }
    if purpose >= Purpose::Test
        && let Err(error) = Toolchain::prepare(WASI)
    {
        say(format!("guests for {WASI} will be left out: {error:#}"));
    }
    say("this machine has what is needed");
    Ok(())
}

/// Installs those Debian packages that are not there yet.
pub fn install(packages: &[&str]) -> Result<()> {
    let missing: Vec<_> = packages.iter().copied().filter(|name| !package(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !program("apt-get") {
        bail!("please install the like of Debian's {}: this machine has no apt-get", missing.join(", "));
    }
    say(format!("installing Debian's {}", missing.join(", ")));
    let install = || apt(&["install", "--yes", "--no-install-recommends"], &missing);
    // The lists of a fresh machine are absent or old; those of another are good enough at the first try.
    if install().is_ok() {
        return Ok(());
    }
    apt(&["update"], &[])?;
    install()
}

fn apt(arguments: &[&str], packages: &[&str]) -> Result<()> {
    let root = shell::output(Command::new("id").arg("-u"))?.trim() == "0";
    let mut command = match (root, program("sudo")) {
        (true, _) => shell::command("apt-get"),
        (false, true) => shell::command("sudo"),
        (false, false) => bail!("installing packages needs root: run this as root, or install {}", packages.join(", ")),
    };
    if !root {
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    }
    shell::run(command.env("DEBIAN_FRONTEND", "noninteractive").arg("-q").args(arguments).args(packages))
}

fn program(name: &str) -> bool {
    shell::find(name).is_some()
}

/// Whether Python can make environments: Debian keeps that apart.
fn venv() -> bool {
    shell::succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"]))
}

fn package(name: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    shell::output(query.args(["--show", "--showformat=${db:Status-Status}", name])).is_ok_and(|is| is == "installed")
}
