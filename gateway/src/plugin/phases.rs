//! Phases by name.

/// A set of phases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phases(u8);

impl Phases {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// `request-headers`.
    pub const REQUEST_HEADERS: Self = Self(1);
    /// `request-body`.
    pub const REQUEST_BODY: Self = Self(2);
    /// `response-headers`.
    pub const RESPONSE_HEADERS: Self = Self(4);
    /// `response-body`.
    pub const RESPONSE_BODY: Self = Self(8);
    /// `log`.
    pub const LOG: Self = Self(16);
    /// `batch`.
    pub const BATCH: Self = Self(32);
    /// `timer`.
    pub const TIMER: Self = Self(64);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::REQUEST_HEADERS, "request-headers"),
        (Self::REQUEST_BODY, "request-body"),
        (Self::RESPONSE_HEADERS, "response-headers"),
        (Self::RESPONSE_BODY, "response-body"),
        (Self::LOG, "log"),
        (Self::BATCH, "batch"),
        (Self::TIMER, "timer"),
    ];

    /// Other interfaces by which a phase is called.
    const SHORT: [(Self, &'static str); 2] =
        [(Self::REQUEST_HEADERS, "request-head"), (Self::RESPONSE_HEADERS, "response-head")];

    /// The phase of an interface, or none.
    pub fn of(interface: &str) -> Self {
        let mut all = Self::NAMES.iter().chain(&Self::SHORT);
        all.find(|(_, known)| *known == interface).map_or(Self::NONE, |(phase, _)| *phase)
    }

    /// Both sets together.
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a phase is among them.
    pub fn has(self, phase: Self) -> bool {
        self.0 & phase.0 != 0
    }

    /// Names, in the order in which the phases come.
    pub fn names(self) -> Vec<&'static str> {
        Self::NAMES.iter().filter(|(phase, _)| self.has(*phase)).map(|(_, name)| *name).collect()
    }

    /// Whether it takes part before the answer: then a failure closes by default.
    pub fn decides(self) -> bool {
        self.has(Self(
            Self::REQUEST_HEADERS.0 | Self::REQUEST_BODY.0 | Self::RESPONSE_HEADERS.0 | Self::RESPONSE_BODY.0,
        ))
    }
}
