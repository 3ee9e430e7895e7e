//! The command line: from arguments and environment to what is meant. No logic beyond that.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{
    admin::NewToken,
    config::{self, Config, ConfigError, Settings},
};

/// An API gateway in which every plugin is a sandboxed WebAssembly component.
#[derive(Debug, Parser)]
#[command(name = "sandgate", version)]
struct Arguments {
    #[command(subcommand)]
    command: Typed,
}

#[derive(Debug, Subcommand)]
enum Typed {
    /// Runs the gateway until SIGTERM
    Run(Node),
    /// Reads the settings and shows every mistake
    Check(Node),
    /// Tokens of the Admin API, on the database itself: for whoever is locked out
    #[command(subcommand)]
    AdminToken(TypedToken),
    /// Shows the version
    Version,
}

#[derive(Debug, Subcommand)]
enum TypedToken {
    /// Makes a token and shows it, this once; running gateways know it within a second or two
    Create {
        /// Name of the token, for /admin-tokens, the log and the audit
        #[arg(long)]
        name: String,
        /// Role of the token; may be given again
        #[arg(long = "role", value_name = "NAME", default_value = "admin")]
        roles: Vec<String>,
        /// How long it is valid, such as 90m or 720h [default: until it is deleted]
        #[arg(long, value_name = "DURATION")]
        ttl: Option<String>,
        #[command(flatten)]
        node: Box<Node>,
    },
}

/// Each flag is also a `SANDGATE_*` variable and a key of the file, with `_` for `-`.
#[derive(Debug, clap::Args)]
struct Node {
    /// TOML file with settings; flags and SANDGATE_* variables go over it
    #[arg(long, value_name = "PATH", env = "SANDGATE_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// What the operator wants.
#[derive(Debug)]
pub enum Command {
    /// Run the gateway.
    Run(Box<Config>),
    /// The settings were checked and are these.
    Check(Box<Config>),
    /// Make a token in the database.
    NewToken(Box<Config>, NewToken),
    /// Show the version.
    Version,
}

/// Why there is no command.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Unknown arguments, or a wish for help: `clap` prints it and knows the exit code (`exit`).
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    /// The settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Reads the command line of this process, the first argument being the program, and its environment.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, CliError> {
    match Arguments::try_parse_from(arguments)?.command {
        Typed::Run(node) => node.config().map(Box::new).map(Command::Run),
        Typed::Check(node) => node.config().map(Box::new).map(Command::Check),
        Typed::AdminToken(TypedToken::Create { name, roles, ttl, node }) => {
            let life = ttl.as_deref().map(life).transpose()?;
            Ok(Command::NewToken(Box::new(node.config()?), NewToken { name, roles, life }))
        }
        Typed::Version => Ok(Command::Version),
    }
}

fn life(text: &str) -> Result<Duration, CliError> {
    config::duration(text)
        .map_err(|problem| clap::Error::raw(ErrorKind::ValueValidation, format!("--ttl: {problem}\n")).into())
}

impl Node {
    fn config(&self) -> Result<Config, CliError> {
        Ok(Config::load(&self.settings, std::env::vars_os(), self.config.as_deref())?)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_flag_reaches_the_config() {
        let arguments = ["sandgate", "run", "--workers", "3", "--proxy-listen", "127.0.0.1:0"];
        let Ok(Command::Run(config)) = parse(arguments.map(OsString::from)) else { panic!("run is a command") };
        assert_eq!((config.workers.get(), config.proxy_listen.len()), (3, 1));
    }

    #[test]
    fn a_wrong_flag_is_named() {
        let mistake = parse(["sandgate", "check", "--workers", "many"].map(OsString::from)).unwrap_err();
        assert!(mistake.to_string().contains("--workers: `many` is not a whole number"), "{mistake}");
    }
}
