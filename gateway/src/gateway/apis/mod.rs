//! Serves the Admin and Status APIs: TLS, bounds of connections, and the door through which each request came.

mod activity;
mod connection;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::{GatewayError, system};
use crate::{
    admin::{Access, AccessSettings, Bootstrap, Limits},
    config::{Admin, Config},
    listener::{Bound, Door, Place, Stream},
    shutdown::{Shutdown, Tasks},
    snapshot::Published,
    telemetry::{Metrics, metric},
    tls::OperatorTls,
};

/// How long accepting pauses when the system has no more descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// One of the two APIs.
pub(super) struct Api {
    /// For logs and metrics.
    pub(super) name: &'static str,
    pub(super) router: axum::Router,
    pub(super) settings: Admin,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tasks: Tasks,
    /// Given when another process took over, whose the sockets are from then on.
    pub(super) replaced: Shutdown,
    pub(super) tls: OperatorTls,
}

/// What the settings say about access.
pub(super) fn access(
    config: &Config,
    published: &Published,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Access>, GatewayError> {
    let admin = &config.admin;
    let token = admin.token.as_ref().map(|token| token.resolve().map_err(GatewayError::AdminToken)).transpose()?;
    let bootstrap = token.map(|token| Bootstrap::new(&token)).transpose().map_err(system("the admin token"))?;
    let settings = AccessSettings {
        bootstrap,
        client_ca: admin.client_ca.is_some(),
        client_role: admin.client_role.as_deref().map(Into::into),
        origins: admin.origins.clone(),
    };
    let current = published.current.clone();
    let newest = Arc::new(move || {
        let snapshot = current.load();
        (snapshot.version, snapshot.access.clone())
    });
    Ok(Arc::new(Access::new(settings, newest, metrics.clone())))
}

/// What the settings say about requests.
pub(super) fn limits(config: &Config) -> Limits {
    Limits {
        body: config.admin.body_limit.as_usize(),
        upload: config.upload_limit.as_usize(),
        body_timeout: config.admin.body_timeout,
        requests: Arc::new(Semaphore::new(config.admin.requests)),
    }
}

/// Refuses to open the configuration to other machines while nobody could show who they are.
pub(super) fn refuse_open(config: &Config, access: &Access) -> Result<(), GatewayError> {
    let listens = config.admin_listen.iter().chain(&config.status_listen);
    match listens.map(|listen| &listen.address).find(|address| address.is_public()) {
        Some(address) if !access.is_configured() => Err(GatewayError::OpenAdmin(address.to_string())),
        _ => Ok(()),
    }
}

fn is_public(place: &Place) -> bool {
    matches!(place, Place::Tcp(address) if !address.ip().to_canonical().is_loopback())
}

/// Serves an API on each of its sockets. Answers with the first one's real address.
pub(super) async fn serve(sockets: Vec<Bound>, api: Api) -> Result<String, GatewayError> {
    let (api, mut first) = (Arc::new(api), String::new());
    let places = Arc::new(Semaphore::new(api.settings.connections));
    for bound in sockets {
        let failed = system(format!("{} on {}", api.name, bound.place()));
        let tls = bound.is_tls().then(|| api.tls.clone());
        if first.is_empty() {
            first = bound.place().to_string();
        }
        let gate = Gate { public: is_public(bound.place()), http2: bound.is_http2(), tls };
        let door = Door::new(bound).map_err(failed)?;
        let accepting = accept(api.clone(), door, Arc::new(gate), places.clone());
        api.tasks.spawn(api.name, accepting);
    }
    Ok(first)
}

/// What is the same for all connections of a listener.
pub(super) struct Gate {
    public: bool,
    http2: bool,
    tls: Option<OperatorTls>,
}

async fn accept(api: Arc<Api>, socket: Door, gate: Arc<Gate>, places: Arc<Semaphore>) {
    let ending = api.tasks.shutdown();
    loop {
        // A connection that was accepted while the end came is dropped with the socket.
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = ending.triggered() => return,
            () = api.replaced.triggered() => return,
        };
        match accepted {
            Ok((stream, peer)) => match places.clone().try_acquire_owned() {
                Ok(place) => {
                    let (owner, gate) = (api.clone(), gate.clone());
                    api.tasks.spawn(api.name, async move {
                        match stream {
                            Stream::Tcp(stream) => connection::run(owner, gate, stream, peer).await,
                            Stream::Unix(stream) => connection::run(owner, gate, stream, peer).await,
                        }
                        drop(place);
                    });
                }
                Err(_) => refused(&api),
            },
            Err(error) => {
                tracing::error!(%error, api = api.name, "accepting a connection failed");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Closing at once is cheaper than keeping a stranger waiting, and shows at the client.
fn refused(api: &Api) {
    if let Ok(counter) = api.metrics.counter(&metric::ADMIN_REFUSED, &[("api", api.name)]) {
        counter.add(1);
    }
}
