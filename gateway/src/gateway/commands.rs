//! Commands beside a gateway: its database's schema, and signals to the process that runs.

use std::{fmt::Write as _, fs, path::Path};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::runtime::Builder as RuntimeBuilder;

use super::{GatewayError, database, prepare_folder, system};
use crate::{
    config::Config,
    store::{self, Migration},
};

/// What a running gateway is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Open requests are answered, then it ends.
    Quit,
    /// It ends at once.
    Stop,
    /// Reads its settings and declarative file again.
    Reload,
    /// Hands its sockets to a new process of the program as it is on disk now.
    Upgrade,
    /// Nothing: whether it runs is the question.
    Health,
}

/// Tells the process that the pid file names. Answers with what was done.
///
/// # Errors
/// When none runs.
pub fn tell(config: &Config, order: Order) -> Result<String, GatewayError> {
    let process = running(&config.pid_file).ok_or_else(|| GatewayError::NotRunning(config.pid_file.clone()))?;
    let (signals, done): (&[Signal], _) = match order {
        Order::Quit => (&[Signal::QUIT], "is asked to end when its requests are answered"),
        // The second one cuts what the first one leaves.
        Order::Stop => (&[Signal::TERM, Signal::TERM], "is told to end"),
        Order::Reload => (&[Signal::HUP], "reads its settings again; its log tells what came of it"),
        Order::Upgrade => (&[Signal::USR2], "starts another process that takes over; its log tells what came of it"),
        Order::Health => (&[], "runs"),
    };
    for (number, signal) in signals.iter().enumerate() {
        if number > 0 {
            // Two of a kind that come together are one.
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        match kill_process(process, *signal) {
            // It ended with the first one.
            Err(_) if number > 0 => {}
            sent => sent.map_err(|error| system("the signal")(error.into()))?,
        }
    }
    Ok(format!("gateway {} {done}", process.as_raw_nonzero()))
}

fn running(file: &Path) -> Option<Pid> {
    let process = Pid::from_raw(fs::read_to_string(file).ok()?.trim().parse().ok()?)?;
    test_kill_process(process).ok().map(|()| process)
}

/// Every migration and whether the database has it; and whether it has all.
///
/// # Errors
/// When there is no database, or it cannot be asked.
pub fn migrations(config: &Config) -> Result<(String, bool), GatewayError> {
    let place = database::place(config).ok_or(GatewayError::NoDatabase)?;
    let runtime = RuntimeBuilder::new_current_thread().enable_all().build().map_err(system("a runtime"))?;
    let listed = runtime.block_on(store::migrations(&place))?;
    let mut text = String::new();
    for Migration { number, name, applied } in &listed {
        let state = if *applied { "applied" } else { "pending" };
        _ = writeln!(text, "{number:04} {name}: {state}");
    }
    Ok((text.trim_end().to_owned(), listed.iter().all(|migration| migration.applied)))
}

/// Applies the migrations that the database lacks.
///
/// # Errors
/// When there is no database, or it refuses.
pub fn migrate(config: &Config) -> Result<String, GatewayError> {
    let place = database::place(config).ok_or(GatewayError::NoDatabase)?;
    if let store::Database::Sqlite(_) = place {
        prepare_folder(&config.data_dir)?;
    }
    let runtime = RuntimeBuilder::new_current_thread().enable_all().build().map_err(system("a runtime"))?;
    runtime.block_on(async {
        let before = store::migrations(&place).await?;
        store::open(&place).await?.close().await;
        let count = before.iter().filter(|migration| !migration.applied).count();
        Ok(format!("{count} migrations applied; the database is up to date"))
    })
}
