//! Sizes and rules that no lint of the compiler has. Tests are left out.

mod layers;
mod measure;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell;
use measure::Function;

/// STYLE: functions.
const FUNCTION_LINES: Limit = Limit { p95: Some(30), most: 60 };
const NESTING: Limit = Limit { p95: None, most: 5 };
const PARAMETERS: Limit = Limit { p95: None, most: 5 };
/// STYLE: files.
const FILE_LINES: Limit = Limit { p95: None, most: 500 };

/// How much of something is too much.
struct Limit {
    p95: Option<usize>,
    most: usize,
}

/// One number and where it was measured.
struct Measured {
    place: String,
    value: usize,
}

/// Prints the distributions and every offender; fails if there is one.
pub fn run() -> Result<()> {
    let root = shell::root();
    let mut report = Report::default();
    for (file, measured) in without_tests(measure_all(&root)?) {
        report.add(&file, file.strip_prefix(&root).unwrap_or(&file), measured)?;
    }
    let mut offences = report.offences;
    for (name, limit, values) in [
        ("lines of a function", FUNCTION_LINES, report.lines),
        ("nesting", NESTING, report.nesting),
        ("parameters", PARAMETERS, report.parameters),
        ("lines of a file", FILE_LINES, report.files),
    ] {
        offences.extend(judge(name, &limit, values));
    }
    offences.extend(layers::offences(&root.join("gateway/src")).context("reading the layer table")?);
    for offence in &offences {
        println!("{offence}");
    }
    if !offences.is_empty() {
        bail!("tidy: {} offences", offences.len());
    }
    println!("tidy");
    Ok(())
}

fn measure_all(root: &Path) -> Result<BTreeMap<PathBuf, measure::File>> {
    let measure = |file: PathBuf| {
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let measured = measure::file(&text).with_context(|| format!("parsing {}", file.display()))?;
        Ok((file, measured))
    };
    sources(root)?.into_iter().map(measure).collect()
}

/// Leaves out the files of modules that another file declares as tests.
fn without_tests(mut files: BTreeMap<PathBuf, measure::File>) -> BTreeMap<PathBuf, measure::File> {
    let mut tests = Vec::new();
    for (file, measured) in &files {
        let owner = ["mod.rs", "lib.rs", "main.rs"].iter().any(|name| file.ends_with(name));
        let folder = if owner { file.with_file_name("") } else { file.with_extension("") };
        tests.extend(measured.test_modules.iter().map(|module| folder.join(module)));
    }
    files.retain(|file, _| !tests.iter().any(|test| file.starts_with(test) || file.with_extension("") == *test));
    files
}

#[derive(Default)]
struct Report {
    lines: Vec<Measured>,
    nesting: Vec<Measured>,
    parameters: Vec<Measured>,
    files: Vec<Measured>,
    offences: Vec<String>,
}

impl Report {
    fn add(&mut self, file: &Path, name: &Path, measured: measure::File) -> Result<()> {
        let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        self.files.push(Measured { place: name.display().to_string(), value: measured.lines });
        for function in measured.functions {
            self.add_function(name, function);
        }
        let left_out = [measured.tests, measured.expected].concat();
        let words = words::offences(&text, &left_out);
        self.offences.extend(words.into_iter().map(|(line, what)| format!("{}:{line}: {what}", name.display())));
        Ok(())
    }

    fn add_function(&mut self, file: &Path, function: Function) {
        let place = format!("{}:{} {}", file.display(), function.line, function.name);
        let at = |value| Measured { place: place.clone(), value };
        self.lines.push(at(function.lines));
        self.nesting.push(at(function.nesting));
        self.parameters.push(at(function.parameters));
    }
}

/// Prints median, 95th percentile and maximum; returns what is over the limit.
fn judge(name: &str, limit: &Limit, mut values: Vec<Measured>) -> Vec<String> {
    values.sort_by_key(|measured| measured.value);
    let quantile = |share: usize| values.get((values.len() * share / 100).min(values.len().saturating_sub(1)));
    let [p50, p95, most] = [50, 95, 100].map(|share| quantile(share).map_or(0, |measured| measured.value));
    println!("{name:<20} {:>5} measured   p50 {p50:>3}   p95 {p95:>3}   max {most:>3}", values.len());
    let over = values.iter().filter(|measured| measured.value > limit.most);
    let mut offences: Vec<_> =
        over.map(|measured| format!("{}: {} {name}, at most {}", measured.place, measured.value, limit.most)).collect();
    if let Some(bound) = limit.p95.filter(|bound| p95 > *bound) {
        offences.push(format!("{name}: the 95th percentile is {p95}, at most {bound}"));
    }
    offences
}

/// Every Rust file that is not a test, a misbehaving guest, or built.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let left_out = name.starts_with('.') || ["target", "tests", "benches"].contains(&name.as_str());
            if path.is_dir() && !left_out {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
