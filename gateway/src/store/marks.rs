//! What operators said of targets by hand, for the nodes that share the database. No configuration: it makes no version.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Database;

use super::{
    MemoryStore, Result,
    backend::{Backend, Session},
    query::{Bound, Query},
    read,
};

/// Seconds after which a mark is forgotten. A node that was away for longer never hears of it.
const KEPT: f64 = 3_600.0;
/// Marks that are read at once.
const AT_ONCE: i64 = 1_000;

/// A target that an operator said is healthy, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetMark {
    /// The process that was asked, and has done so already.
    pub process: Arc<str>,
    /// Name of the upstream.
    pub upstream: String,
    /// The target as stored: `host:port`.
    pub target: String,
    /// One of its addresses, with or without the port; `None`: all.
    pub address: Option<String>,
    /// Whether it is.
    pub healthy: bool,
}

/// Marks after some number, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarksSince {
    /// The number to go on after.
    pub last: u64,
    /// The marks.
    pub marks: Vec<TargetMark>,
    /// Whether there are more.
    pub more: bool,
}

/// Marks by hand. Kept for an hour, and nowhere where no other node could read them.
#[async_trait]
pub trait Marks: Send + Sync {
    /// Tells the nodes that share the database.
    async fn mark(&self, _mark: &TargetMark) -> Result<()> {
        Ok(())
    }

    /// The marks after number `since`; `None`: no marks, but the number to begin after.
    async fn marks(&self, _since: Option<u64>) -> Result<MarksSince> {
        Ok(MarksSince::default())
    }
}

type Row = (i64, String, String, String, Option<String>, i64);

#[async_trait]
impl<B: Backend> Marks for B
where
    <B::Sql as Database>::Connection: Session,
{
    async fn mark(&self, mark: &TargetMark) -> Result<()> {
        let work = async {
            let mut aside = self.aside().await?;
            add(&mut *aside, mark).await?;
            Ok(aside.commit().await?)
        };
        self.health().guard(work).await
    }

    async fn marks(&self, since: Option<u64>) -> Result<MarksSince> {
        let work = async { after(&mut *self.reader().await?, since).await };
        self.health().guard(work).await
    }
}

impl Marks for MemoryStore {}

async fn add<S: Session>(db: &mut S, mark: &TargetMark) -> Result<()> {
    db.execute(Query::new("UPDATE target_marks_last SET seq = seq + 1")).await?;
    let clock = S::CLOCK;
    let mut query = Query::new(format!(
        "INSERT INTO target_marks (seq, at, process, upstream, target, address, healthy) \
         SELECT seq, {clock}, "
    ));
    let TargetMark { process, upstream, target, address, healthy } = mark;
    query.list([(&**process).into(), upstream.as_str().into(), target.as_str().into(), Bound::Text(address.clone())]);
    query.push(", ").bind(i64::from(*healthy)).push(" FROM target_marks_last");
    db.execute(query).await?;
    let text = format!("DELETE FROM target_marks WHERE at < {clock} - $1");
    db.execute(Query::with(&text, [KEPT.into()])).await?;
    // The word of a version is a hint whose number nobody reads.
    let version = read::version(db).await?;
    match S::announcement(version) {
        Some(announcement) => db.execute(announcement).await,
        None => Ok(()),
    }
}

async fn after<S: Session>(db: &mut S, since: Option<u64>) -> Result<MarksSince> {
    let last: Option<(i64,)> = db.row(Query::new("SELECT seq FROM target_marks_last")).await?;
    let last = last.map_or(0, |(last,)| last);
    // Another database may have come in the place of this one, with fewer marks.
    let Some(since) = since.map(u64::cast_signed).filter(|since| *since < last) else {
        return Ok(MarksSince { last: last.cast_unsigned(), ..MarksSince::default() });
    };
    let text = "SELECT seq, process, upstream, target, address, healthy FROM target_marks \
                WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3";
    let rows: Vec<Row> = db.rows(Query::with(text, [since.into(), last.into(), AT_ONCE.into()])).await?;
    let more = rows.len() as i64 == AT_ONCE;
    let reached = rows.last().filter(|_| more).map_or(last, |row| row.0);
    let mark = |(_, process, upstream, target, address, healthy): Row| TargetMark {
        process: process.into(),
        upstream,
        target,
        address,
        healthy: healthy != 0,
    };
    Ok(MarksSince { last: reached.cast_unsigned(), marks: rows.into_iter().map(mark).collect(), more })
}
