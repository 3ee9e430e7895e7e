//! The command line: from arguments and environment to what is meant. No logic beyond that.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{
    admin::{NewToken, declarative::Reading},
    config::{self, Config, ConfigError, Origin, Settings},
    gateway::{self, Files, FilesError, Order},
    store::Upkeep,
    vault,
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
    /// Reads the settings and the declarative file they name, and shows every mistake
    Check(Node),
    /// Tells the running gateway to end when its requests are answered
    Quit(Node),
    /// Tells the running gateway to end at once
    Stop(Node),
    /// Tells the running gateway to read its settings, declarative file and log files again
    Reload(Node),
    /// Has a new process take over from the running gateway, without losing a request
    Upgrade(Node),
    /// Tells whether a gateway runs
    Health(Node),
    /// The schema of the configuration database
    #[command(subcommand, alias = "migrations")]
    Migrate(TypedMigrate),
    /// Settings and declarative files: shows, checks, imports, exports and compares them
    #[command(subcommand)]
    Config(TypedFiles),
    /// Tokens of the Admin API, on the database itself: for whoever is locked out
    #[command(subcommand)]
    AdminToken(TypedToken),
    /// Shows the version
    Version,
}

#[derive(Debug, Subcommand)]
enum TypedMigrate {
    /// Applies what is missing; a gateway that starts does so itself
    #[command(aliases = ["bootstrap", "finish"])]
    Up(Node),
    /// Lists every step; exit code 5 when some are pending
    #[command(alias = "list")]
    Status(Node),
}

#[derive(Debug, Subcommand)]
enum TypedFiles {
    /// Shows the settings in force, where each comes from, and no secrets
    Show {
        #[command(flatten)]
        node: Node,
    },
    /// Writes a sample file
    Init {
        /// Where to
        #[arg(default_value = "kong.yaml")]
        file: PathBuf,
    },
    /// Tells what is wrong with a file
    Check {
        /// .json, .yaml or .yml; - for standard input
        file: PathBuf,
        /// Takes what an import takes: also what decK writes
        #[arg(long)]
        import: bool,
        #[command(flatten)]
        node: Node,
    },
    /// Shows the configuration of the database
    Dump {
        /// Where to; - for standard output
        #[arg(short, long, value_name = "FILE", default_value = "-")]
        output_file: PathBuf,
        #[command(flatten)]
        node: Node,
    },
    /// Brings the database to what a file says
    Import {
        /// .json, .yaml or .yml, also as decK writes them; - for standard input
        file: PathBuf,
        /// Deletes what the file does not have; with select_tags in the file, only what has those
        #[arg(long)]
        prune: bool,
        #[command(flatten)]
        node: Node,
    },
    /// Writes the configuration of the database to a file
    Export {
        /// Where to; what is there is replaced; - for standard output
        #[arg(default_value = "kong.yaml")]
        file: PathBuf,
        #[command(flatten)]
        node: Node,
    },
    /// Shows what an import would change; exit code 1 if anything
    Diff {
        /// .json, .yaml or .yml, also as decK writes them; - for standard input
        file: PathBuf,
        /// Of an import that deletes what the file does not have
        #[arg(long)]
        prune: bool,
        /// decK's exit codes: 2 if anything would change, 1 for trouble
        #[arg(long)]
        non_zero_exit_code: bool,
        #[command(flatten)]
        node: Node,
    },
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
    Run(Box<Config>, Box<Origin>),
    /// The settings were checked and are these; a declarative file is not yet.
    Check(Box<Config>),
    /// Tell the running gateway.
    Tell(Box<Config>, Order),
    /// Apply the migrations that are missing.
    MigrateUp(Box<Config>),
    /// List the migrations.
    MigrateStatus(Box<Config>),
    /// Do something with a declarative file.
    Files(FilesCommand),
    /// Make a token in the database.
    NewToken(Box<Config>, NewToken),
    /// Show the version.
    Version,
}

/// What to do with a declarative file.
#[derive(Debug)]
pub enum FilesCommand {
    /// Show the settings.
    Show(Box<Config>),
    /// Write a sample.
    Init(PathBuf),
    /// Check it, as a gateway or as an import takes it.
    Check(PathBuf, Reading, Box<Config>),
    /// Import it, and delete what it does not have if that is so.
    Import(PathBuf, bool, Box<Config>),
    /// Write the database as a file, or show it.
    Export(PathBuf, Box<Config>),
    /// Show what such an import would change.
    Diff(PathBuf, bool, Box<Config>, ExitCodes),
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
        Typed::Run(node) => {
            let origin = node.origin();
            Ok(Command::Run(Box::new(origin.load()?), Box::new(origin)))
        }
        Typed::Check(node) => node.config().map(Box::new).map(Command::Check),
        Typed::Quit(node) => tell(&node, Order::Quit),
        Typed::Stop(node) => tell(&node, Order::Stop),
        Typed::Reload(node) => tell(&node, Order::Reload),
        Typed::Upgrade(node) => tell(&node, Order::Upgrade),
        Typed::Health(node) => tell(&node, Order::Health),
        Typed::Migrate(TypedMigrate::Up(node)) => node.config().map(Box::new).map(Command::MigrateUp),
        Typed::Migrate(TypedMigrate::Status(node)) => node.config().map(Box::new).map(Command::MigrateStatus),
        Typed::Config(typed) => files(typed).map(Command::Files),
        Typed::AdminToken(TypedToken::Create { name, roles, ttl, node }) => {
            let life = ttl.as_deref().map(life).transpose()?;
            Ok(Command::NewToken(Box::new(node.config()?), NewToken { name, roles, life }))
        }
        Typed::Version => Ok(Command::Version),
    }
}

fn tell(node: &Node, order: Order) -> Result<Command, CliError> {
    Ok(Command::Tell(Box::new(node.config()?), order))
}

fn files(typed: TypedFiles) -> Result<FilesCommand, CliError> {
    let meant = |node: Node| node.config().map(Box::new);
    Ok(match typed {
        TypedFiles::Show { node } => FilesCommand::Show(meant(node)?),
        TypedFiles::Init { file } => FilesCommand::Init(file),
        TypedFiles::Check { file, import, node } => {
            FilesCommand::Check(file, if import { Reading::Deck } else { Reading::Gateway }, meant(node)?)
        }
        TypedFiles::Dump { output_file, node } => FilesCommand::Export(output_file, meant(node)?),
        TypedFiles::Import { file, prune, node } => FilesCommand::Import(file, prune, meant(node)?),
        TypedFiles::Export { file, node } => FilesCommand::Export(file, meant(node)?),
        TypedFiles::Diff { file, prune, non_zero_exit_code, node } => {
            let codes = if non_zero_exit_code { ExitCodes::OF_DECK } else { ExitCodes::OF_DIFF };
            FilesCommand::Diff(file, prune, meant(node)?, codes)
        }
    })
}

/// What a command about files ends with.
#[derive(Debug, Clone, Copy)]
pub struct ExitCodes {
    /// The answer is not the good one.
    pub different: u8,
    /// There is no answer.
    pub trouble: u8,
}

impl ExitCodes {
    /// As `diff` does.
    const OF_DIFF: Self = Self { different: 1, trouble: 2 };
    /// As `deck gateway diff --non-zero-exit-code` does.
    const OF_DECK: Self = Self { different: 2, trouble: 1 };
}

impl FilesCommand {
    /// What it ends with, if not with 0.
    pub fn exit_codes(&self) -> ExitCodes {
        match self {
            FilesCommand::Diff(.., codes) => *codes,
            _ => ExitCodes::OF_DIFF,
        }
    }

    /// Does it. Answers with what to say, and whether the answer is the good one.
    pub fn run(&self) -> Result<(String, bool), FilesError> {
        Ok(match self {
            FilesCommand::Show(config) => {
                (config.shown.iter().map(|shown| format!("{shown}\n")).collect::<String>().trim_end().to_owned(), true)
            }
            FilesCommand::Init(file) => {
                gateway::write_sample(file)?;
                (format!("{} is written", file.display()), true)
            }
            FilesCommand::Check(file, reading, config) => {
                let entities = Files::open(config)?.check(file, *reading)?;
                let name = if gateway::is_pipe(file) { "standard input".into() } else { file.display().to_string() };
                (format!("{name} is fine: {entities} entities"), true)
            }
            FilesCommand::Import(file, prune, config) => {
                let plan = Files::of_database(config, Upkeep::Migrate)?.import(file, *prune)?;
                (gateway::shown(&plan), true)
            }
            FilesCommand::Export(file, config) if gateway::is_pipe(file) => {
                (Files::open(config)?.export()?.trim_end().to_owned(), true)
            }
            FilesCommand::Export(file, config) => {
                Files::open(config)?.export_to(file)?;
                (format!("{} is written", file.display()), true)
            }
            FilesCommand::Diff(file, prune, config, _) => {
                let plan = Files::of_database(config, Upkeep::Refuse)?.diff(file, *prune)?;
                (gateway::shown(&plan), plan.is_empty())
            }
        })
    }
}

/// Reads the declarative file that the settings name, if they do, as a gateway that starts would.
///
/// # Errors
/// What is wrong with it.
pub fn check(config: &Config) -> Result<String, FilesError> {
    let config::Declarative::File(file) = &config.declarative else { return Ok("the settings are fine".to_owned()) };
    let entities = Files::open(config)?.check(file, Reading::Gateway)?;
    Ok(format!("the settings are fine, and {} with its {entities} entities", file.display()))
}

fn life(text: &str) -> Result<Duration, CliError> {
    config::duration(text)
        .map_err(|problem| clap::Error::raw(ErrorKind::ValueValidation, format!("--ttl: {problem}\n")).into())
}

impl Node {
    fn origin(&self) -> Origin {
        Origin { flags: self.settings.clone(), path: self.config.clone(), vaults: vault::look_up_once }
    }

    fn config(&self) -> Result<Config, CliError> {
        Ok(self.origin().load()?)
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
        let Ok(Command::Run(config, _)) = parse(arguments.map(OsString::from)) else { panic!("run is a command") };
        assert_eq!((config.workers.get(), config.proxy_listen.len()), (3, 1));
    }

    #[test]
    fn a_wrong_flag_is_named() {
        let mistake = parse(["sandgate", "check", "--workers", "many"].map(OsString::from)).unwrap_err();
        assert!(mistake.to_string().contains("--workers: `many` is not a whole number"), "{mistake}");
    }
}
