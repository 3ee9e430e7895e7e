//! The two ends of every write: its transaction, and the version it makes with word of who made it.

use super::{audit, call::Call, failure::Failure, transactions::Part, wishes};
use crate::store::{Transaction, Version};

/// Entities of a write that `dry_run` shows.
pub(super) const SHOWN: usize = 1000;

/// A transaction of its own, or the one that the call is a part of.
pub(super) async fn begin(call: &Call) -> Result<Box<dyn Transaction>, Failure> {
    match &call.part_of {
        Some(shared) => Ok(Box::new(Part::of(shared).await)),
        None => Ok(call.context.store.begin().await?),
    }
}

/// Commits and tells those who serve. What was only to be tried ends here, with an answer in place of a version.
pub(super) async fn commit(call: &Call, mut transaction: Box<dyn Transaction>) -> Result<Version, Failure> {
    if call.part_of.is_some() {
        return Ok(transaction.commit().await?);
    }
    if call.wishes.dry_run {
        let changes = transaction.changes(SHOWN)?;
        let version = call.context.store.version().await?;
        return Err(Failure::Answered(Box::new(wishes::dry_run(call, version, &changes))));
    }
    let changes = transaction.changes(audit::MOST)?;
    transaction.sign(audit::note(call, &changes));
    let version = transaction.commit().await?;
    (call.context.notify)(version);
    Ok(version)
}
