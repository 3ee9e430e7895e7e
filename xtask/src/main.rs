//! What the workspace needs beyond plain cargo. One subcommand a file; `shell` is what they share.

mod bench;
mod ci;
mod demo;
mod example;
mod gateway;
mod http;
mod plugins;
mod setup;
mod shell;
mod suite;
mod tidy;
mod toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what this machine lacks; says what it does, does nothing twice
    Setup(setup::Options),
    /// Build every plugin to a component in target/plugins
    Plugins(plugins::Options),
    /// Set up, build everything and run every test
    Test(suite::Options),
    /// Start a gateway and a demo upstream, configure both plugins of the demo and call them
    Run(demo::Options),
    /// Measure sizes and check the rules that no lint has
    Tidy,
    /// Everything that must pass before a change goes in
    Ci,
    /// Measure the gateway beside nginx and write docs/performance.md
    Bench(bench::Options),
    #[command(hide = true)]
    BenchBackend(bench::backend::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Setup(options) => setup::run(&options),
        Command::Plugins(options) => plugins::run(&options),
        Command::Test(options) => suite::run(&options),
        Command::Run(options) => demo::run(&options),
        Command::Tidy => tidy::run(),
        Command::Ci => ci::run(),
        Command::Bench(options) => bench::run(&options),
        Command::BenchBackend(options) => bench::backend::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
