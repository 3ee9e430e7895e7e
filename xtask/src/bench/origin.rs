//! The upstream of the rows with large bodies and gRPC: an nginx that has the answers in files. It runs beside the load, so
//! that its time is nobody else's.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::http;
use crate::shell::{self, Running};

/// An answer or a question of gRPC: not compressed, 32 bytes of message.
pub const MESSAGE: [u8; 37] = {
    let mut frame = [7; 37];
    (frame[0], frame[1], frame[2], frame[3], frame[4]) = (0, 0, 0, 0, 32);
    frame
};
/// The method that loads call.
pub const METHOD: &str = "/bench.Echo/Unary";

/// A running one; ended when dropped.
pub struct Origin {
    pub process: Running,
    /// Plain HTTP/1.1: `/64k` and `/1m`.
    pub port: u16,
    /// HTTP/2 without TLS: [`METHOD`].
    pub grpc: u16,
    /// What a client of gRPC sends.
    pub question: PathBuf,
}

impl Origin {
    /// Starts it on these processors and waits for its first answer.
    pub fn start(folder: &Path, cpus: &str) -> Result<Self> {
        let files = folder.join("files");
        fs::create_dir_all(files.join("bench.Echo"))?;
        fs::write(files.join("64k"), vec![b'a'; 64 << 10])?;
        fs::write(files.join("1m"), vec![b'a'; 1 << 20])?;
        let question = files.join(&METHOD[1..]);
        fs::write(&question, MESSAGE)?;
        let (port, grpc) = (shell::free_port()?, shell::free_port()?);
        let file = folder.join("nginx.conf");
        fs::write(&file, configuration(folder, port, grpc))?;
        let nginx = shell::find("nginx").context("nginx is not installed")?;
        let mut command = shell::command("taskset");
        command.args(["--cpu-list", cpus]).arg(nginx).arg("-p").arg(folder).arg("-c").arg(&file);
        let mut started = Self { process: Running::start(&mut command)?, port, grpc, question };
        started.await_answer()?;
        Ok(started)
    }

    fn await_answer(&mut self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(30);
        while !http::call(self.port, "GET /64k", &[], b"").is_ok_and(|answer| answer.status == 200) {
            self.process.alive().context("the upstream of large bodies did not start")?;
            if Instant::now() > end {
                bail!("the upstream of large bodies does not answer");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// A file cannot be posted to; the answer to the attempt is the file.
fn configuration(folder: &Path, port: u16, grpc: u16) -> String {
    let folder = folder.display();
    format!(
        "user root;\nworker_processes 1;\nworker_rlimit_nofile 8192;\ndaemon off;\nmaster_process off;\n\
         pid {folder}/nginx.pid;\nerror_log {folder}/error.log crit;\nevents {{ worker_connections 4096; }}\n\
         http {{\n  access_log off;\n  sendfile on;\n  tcp_nopush on;\n  open_file_cache max=16;\n\
         keepalive_timeout 600s;\n  keepalive_requests 1000000000;\n  root {folder}/files;\n\
         client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; }}\n\
         server {{\n    listen 127.0.0.1:{grpc} http2 backlog=4096;\n    http2_max_concurrent_streams 1024;\n\
         default_type application/grpc;\n    error_page 405 =200 $uri;\n    add_trailer grpc-status 0 always;\n  }}\n}}\n"
    )
}
