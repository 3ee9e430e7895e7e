//! Numbers with a meaning, as settings write them: `32KiB`, `30s`.

use std::{fmt, str::FromStr, time::Duration};

use super::Problem;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(u64);

impl ByteCount {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes, for sizes in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes > 0 && bytes % (1 << 20) == 0 => write!(out, "{}MiB", bytes >> 20),
            bytes if bytes > 0 && bytes % (1 << 10) == 0 => write!(out, "{}KiB", bytes >> 10),
            bytes => write!(out, "{bytes}"),
        }
    }
}

impl FromStr for ByteCount {
    type Err = Problem;

    /// A whole number, alone or with `KiB`, `MiB`, `GiB` or nginx's `k`, `m`, `g` behind it.
    fn from_str(text: &str) -> Result<Self, Problem> {
        let (number, unit) = split(text);
        let shift = match unit {
            "" | "B" => 0,
            "k" | "K" | "KiB" => 10,
            "m" | "M" | "MiB" => 20,
            "g" | "G" | "GiB" => 30,
            _ => return Err(Problem::Bytes(text.to_owned())),
        };
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        bytes.map(Self).ok_or_else(|| Problem::Bytes(text.to_owned()))
    }
}

/// A whole number with `ms`, `s`, `m`, `h` or `d` behind it; `0` needs no unit.
///
/// # Errors
/// When it is anything else.
pub fn duration(text: &str) -> Result<Duration, Problem> {
    let (number, unit) = split(text);
    let problem = || Problem::Duration(text.to_owned());
    let number: u64 = number.parse().map_err(|_| problem())?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        "" if number == 0 => Some(0),
        _ => None,
    };
    millis.map(Duration::from_millis).ok_or_else(problem)
}

fn split(text: &str) -> (&str, &str) {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    (number, unit.trim_start())
}
