//! Every test of the workspace, in one run of cargo.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::plugins;
use crate::setup::{self, Purpose};
use crate::shell::{self, say};

/// `.ci/run` repeats what follows this line.
const SUMMARY: &str = "test results:";

/// `cargo xtask test`
#[derive(clap::Args, Default)]
pub struct Options {
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// Sets the machine up, builds all, runs all tests and repeats the runner's summaries at the end.
pub fn run(options: &Options) -> Result<()> {
    setup::prepare(Purpose::Test)?;
    plugins::run(&plugins::Options { guests: true })?;
    // The gateway's own integration test makes cargo build its binary, which the end-to-end tests drive.
    shell::run(shell::cargo().args(["test", "--workspace", "--no-run"]))?;
    test(options)
}

fn test(options: &Options) -> Result<()> {
    let mut command = shell::cargo();
    command.args(["test", "--workspace", "--no-fail-fast"]).args(&options.filter);
    say("cargo test --workspace --no-fail-fast");
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting cargo test")?;
    let mut summaries = Vec::new();
    for line in BufReader::new(child.stdout.take().context("cargo test without output")?).lines() {
        let line = line.context("reading what cargo test prints")?;
        println!("{line}");
        if line.starts_with("test result:") {
            summaries.push(line);
        }
    }
    let status = child.wait()?;
    report(&summaries);
    if !status.success() {
        bail!("cargo test ended with {status}");
    }
    Ok(())
}

/// The runner's own lines again, and their sum.
fn report(summaries: &[String]) {
    println!("\n{SUMMARY}");
    for line in summaries.iter().filter(|line| count(line, "passed") + count(line, "failed") > 0) {
        println!("{line}");
    }
    let sum = |word| summaries.iter().map(|line| count(line, word)).sum::<usize>();
    println!("{} passed, {} failed", sum("passed"), sum("failed"));
}

/// The number before `word` in a line such as `test result: ok. 3 passed; 0 failed; …`.
fn count(line: &str, word: &str) -> usize {
    let words: Vec<_> = line.split([' ', ';']).collect();
    let number = words.windows(2).find(|pair| pair[1] == word).and_then(|pair| pair[0].parse().ok());
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn the_counts_of_a_summary_line_are_read() {
        let line = "test result: FAILED. 41 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.2s";
        assert_eq!([count(line, "passed"), count(line, "failed"), count(line, "gone")], [41, 2, 0]);
    }
}
