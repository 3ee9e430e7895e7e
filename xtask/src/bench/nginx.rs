//! The control: Debian's nginx as a reverse proxy, and with its Lua module doing what our plugins do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::origin::Origin;
use super::{API_KEY, CONSUMERS, consumer_key};
use crate::http;
use crate::shell::{self, Running};

/// One nginx; ended when dropped.
pub struct Nginx {
    pub process: Running,
    pub port: u16,
    /// With TLS and HTTP/2, where an origin was given.
    pub tls: u16,
}

/// How one is started.
pub struct Start<'a> {
    pub folder: &'a Path,
    pub backend: u16,
    /// With the Lua module and its locations.
    pub lua: bool,
    /// What has large bodies and gRPC, for the rows that need them.
    pub origin: Option<&'a Origin>,
    /// A program that runs it, and its arguments.
    pub under: &'a [String],
}

/// The plugins in Lua: a table of keys, a counter in shared memory, a log line collected to 64 KiB.
const LUA: &str = r#"
local cjson = require "cjson.safe"
local counters = ngx.shared.counters
local M, keys, lines, size = {}, {}, {}, 0

function M.load(file)
    for line in io.lines(file) do
        local key, consumer = line:match("^(%S+) (%S+)$")
        if key then keys[key] = consumer end
    end
end

function M.access()
    local consumer = keys[ngx.var.http_apikey or ""]
    if not consumer then return ngx.exit(401) end
    local used = counters:incr(consumer .. ":" .. math.floor(ngx.time() / 60), 1, 0, 120)
    if used and used > 1000000000 then return ngx.exit(429) end
    ngx.header["RateLimit-Remaining"] = 1000000000 - (used or 0)
    ngx.req.set_header("X-Consumer-Username", consumer)
    ngx.ctx.consumer = consumer
end

function M.log(file)
    local line = cjson.encode({
        started_at = ngx.req.start_time() * 1000, consumer = ngx.ctx.consumer, client_ip = ngx.var.remote_addr,
        request = { method = ngx.req.get_method(), uri = ngx.var.request_uri, size = ngx.var.request_length },
        response = { status = ngx.status, size = ngx.var.bytes_sent }, latency = ngx.now() - ngx.req.start_time(),
    })
    lines[#lines + 1], size = line, size + #line
    if size < 65536 then return end
    local out = io.open(file, "a")
    if out then out:write(table.concat(lines, "\n"), "\n") out:close() end
    lines, size = {}, 0
end

function M.chain(count)
    for i = 1, count do
        local value = ngx.var.http_apikey
        local used = counters:incr("chain:" .. i, 1, 0)
        ngx.req.set_header("X-Count-" .. i, used)
    end
end

return M
"#;

impl Start<'_> {
    /// Writes the configuration, starts nginx and waits for its first answer.
    pub fn start(&self) -> Result<Nginx> {
        let (port, tls) = (shell::free_port()?, shell::free_port()?);
        fs::create_dir_all(self.folder)?;
        let file = self.folder.join("nginx.conf");
        fs::write(&file, self.configuration(port, tls)?)?;
        let nginx = shell::find("nginx").context("nginx is not installed")?.display().to_string();
        let words: Vec<_> = self.under.iter().cloned().chain([nginx]).collect();
        let mut command = shell::command(&words[0]);
        command.args(&words[1..]).arg("-p").arg(self.folder).arg("-c").arg(&file);
        let mut started = Nginx { process: Running::start(&mut command)?, port, tls };
        let end = Instant::now() + Duration::from_secs(60);
        let path = if self.lua { "GET /std" } else { "GET /x" };
        while !http::call(port, path, &[("apikey", API_KEY)], b"").is_ok_and(|answer| answer.status == 200) {
            started.process.alive().context("nginx did not start")?;
            if Instant::now() > end {
                bail!("nginx does not answer {path}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(started)
    }

    fn configuration(&self, port: u16, tls: u16) -> Result<String> {
        let folder = self.folder.display();
        let (modules, lua) = if self.lua { self.lua()? } else { Default::default() };
        let backend = self.backend;
        let [origin, server] = self.origin.map(|origin| self.protocols(origin, tls)).transpose()?.unwrap_or_default();
        // Under valgrind, too, one process does everything: there is no master to count.
        Ok(format!(
            "{modules}\nuser root;\nworker_processes 1;\nworker_rlimit_nofile 8192;\ndaemon off;\nmaster_process off;\n\
             pid {folder}/nginx.pid;\nerror_log {folder}/error.log error;\nevents {{ worker_connections 4096; }}\n\
             http {{\n  access_log off;\n  keepalive_timeout 600s;\n  keepalive_requests 1000000000;\n\
             proxy_http_version 1.1;\n  proxy_set_header Connection \"\";\n\
             proxy_set_header X-Forwarded-For $remote_addr;\n\
             client_body_temp_path {folder}/body;\n  proxy_temp_path {folder}/proxy;\n\
             fastcgi_temp_path {folder}/fastcgi;\n  uwsgi_temp_path {folder}/uwsgi;\n  scgi_temp_path {folder}/scgi;\n\
             upstream backend {{\n    server 127.0.0.1:{backend};\n    keepalive 2048;\n\
             keepalive_requests 1000000000;\n    keepalive_timeout 600s;\n  }}\n{origin}\n{lua}\n\
             server {{\n    listen 127.0.0.1:{port} backlog=4096;\n{server}\n\
             location / {{ proxy_pass http://backend; }}\n\
             {locations}\n  }}\n}}\n",
            locations = if self.lua { locations(self.folder) } else { String::new() },
        ))
    }

    /// The upstreams with large bodies and gRPC; and what the server says of TLS and of them. Answers are never put into
    /// files, and handshakes are never resumed.
    fn protocols(&self, origin: &Origin, tls: u16) -> Result<[String; 2]> {
        let folder = self.folder.display();
        let (certificate, key) = (format!("{folder}/tls.crt"), format!("{folder}/tls.key"));
        let mut openssl = shell::command("openssl");
        openssl.args(["req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        shell::output(openssl.args(["-subj", "/CN=localhost", "-keyout", &key, "-out", &certificate]))?;
        let kept = "keepalive 2048; keepalive_requests 1000000000; keepalive_timeout 600s;";
        let Origin { port, grpc, .. } = origin;
        Ok([
            format!(
                "upstream origin {{ server 127.0.0.1:{port}; {kept} }}\nupstream grpc {{ server 127.0.0.1:{grpc}; {kept} }}"
            ),
            format!(
                "listen 127.0.0.1:{tls} ssl http2 backlog=4096;\nssl_certificate {certificate};\n\
                 ssl_certificate_key {key};\nssl_protocols TLSv1.3;\nssl_session_cache off;\nssl_session_tickets off;\n\
                 proxy_max_temp_file_size 0;\nhttp2_max_concurrent_streams 1024;\n\
                 location = /64k {{ proxy_pass http://origin; }}\n\
                 location = /1m {{ proxy_buffers 16 16k; proxy_pass http://origin; }}\n\
                 location /roomy/ {{ proxy_buffers 16 16k; proxy_pass http://origin/; }}\n\
                 location /bench.Echo/ {{ grpc_pass grpc://grpc; }}"
            ),
        ])
    }

    /// What loads the module, and what the plugins need in `http`.
    fn lua(&self) -> Result<(String, String)> {
        fs::write(self.folder.join("plugins.lua"), LUA)?;
        let keys: String = (0..CONSUMERS).map(|n| format!("{} consumer-{n:04}\n", consumer_key(n))).collect();
        fs::write(self.folder.join("keys"), keys)?;
        let folder = self.folder.display();
        let modules = modules()?;
        let modules = modules.display();
        let load = format!("load_module {modules}/ndk_http_module.so;\nload_module {modules}/ngx_http_lua_module.so;");
        let http = format!(
            "lua_package_path \"{folder}/?.lua;;\";\n  lua_shared_dict counters 16m;\n\
             init_by_lua_block {{ plugins = require \"plugins\"; plugins.load(\"{folder}/keys\") }}"
        );
        Ok((load, http))
    }
}

fn locations(folder: &Path) -> String {
    let folder = folder.display();
    let mut text = format!(
        "location /std {{ access_by_lua_block {{ plugins.access() }} \
         log_by_lua_block {{ plugins.log(\"{folder}/access.log\") }} proxy_pass http://backend; }}\n"
    );
    for count in [1, 5, 10] {
        text.push_str(&format!(
            "location /chain-{count} {{ access_by_lua_block {{ plugins.chain({count}) }} proxy_pass http://backend; }}\n"
        ));
    }
    text
}

/// Where this nginx has its dynamic modules.
fn modules() -> Result<PathBuf> {
    let nginx = shell::find("nginx").context("nginx is not installed")?;
    // `nginx -V` writes to standard error.
    let output = shell::command(nginx).arg("-V").output().context("asking nginx how it was built")?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let path = text.split_whitespace().find_map(|word| word.strip_prefix("--modules-path="));
    Ok(path.context("nginx does not say where its modules are")?.into())
}
