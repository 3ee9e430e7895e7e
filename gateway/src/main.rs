//! The `sandgate` binary: arguments, then the gateway until it is told to end.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use sandgate::{
    admin::NewToken,
    cli::{self, CliError, Command},
    config::Config,
    gateway::Gateway,
    telemetry,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match cli::parse(std::env::args_os()) {
        Ok(Command::Run(config)) => run(&config),
        Ok(Command::Check(_)) => say("the settings are fine"),
        Ok(Command::NewToken(config, token)) => make_token(&config, token),
        Ok(Command::Version) => say(concat!("sandgate ", env!("CARGO_PKG_VERSION"))),
        Err(CliError::Arguments(error)) => error.exit(),
        Err(CliError::Config(error)) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "sandgate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config) -> anyhow::Result<()> {
    let log = telemetry::log_to_stderr(config.log_level, config.log_format).context("starting the log")?;
    let gateway = Gateway::start(config, log).context("starting the gateway")?;
    gateway.run_until_told().context("ending the gateway")
}

fn make_token(config: &Config, token: NewToken) -> anyhow::Result<()> {
    let token = sandgate::gateway::new_token(config, token).context("making the token")?;
    say(&token)
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("writing to standard output")
}
