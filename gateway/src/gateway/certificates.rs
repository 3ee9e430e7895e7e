//! TLS as the settings of this node say: read at the start and at each reload, so that renewed files are served without a
//! restart. Certificates of the configuration are the snapshot's.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::timeout};

use super::{GatewayError, possessions::Possessions, stapling};
use crate::{
    config::Config,
    shutdown::{Shutdown, Tasks},
    tls::{
        ClientRoots, DefaultCertificate, NodeClient, OperatorTls, Resolver, ServerParts, ServerTls, TicketLife,
        Tickets, TlsError, roots_in,
    },
};

/// Settings that a reload takes over. `admin_client_ca` is not among them, but its file is read again.
pub(super) const LIVE: [&str; 16] = [
    "ssl_cert",
    "ssl_cert_key",
    "ssl_protocols",
    "ssl_cipher_suite",
    "ssl_ciphers",
    "ssl_prefer_server_ciphers",
    "ssl_session_tickets",
    "ssl_session_timeout",
    "ssl_session_ticket_rotation",
    "ssl_client_certificate",
    "ssl_verify_depth",
    "client_ssl",
    "client_ssl_cert",
    "client_ssl_cert_key",
    "admin_ssl_cert",
    "admin_ssl_cert_key",
];

/// While there are no tickets, of which nobody needs a key.
const NO_TICKETS: TicketLife = TicketLife { timeout: Duration::from_secs(1), rotation: Duration::from_secs(86_400) };

/// What listeners and connections to targets take from the settings.
pub(super) struct NodeTls {
    pub(super) resolver: Arc<Resolver>,
    pub(super) clients: ServerTls,
    pub(super) operators: OperatorTls,
    pub(super) targets: NodeClient,
    tickets: Arc<Tickets>,
    changed: Notify,
}

/// What was read.
struct Files {
    default: DefaultCertificate,
    operators: DefaultCertificate,
    client_roots: Option<ClientRoots>,
    targets: Option<DefaultCertificate>,
}

impl Files {
    fn read(config: &Config) -> Result<Self, TlsError> {
        let tls = &config.tls;
        let default = match &tls.certificates[..] {
            [] => DefaultCertificate::in_folder(&config.data_dir)?,
            [(chain, key), rest @ ..] => {
                let second = rest.first().map(|(chain, key)| (chain.as_path(), key.as_path()));
                DefaultCertificate::from_pairs((chain, key), second)?
            }
        };
        let operators = match &config.admin.certificate {
            Some((chain, key)) => DefaultCertificate::from_files(chain, key)?,
            None => DefaultCertificate::in_folder(&config.data_dir)?,
        };
        let roots = tls.client_ca.as_deref().map(roots_in).transpose()?;
        let client_roots = roots.map(|roots| ClientRoots { roots: Arc::new(roots), depth: tls.verify_depth });
        let targets = tls.client.as_ref().map(|(chain, key)| DefaultCertificate::from_files(chain, key)).transpose()?;
        Ok(Self { default, operators, client_roots, targets })
    }
}

impl NodeTls {
    /// Reads the files, and does in the background what there is to do. Sessions of the process before go on.
    pub(super) fn start(config: &Config, tasks: &Tasks, before: &Possessions) -> Result<Arc<Self>, GatewayError> {
        let tls = Arc::new(Self::load(config)?);
        before.give_keys(&tls.tickets);
        tasks.spawn("keys of session tickets", tls.clone().rotate(tasks.shutdown()));
        if config.tls.stapling {
            tasks.spawn("OCSP answers", stapling::staple(tls.resolver.clone(), tasks.shutdown()));
        }
        Ok(tls)
    }

    fn load(config: &Config) -> Result<Self, TlsError> {
        let files = Files::read(config)?;
        let life = config.tls.offer.tickets.unwrap_or(NO_TICKETS);
        let tickets = Arc::new(Tickets::new(life).map_err(|_| TlsError::Tickets)?);
        let resolver = Arc::new(Resolver::new(&files.default));
        let clients = ServerTls::new(&parts(config, &resolver, &tickets, files.client_roots))?;
        let operators = OperatorTls::new(&files.operators, config.admin.client_ca.as_deref())?;
        let targets = NodeClient::default();
        targets.replace(files.targets.as_ref());
        Ok(Self { resolver, clients, operators, targets, tickets, changed: Notify::new() })
    }

    /// Reads every file again. `running`: the settings in force, `next`: those that were just read. All or nothing.
    pub(super) fn reload(&self, running: &Config, next: &Config) -> Result<(), TlsError> {
        let mut next = next.clone();
        // Listeners that verify clients go on until the next start, and so does whoever vouches for them.
        next.tls.client_ca = next.tls.client_ca.or_else(|| running.tls.client_ca.clone());
        let files = Files::read(&next)?;
        self.operators.replace(&files.operators, running.admin.client_ca.as_deref())?;
        self.clients.replace(&parts(&next, &self.resolver, &self.tickets, files.client_roots))?;
        self.resolver.replace_default(&files.default);
        self.targets.replace(files.targets.as_ref());
        let life = next.tls.offer.tickets.unwrap_or(NO_TICKETS);
        if life != self.tickets.life() {
            self.tickets.set_life(life);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The keys of sessions.
    pub(super) fn tickets(&self) -> &Tickets {
        &self.tickets
    }

    /// Changes the keys of session tickets until the gateway ends.
    async fn rotate(self: Arc<Self>, ending: Shutdown) {
        loop {
            let pause = self.tickets.life().rotation;
            // Dropping any arm loses nothing: a change of the times is seen in the next round.
            tokio::select! {
                _ = timeout(pause, self.changed.notified()) => {}
                () = ending.triggered() => return,
            }
            match self.tickets.rotate() {
                Ok(()) => tracing::debug!("a new key encrypts session tickets"),
                Err(_) => tracing::error!("there are no random numbers for a new key of session tickets"),
            }
        }
    }
}

fn parts(
    config: &Config,
    resolver: &Arc<Resolver>,
    tickets: &Arc<Tickets>,
    clients: Option<ClientRoots>,
) -> ServerParts {
    let offer = config.tls.offer.clone();
    let tickets = offer.tickets.map(|_| tickets.clone());
    ServerParts { resolver: resolver.clone(), offer, tickets, clients }
}
