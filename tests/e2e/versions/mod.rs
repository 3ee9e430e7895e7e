//! Versions one can trust: waiting until a change is served, comparing, rolling back, trying, and who did it.

mod history;
mod wait;
