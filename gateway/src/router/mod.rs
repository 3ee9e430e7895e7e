//! Not written yet.

/// Placeholder until the router lands.
pub struct Router<T>(std::marker::PhantomData<T>);
