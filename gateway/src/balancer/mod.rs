//! Not written yet.

/// Placeholder until the balancers land.
pub struct Balancer;
