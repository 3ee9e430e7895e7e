//! Programs of others that a test talks to: servers and clients. They end with their value.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

use super::environment;

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running program; killed when dropped.
pub struct Peer {
    child: Child,
    said: UnboundedReceiver<String>,
}

impl Peer {
    /// Starts a program.
    pub fn start(program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        let mut command = Command::new(program.as_ref());
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("starting {:?}: {error}", program.as_ref()));
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let (tell, said) = unbounded_channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, said }
    }

    /// Starts a script of `tests/python`.
    pub async fn script(name: &str, arguments: &[&str]) -> Self {
        let python = programs().await.join("python");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/python").join(name);
        let arguments = [&[script.to_str().expect("a path")], arguments].concat();
        Self::start(python, &arguments)
    }

    /// The next line that it says.
    pub async fn line(&mut self) -> String {
        let line = timeout(PATIENCE, self.said.recv()).await.expect("it says something in time");
        line.expect("it says something more")
    }

    /// Waits until it ends, and asks that it ends well.
    pub async fn succeeds(mut self) {
        let all = async { while self.said.recv().await.is_some() {} };
        timeout(PATIENCE, all).await.expect("it ends in time");
        let ended = self.child.wait().expect("it can be waited for");
        assert!(ended.success(), "the program ended with {ended}");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The programs of the Python environment.
async fn programs() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder");
    let made = tokio::task::spawn_blocking(move || environment(target)).await.expect("no panic");
    made.expect("the Python environment can be made")
}
