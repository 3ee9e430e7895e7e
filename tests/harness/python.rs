//! The Python environment of the tests: made once in the target folder, from pinned versions. `cargo xtask setup` and the
//! tests that need it share this file.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// What is installed in it. A change makes the environment anew.
const REQUIREMENTS: &str = include_str!("../python/requirements.txt");

/// The folder with its programs: `target/python/bin`. Made when it is not there, which takes half a minute; two who ask at
/// once wait for each other.
pub fn environment(target: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(target)?;
    let lock = fs::File::create(target.join("python.lock"))?;
    lock.lock()?;
    let folder = target.join("python");
    let (stamp, programs) = (folder.join("requirements.txt"), folder.join("bin"));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(programs);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let wanted = folder.join("wanted.txt");
    fs::write(&wanted, REQUIREMENTS)?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--requirement"];
    run(Command::new(programs.join("python")).args(pip).arg(&wanted))?;
    fs::rename(wanted, stamp)?;
    Ok(programs)
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(io::Error::other(format!("{command:?} ended with {}: {said}", output.status)))
}
