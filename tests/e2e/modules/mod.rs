//! `/modules`: uploading, looking, replacing, granting.

mod grants;
mod refusals;
mod stranger;
mod upload;
