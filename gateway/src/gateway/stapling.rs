//! Answers about certificates (OCSP), fetched in the background and stapled to handshakes. Nothing is fetched while a client
//! waits, and nothing that was not verified is shown.

use std::{collections::HashMap, error::Error, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    clock::unix_now,
    shutdown::Shutdown,
    tls::{Question, Resolver, Standing},
};

/// How long a responder may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const LARGEST: usize = 64 << 10;
/// When a responder is asked again that had no good answer.
const AGAIN: Duration = Duration::from_secs(300);
/// The least time between two questions about a certificate.
const LEAST: Duration = Duration::from_secs(60);
/// How long to sleep at most.
const SLEEP: Duration = Duration::from_secs(3600);

type Failed = Box<dyn Error + Send + Sync>;

/// What is known about a certificate.
#[derive(Default)]
struct Known {
    /// When to ask.
    next: Duration,
    answer: Option<(Arc<[u8]>, Standing)>,
}

/// Asks about every certificate that is served, until the gateway ends.
pub(super) async fn staple(resolver: Arc<Resolver>, ending: Shutdown) {
    let mut known = HashMap::new();
    while !ending.is_triggered() {
        // Dropping any arm loses nothing: what was not asked is asked at the next start.
        let pause = tokio::select! {
            pause = round(&resolver, &mut known) => pause,
            () = ending.triggered() => return,
        };
        tokio::select! {
            _ = timeout(pause, resolver.changed()) => {}
            () = ending.triggered() => return,
        }
    }
}

/// Asks where it is time to. How long nothing is to be done.
async fn round(resolver: &Resolver, known: &mut HashMap<Question, Known>) -> Duration {
    let (mut kept, mut wake) = (HashMap::new(), unix_now() + SLEEP);
    for shown in resolver.shown() {
        let Some(question) = Question::of(shown.key()) else { continue };
        let mut about = match kept.remove(&question) {
            Some(about) => about,
            None => known.remove(&question).unwrap_or_default(),
        };
        if about.next <= unix_now() {
            look_up(&question, &mut about).await;
        }
        let fresh = about.answer.as_ref().filter(|(_, standing)| standing.until > unix_now());
        shown.staple(fresh.map(|(bytes, _)| &**bytes));
        wake = wake.min(about.next).min(fresh.map_or(wake, |(_, standing)| standing.until));
        kept.insert(question, about);
    }
    *known = kept;
    wake.saturating_sub(unix_now()).max(Duration::from_secs(1))
}

async fn look_up(question: &Question, about: &mut Known) {
    let answered = timeout(PATIENCE, ask(question)).await.unwrap_or_else(|_| Err("it took too long".into()));
    let now = unix_now();
    let checked = answered.and_then(|answer| Ok((question.check(&answer, now)?, answer)));
    match checked {
        Ok((standing, answer)) => {
            let half = standing.until.saturating_sub(standing.since) / 2;
            about.next = (standing.since + half).max(now + LEAST);
            about.answer = Some((answer.as_ref().into(), standing));
            tracing::info!(responder = question.url, "an answer about a certificate is stapled");
        }
        Err(error) => {
            about.next = now + AGAIN;
            tracing::warn!(responder = question.url, error = &*error, "no answer about a certificate to staple");
        }
    }
}

async fn ask(question: &Question) -> Result<Bytes, Failed> {
    let url: Uri = question.url.parse()?;
    let host = url.host().ok_or("the address has no host")?;
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), url.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::post(target)
        .header(header::HOST, url.authority().map_or(host, |authority| authority.as_str()))
        .header(header::CONTENT_TYPE, "application/ocsp-request")
        .body(Full::new(Bytes::from(question.request())))?;
    let mut exchange = pin!(async {
        let answer = sender.send_request(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(Failed::from(format!("it answers {}", answer.status())));
        }
        Ok(Limited::new(answer.into_body(), LARGEST).collect().await?.to_bytes())
    });
    // The connection may end before the answer was taken out of it; dropping it then loses nothing.
    tokio::select! {
        biased;
        answer = &mut exchange => return answer,
        _ = connection => {}
    }
    exchange.await
}
