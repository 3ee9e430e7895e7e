//! SIGHUP reads the settings again, SIGUSR1 opens log files again. What cannot change in a running process is named.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::{
    GatewayError,
    certificates::{self, NodeTls},
    notify::Notifier,
    system,
    workers::Dial,
};
use crate::{
    config::{Answers, Config, Origin},
    proxy::ErrorWords,
    shutdown::Tasks,
    telemetry::LogDial,
};

/// Settings that a running process takes over.
const LIVE: [&str; 33] = [
    "allow_debug_header",
    "client_connections",
    "client_handshake_timeout",
    "client_header_timeout",
    "client_keepalive_timeout",
    "client_send_timeout",
    "drain_grace_period",
    "error_default_type",
    "error_template_html",
    "error_template_json",
    "error_template_plain",
    "error_template_xml",
    "headers_upstream",
    "http2_control_frames",
    "http2_window_timeout",
    "log_level",
    "real_ip_header",
    "real_ip_recursive",
    "request_body_limit",
    "request_debug",
    "request_debug_token",
    "request_header_count",
    "request_header_limit",
    "request_uri_limit",
    "stream_proxy_protocol_upstream",
    "stream_udp_sessions",
    "trusted_ips",
    "upstream_keepalive_idle_timeout",
    "upstream_keepalive_max_requests",
    "upstream_keepalive_pool_size",
    "upstream_outlier_failures",
    "upstream_outlier_time",
    "upstream_slow_start",
];

/// What a running process can change about itself.
pub(super) struct Live {
    pub(super) config: Config,
    pub(super) origin: Origin,
    pub(super) log: LogDial,
    pub(super) dial: Dial,
    pub(super) notifier: Notifier,
    pub(super) tls: Arc<NodeTls>,
}

impl Live {
    /// Heeds the signals until the gateway ends.
    pub(super) fn heed(mut self, tasks: &Tasks) -> Result<(), GatewayError> {
        let mut hangups = signal(SignalKind::hangup()).map_err(system("the signals"))?;
        let mut reopens = signal(SignalKind::user_defined1()).map_err(system("the signals"))?;
        let ending = tasks.shutdown();
        tasks.spawn("reload of the settings", async move {
            loop {
                // Receiving a signal is cancel-safe.
                tokio::select! {
                    _ = hangups.recv() => self = self.reload().await,
                    _ = reopens.recv() => self.reopen(),
                    () = ending.triggered() => return,
                }
            }
        });
        Ok(())
    }

    fn reopen(&self) {
        let reopened = self.dial.access_logs().map(|log| log.reopen()).count();
        if reopened > 0 {
            tracing::info!("the access log is opened again");
        }
    }

    async fn reload(mut self) -> Self {
        self.notifier.reloading();
        self.reopen();
        let origin = self.origin.clone();
        match tokio::task::spawn_blocking(move || origin.load()).await {
            Ok(Ok(next)) => {
                let renewed = self.renew(&next).await;
                self.apply(&next);
                self.reword().await;
                if renewed {
                    self.take_over_tls(&next);
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "the settings stay as they are"),
            Err(error) => tracing::error!(%error, "the settings could not be read"),
        }
        self.notifier.ready();
        self
    }

    /// What stands behind the names of [`LIVE`].
    fn take_over(&mut self, next: &Config) {
        let config = &mut self.config;
        config.take_over(next, &LIVE);
        config.log_level = next.log_level;
        config.drain_grace_period = next.drain_grace_period;
        config.request_limits = next.request_limits;
        config.client_limits = next.client_limits;
        config.real_ip.clone_from(&next.real_ip);
        config.streams.clone_from(&next.streams);
        config.answers = Answers { headers: config.answers.headers, ..next.answers.clone() };
        config.keepalive = next.keepalive;
        config.target_care = next.target_care;
    }

    /// Error templates are read again, also where no setting changed.
    async fn reword(&self) {
        let pages = self.config.answers.errors.clone();
        match tokio::task::spawn_blocking(move || ErrorWords::read(&pages)).await {
            Ok(Ok(errors)) => self.dial.reword(errors),
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "errors are worded as before");
            }
            Err(error) => tracing::error!(%error, "the error templates could not be read"),
        }
    }

    /// Certificates are read again, also where no setting changed.
    async fn renew(&self, next: &Config) -> bool {
        let (tls, running, wanted) = (self.tls.clone(), self.config.clone(), next.clone());
        match tokio::task::spawn_blocking(move || tls.reload(&running, &wanted)).await {
            Ok(Ok(())) => {
                tracing::info!("the certificates of the settings were read again");
                return true;
            }
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "TLS stays as it is");
            }
            Err(error) => tracing::error!(%error, "the certificates could not be read"),
        }
        false
    }

    fn take_over_tls(&mut self, next: &Config) {
        let before = self.config.tls.client_ca.take();
        self.config.take_over(next, &certificates::LIVE);
        self.config.tls = next.tls.clone();
        self.config.tls.client_ca = next.tls.client_ca.clone().or(before);
    }

    fn apply(&mut self, next: &Config) {
        let changed = next.differing(&self.config);
        let (live, waiting): (Vec<_>, Vec<_>) =
            changed.into_iter().partition(|name| LIVE.contains(name) || certificates::LIVE.contains(name));
        if !live.is_empty() {
            if self.config.log_level != next.log_level {
                self.log.configure(next.log_level);
            }
            self.take_over(next);
            self.dial.turn(&self.config);
        }
        let (live, waiting) = (live.join(", "), waiting.join(", "));
        tracing::info!(changed = live, "the settings were read again");
        if !waiting.is_empty() {
            tracing::warn!(
                settings = waiting,
                "these settings changed and need a restart: `sandgate upgrade` costs no request"
            );
        }
    }
}
