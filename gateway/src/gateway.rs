//! Builds, starts, drains and stops every room; the only place that knows them all.
