//! Declarative files: gateways without a database, and the commands that bring files and databases together.

mod commands;
mod endpoint;
mod handover;
mod hostile;
mod read_only;
mod serving;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::harness::TestGateway;

/// A gateway without a database.
fn without_database() -> TestGateway {
    TestGateway::new().setting("SANDGATE_DATABASE_URL", "off")
}

/// A directory with files for commands.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `sandgate config …` on the database file `database`.
    fn config(&self, database: &Path, arguments: &[&str]) -> Said {
        self.command(database, arguments).output().unwrap().into()
    }

    /// The same with this text at standard input.
    fn config_reading(&self, database: &Path, arguments: &[&str], text: &str) -> Said {
        let input = File::open(self.write("input", text)).unwrap();
        self.command(database, arguments).stdin(input).output().unwrap().into()
    }

    fn command(&self, database: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sandgate"));
        command.arg("config").args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("SANDGATE_DATA_DIR", self.path("data"));
        command.env("SANDGATE_PLUGIN_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled"));
        command.env("SANDGATE_DATABASE_URL", format!("sqlite://{}", database.display()));
        command.env("DECK_HOST", "from.deck");
        command
    }
}

/// What a command said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    error: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), error: text(output.stderr) }
    }
}

impl Said {
    #[track_caller]
    fn well(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.error);
        self.out
    }
}
