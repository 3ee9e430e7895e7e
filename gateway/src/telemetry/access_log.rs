//! A file with a line for each request or stream, written by a thread of its own; and what such lines have in common. What
//! stands in a line is the affair of whoever notes it.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Lines that may wait to be written; more are dropped and counted.
const QUEUE: usize = 16_384;

/// How long a line may wait in memory.
const FLUSH_AFTER: Duration = Duration::from_millis(500);

/// The access log. A clone writes to the same file.
#[derive(Debug, Clone)]
pub struct AccessLog {
    lines: SyncSender<Entry>,
    dropped: Arc<AtomicU64>,
    moved: Arc<AtomicBool>,
}

/// What the writer gets.
#[derive(Debug)]
enum Entry {
    Line(String),
    /// What came before is to be written, and then the sender told.
    Flush(SyncSender<()>),
}

/// Why there is no access log.
#[derive(Debug, thiserror::Error)]
#[error("opening the access log {path} failed")]
pub struct AccessLogError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl AccessLog {
    /// Appends to the file at `path`. The thread that writes ends with the last clone.
    pub fn open(path: &Path) -> Result<Self, AccessLogError> {
        let failed = |source| AccessLogError { path: path.to_owned(), source };
        let file = append(path).map_err(failed)?;
        let moved = Arc::<AtomicBool>::default();
        let (lines, queue) = sync_channel(QUEUE);
        let writer = thread::Builder::new().name("access-log".into());
        let (told, place) = (moved.clone(), path.to_owned());
        writer.spawn(move || write_all(file, &queue, &place, &told)).map_err(failed)?;
        Ok(Self { lines, dropped: Arc::default(), moved })
    }

    /// Opens the file again, within half a second: its former one was moved aside.
    pub fn reopen(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }

    /// Waits until everything so far is in the file, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let (done, written) = sync_channel(1);
        if self.lines.send(Entry::Flush(done)).is_ok() && written.recv_timeout(patience).is_err() {
            tracing::warn!("the last lines of the access log may be lost");
        }
    }

    /// Lines that were lost because the disk was too slow.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Adds a line, which ends with LF. Lost if too many wait.
    pub fn note(&self, line: String) {
        if self.lines.try_send(Entry::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn write_all(file: File, queue: &Receiver<Entry>, path: &Path, moved: &AtomicBool) {
    let mut file = BufWriter::with_capacity(64 << 10, file);
    loop {
        if moved.swap(false, Ordering::Relaxed) {
            match file.flush().and_then(|()| append(path)) {
                Ok(next) => file = BufWriter::with_capacity(64 << 10, next),
                Err(error) => tracing::error!(%error, "the access log cannot be opened again; the old file is used"),
            }
        }
        let written = match queue.recv_timeout(FLUSH_AFTER) {
            Ok(Entry::Line(line)) => file.write_all(line.as_bytes()),
            Ok(Entry::Flush(done)) => {
                let flushed = file.flush();
                // Whoever asked may have lost patience.
                _ = done.try_send(());
                flushed
            }
            Err(RecvTimeoutError::Timeout) => file.flush(),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if let Err(error) = written {
            tracing::error!(%error, "writing the access log failed");
        }
    }
}

/// Text as it may stand between quotes.
pub fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'"' | b'\\' | 0..0x20 | 0x7f.. => {
                let _ = write!(text, "\\x{byte:02X}");
            }
            plain => text.push(char::from(*plain)),
        }
    }
    text
}

/// `23/Nov/2026:01:40:46 +0000`.
pub fn calendar(time: SystemTime) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{day:02}/{}/{year}:{hour:02}:{minute:02}:{second:02} +0000", MONTHS[month])
}

/// Days since 1970 → year, month from 0, day from 1. Counts in eras of 400 years that begin in March, so that the leap day
/// comes last.
fn date(days: u64) -> (u64, usize, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    (era * 400 + year + u64::from(month < 2), month as usize, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        let cases = [
            (0, "01/Jan/1970:00:00:00 +0000"),
            (951_782_400, "29/Feb/2000:00:00:00 +0000"),
            (1_795_398_046, "23/Nov/2026:01:40:46 +0000"),
            (4_107_542_399, "28/Feb/2100:23:59:59 +0000"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(calendar(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn nothing_breaks_out_of_its_quotes() {
        assert_eq!(escaped(b"a\"b\\c\n\xff"), "a\\x22b\\x5Cc\\x0A\\xFF");
    }
}
