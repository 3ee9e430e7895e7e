//! The node's log: one line an event on standard error.

use std::str::FromStr;

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
