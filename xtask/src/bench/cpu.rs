//! Processor time and memory, as the kernel accounts them.

use std::fs;

use anyhow::{Context, Result};

/// The kernel's ticks in /proc, in nanoseconds: 100 a second on every Linux that Debian ships.
const TICK: u64 = 10_000_000;

/// Nanoseconds that all threads of these processes have run.
pub fn used(pids: &[u32]) -> u64 {
    pids.iter().map(|pid| threads(*pid)).sum()
}

fn threads(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let times = tasks.filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    times.filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

/// Nanoseconds that this program's ended children have run.
pub fn ended_children() -> u64 {
    fields("/proc/self/stat").map_or(0, |fields| (fields[13] + fields[14]) * TICK)
}

/// Nanoseconds that the whole machine has been busy.
pub fn machine() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = text.lines().next().unwrap_or_default();
    let fields: Vec<u64> = first.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    [0, 1, 2, 5, 6].into_iter().filter_map(|index| fields.get(index)).sum::<u64>() * TICK
}

/// The process and its descendants.
pub fn tree(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(all.iter().filter(|child| parent_of(**child) == Some(parent)));
        at += 1;
    }
    found
}

fn parent_of(pid: u32) -> Option<u32> {
    u32::try_from(fields(&format!("/proc/{pid}/stat"))?[1]).ok()
}

/// The numbers of a stat file after the name in parentheses, which may hold anything; the state counts as 0.
fn fields(file: &str) -> Option<Vec<u64>> {
    let text = fs::read_to_string(file).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    // Of the state (index 0) and of what is negative only the position matters.
    Some(rest.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

/// Resident memory of these processes in MiB.
pub fn resident(pids: &[u32]) -> f64 {
    let lines = pids.iter().filter_map(|pid| fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok());
    let kib = lines.filter_map(|text| {
        let line = text.lines().find(|line| line.starts_with("Rss:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    });
    kib.sum::<f64>() / 1024.0
}

/// The processors this program may use.
pub fn allowed() -> Result<Vec<usize>> {
    let status = fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let list = list.context("the kernel does not say which processors are allowed")?;
    Ok(list.trim().split(',').flat_map(range).collect())
}

fn range(text: &str) -> Vec<usize> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first..=last).collect(),
        _ => Vec::new(),
    }
}
