//! Names from the first question on, with a clock and servers of their own.

use std::{
    net::Ipv4Addr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::*;
use crate::{shutdown::Tasks, telemetry::Metrics};

const SECOND: Duration = Duration::from_secs(1);

/// Answers as it is told to.
#[derive(Default)]
struct Servers {
    says: Mutex<Option<Result<u8, NameError>>>,
    asked: AtomicUsize,
}

impl Servers {
    fn say(&self, says: Result<u8, NameError>) {
        *self.says.lock().unwrap() = Some(says);
    }
}

fn found(last: u8) -> Found {
    let record = Record { ip: Ipv4Addr::new(10, 0, 0, last).into(), service: None };
    Found::new(Kind::A, vec![record], 10 * SECOND).unwrap()
}

struct Asked(Arc<Servers>);

impl Ask for Asked {
    fn ask<'a>(
        &'a self,
        _: &'a str,
        _: Option<Kind>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Found, NameError>> + Send + 'a>> {
        self.0.asked.fetch_add(1, Relaxed);
        let says = self.0.says.lock().unwrap().clone();
        Box::pin(async move {
            match says {
                Some(says) => says.map(found),
                None => std::future::pending().await,
            }
        })
    }
}

/// Counts how often it is told.
#[derive(Default)]
struct Told(AtomicUsize);

impl Follower for Told {
    fn renew(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn start() -> (Arc<Dns>, Arc<Servers>, Tasks) {
    let (dns, servers) = (Arc::new(Dns::default()), Arc::new(Servers::default()));
    let tasks = Tasks::new(tokio::runtime::Handle::current());
    let asker = Arc::new(Asked(servers.clone()));
    let metrics = Arc::new(Metrics::new());
    tasks.spawn("names", run(dns.clone(), asker, Settings::default(), metrics, tasks.clone()));
    (dns, servers, tasks)
}

fn address(name: &Name) -> String {
    match name.known() {
        Known::Pending => "pending".into(),
        Known::Found(found) => found.records[0].ip.to_string(),
        Known::Failed(error) => error.to_string(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_when_its_answer_is_over_and_followers_hear_of_changes_alone() {
    let (dns, servers, _tasks) = start();
    servers.say(Ok(1));
    let (name, told) = (dns.name("A.test."), Arc::new(Told::default()));
    let follower: Arc<dyn Follower> = told.clone();
    name.follow(Arc::downgrade(&follower));
    assert!(Arc::ptr_eq(&name, &dns.name("a.test")), "one name");
    let cases = [
        (1, Ok(1), 1, "10.0.0.1", 1),
        (10, Ok(1), 2, "10.0.0.1", 1),
        (10, Ok(2), 3, "10.0.0.2", 2),
        (10, Err(NameError::Timeout), 4, "10.0.0.2", 2),
        (1, Ok(3), 5, "10.0.0.3", 3),
        (10, Err(NameError::NotFound), 6, "dns server error: 3 name error", 4),
        (29, Ok(4), 6, "dns server error: 3 name error", 4),
        (1, Ok(4), 7, "10.0.0.4", 5),
    ];
    for (number, (after, says, asked, expected, heard)) in cases.into_iter().enumerate() {
        servers.say(says);
        tokio::time::sleep(after * SECOND).await;
        assert_eq!((servers.asked.load(Relaxed), &*address(&name)), (asked, expected), "{number}");
        assert_eq!(told.0.load(Relaxed), heard, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_holds_is_asked_for_no_more() {
    let (dns, servers, _tasks) = start();
    servers.say(Ok(1));
    let name = dns.name("a.test");
    tokio::time::sleep(SECOND).await;
    drop(name);
    tokio::time::sleep(100 * SECOND).await;
    assert_eq!(servers.asked.load(Relaxed), 1);
    assert!(dns.names().known.is_empty() && dns.names().due.is_empty());
}

#[tokio::test(start_paused = true)]
async fn servers_that_never_answer_hold_up_neither_the_name_nor_the_end() {
    let (dns, _servers, tasks) = start();
    let name = dns.name("a.test");
    tokio::time::sleep(59 * SECOND).await;
    assert_eq!(address(&name), "pending");
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(address(&name), "dns client error: timeout");
    assert!(tasks.drain(SECOND).await.is_empty());
}
