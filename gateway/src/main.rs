//! The `sandgate` binary: arguments, then the gateway until it is told to end.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use sandgate::{
    admin::NewToken,
    cli::{self, CliError, Command, FilesCommand},
    config::{Config, Origin},
    gateway::{self, Gateway},
    telemetry,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match cli::parse(std::env::args_os()) {
        Ok(Command::Run(config, origin)) => run(&config, *origin),
        Ok(Command::Check(config)) => {
            cli::check(&config).context("checking the declarative file").and_then(|text| say(&text))
        }
        Ok(Command::Tell(config, order)) => {
            gateway::tell(&config, order).map_err(Into::into).and_then(|text| say(&text))
        }
        Ok(Command::MigrateUp(config)) => {
            gateway::migrate(&config).context("migrating the database").and_then(|text| say(&text))
        }
        Ok(Command::MigrateStatus(config)) => return migrations(&config),
        Ok(Command::Files(command)) => return files(&command),
        Ok(Command::NewToken(config, token)) => make_token(&config, token),
        Ok(Command::Version) => say(concat!("sandgate ", env!("CARGO_PKG_VERSION"))),
        Err(CliError::Arguments(error)) => error.exit(),
        Err(CliError::Config(error)) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error, 1),
    }
}

fn files(command: &FilesCommand) -> ExitCode {
    let (codes, outcome) = (command.exit_codes(), command.run().context("using a declarative file"));
    match outcome.and_then(|(text, is_good)| say(&text).map(|()| is_good)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(codes.different),
        Err(error) => failed(&error, codes.trouble),
    }
}

/// Kong's exit code: 5 says that migrations are pending.
fn migrations(config: &Config) -> ExitCode {
    let listed = gateway::migrations(config).context("asking the database");
    match listed.and_then(|(text, is_complete)| say(&text).map(|()| is_complete)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(5),
        Err(error) => failed(&error, 1),
    }
}

fn failed(error: &anyhow::Error, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "sandgate: {error:#}");
    ExitCode::from(code)
}

fn run(config: &Config, origin: Origin) -> anyhow::Result<()> {
    let log = telemetry::log_to_stderr(config.log_level, config.log_format).context("starting the log")?;
    let gateway = Gateway::start(config, origin, log).context("starting the gateway")?;
    gateway.run_until_told().context("ending the gateway")
}

fn make_token(config: &Config, token: NewToken) -> anyhow::Result<()> {
    let token = gateway::new_token(config, token).context("making the token")?;
    say(&token)
}

/// Whoever reads may have had enough, as `head` has.
fn say(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        said => said.context("writing to standard output"),
    }
}
