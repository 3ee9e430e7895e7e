//! Owns every background task and ends them in order.
