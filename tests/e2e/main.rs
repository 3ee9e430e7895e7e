//! The gateway from outside: each test starts the real binary and speaks to it as operators and clients do.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::type_complexity,
    unreachable_pub,
    reason = "all of this is tests and what they are made of"
)]

#[path = "../harness/mod.rs"]
mod harness;

mod access;
mod admin;
mod deck;
mod declarative;
mod durability;
mod handover;
mod hostile;
mod hostile_admin;
mod life;
mod modules;
mod outage;
mod plugins;
mod postgres;
mod proxy;
mod reload;
mod startup;
mod tls;
mod under_load;
mod vaults;
mod versions;
