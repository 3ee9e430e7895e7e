//! The node's log: one line an event on standard error.

use std::{
    io::IsTerminal,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tracing_subscriber::{
    Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// How much the node logs: everything at least this severe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What may fail soon.
    Warn,
    /// What an operator should know in normal operation. Default.
    #[default]
    Notice,
    /// Every step of the control plane.
    Info,
    /// What a developer wants to see.
    Debug,
}

/// A name that is no log level or format.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is none of {1}")]
pub struct UnknownName(String, &'static str);

impl LogLevel {
    /// As settings and the Admin API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl FromStr for LogLevel {
    type Err = UnknownName;

    /// Kong's names; its three levels above `error` mean `error` here.
    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "emerg" | "alert" | "crit" | "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "notice" => Ok(Self::Notice),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            other => Err(UnknownName(other.to_owned(), "error, warn, notice, info, debug")),
        }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people. Default.
    #[default]
    Plain,
    /// One JSON object a line, for machines.
    Json,
}

impl FromStr for LogFormat {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        match name {
            "plain" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            other => Err(UnknownName(other.to_owned(), "plain, json")),
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// This process has one already.
    #[error("the log was set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends the events of this process to standard error from now on. Fails when that was done before.
pub fn log_to_stderr(level: LogLevel, format: LogFormat) -> Result<LogDial, LogError> {
    let lines = fmt::layer().with_writer(std::io::stderr);
    let (filter, dial) = LogDial::new(level);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Plain => registry.with(lines.with_ansi(std::io::stderr().is_terminal())).try_init()?,
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init()?,
    }
    Ok(dial)
}

/// Changes how much a running node logs. A clone is another hand at the same dial.
#[derive(Debug, Clone)]
pub struct LogDial {
    filter: reload::Handle<Targets, Registry>,
    setting: Arc<Mutex<Setting>>,
}

#[derive(Debug)]
struct Setting {
    configured: LogLevel,
    now: LogLevel,
    /// Counts the changes, so that the end of one does not undo a later one.
    turn: u64,
}

impl LogDial {
    fn new(level: LogLevel) -> (reload::Layer<Targets, Registry>, Self) {
        let (layer, filter) = reload::Layer::new(level.filter());
        let setting = Setting { configured: level, now: level, turn: 0 };
        (layer, Self { filter, setting: Arc::new(Mutex::new(setting)) })
    }

    /// How much is logged now.
    pub fn level(&self) -> LogLevel {
        self.setting().now
    }

    /// Logs so much from now on. Answers with what [`LogDial::restore`] needs.
    pub fn turn(&self, level: LogLevel) -> u64 {
        let mut setting = self.setting();
        setting.turn += 1;
        setting.now = level;
        self.apply(level);
        setting.turn
    }

    /// The level by setting has changed: logs so much from now on.
    pub fn configure(&self, level: LogLevel) {
        self.setting().configured = level;
        self.turn(level);
    }

    /// Back to the configured level, unless the dial was turned again since then.
    pub fn restore(&self, turn: u64) {
        let mut setting = self.setting();
        if setting.turn == turn {
            setting.now = setting.configured;
            self.apply(setting.configured);
        }
    }

    fn apply(&self, level: LogLevel) {
        // Fails only once there is no log any more.
        _ = self.filter.reload(level.filter());
    }

    fn setting(&self) -> MutexGuard<'_, Setting> {
        self.setting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogLevel {
    /// `tracing` has no notice: it is `INFO` there, and what is below moves down by one. Libraries speak one level less
    /// than the gateway from there on.
    fn filter(self) -> Targets {
        let (own, others) = match self {
            Self::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
            Self::Warn => (LevelFilter::WARN, LevelFilter::WARN),
            Self::Notice => (LevelFilter::INFO, LevelFilter::WARN),
            Self::Info => (LevelFilter::DEBUG, LevelFilter::INFO),
            Self::Debug => (LevelFilter::TRACE, LevelFilter::DEBUG),
        };
        // rustls warns of what any client may send as often as it likes, such as an address for a name: that is counted.
        let tls = if self == Self::Debug { others } else { LevelFilter::ERROR };
        Targets::new().with_default(others).with_target("sandgate", own).with_target("rustls", tls)
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn the_end_of_a_change_does_not_undo_a_later_one() {
        let (_layer, dial) = LogDial::new(LogLevel::Notice);
        let first = dial.turn(LogLevel::Debug);
        let second = dial.turn(LogLevel::Error);
        dial.restore(first);
        assert_eq!(dial.level(), LogLevel::Error);
        dial.restore(second);
        assert_eq!(dial.level(), LogLevel::Notice);
    }

    #[test]
    fn each_level_lets_more_through() {
        let cases = [
            (LogLevel::Error, "sandgate::proxy", Level::WARN, false),
            (LogLevel::Warn, "sandgate::proxy", Level::WARN, true),
            (LogLevel::Warn, "sandgate::proxy", Level::INFO, false),
            (LogLevel::Notice, "sandgate::proxy", Level::INFO, true),
            (LogLevel::Notice, "sqlx::query", Level::INFO, false),
            (LogLevel::Notice, "sqlx::query", Level::WARN, true),
            (LogLevel::Info, "rustls::msgs::handshake", Level::WARN, false),
            (LogLevel::Debug, "rustls::msgs::handshake", Level::WARN, true),
            (LogLevel::Info, "sandgate::store", Level::DEBUG, true),
            (LogLevel::Info, "sandgate::store", Level::TRACE, false),
            (LogLevel::Debug, "sandgate::store", Level::TRACE, true),
            (LogLevel::Debug, "hyper", Level::TRACE, false),
        ];
        for (level, target, event, seen) in cases {
            assert_eq!(level.filter().would_enable(target, &event), seen, "{level:?} {target} {event}");
        }
    }
}
