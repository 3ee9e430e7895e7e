//! Names from the first question on, with a clock and servers of their own.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::*;
use crate::{shutdown::Tasks, telemetry::Metrics};

const SECOND: Duration = Duration::from_secs(1);

fn found(last: u8) -> Found {
    let record = Record { ip: Ipv4Addr::new(10, 0, 0, last).into(), service: None };
    Found::new(Kind::A, vec![record], 10 * SECOND).unwrap()
}

/// Counts how often it is told.
#[derive(Default)]
struct Told(AtomicUsize);

impl Follower for Told {
    fn renew(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn address(name: &Name) -> String {
    match name.known() {
        Known::Pending => "pending".into(),
        Known::Found(found) => found.records[0].ip.to_string(),
        Known::Failed(error) => error.to_string(),
    }
}

/// Asks for every name that is due, and hears this of it. How many there were.
fn ask(dns: &Dns, now: Instant, says: &Result<u8, NameError>) -> usize {
    let mut asked = 0;
    while let Ok(name) = dns.next(now) {
        let next = name.learn(says.clone().map(found), now, &Settings::default());
        dns.again(next, &name);
        asked += 1;
    }
    asked
}

#[test]
fn a_name_is_asked_for_when_its_answer_is_over_and_followers_hear_of_changes_alone() {
    let dns = Dns::default();
    let (name, told) = (dns.name("A.test."), Arc::new(Told::default()));
    let follower: Arc<dyn Follower> = told.clone();
    name.follow(Arc::downgrade(&follower));
    assert!(Arc::ptr_eq(&name, &dns.name("a.test")), "one name");
    let mut now = Instant::now();
    let cases = [
        (0, Ok(1), 1, "10.0.0.1", 1),
        (9, Ok(2), 0, "10.0.0.1", 1),
        (1, Ok(1), 1, "10.0.0.1", 1),
        (10, Ok(2), 1, "10.0.0.2", 2),
        (10, Err(NameError::Timeout), 1, "10.0.0.2", 2),
        (1, Ok(3), 1, "10.0.0.3", 3),
        (10, Err(NameError::NotFound), 1, "dns server error: 3 name error", 4),
        (29, Ok(4), 0, "dns server error: 3 name error", 4),
        (1, Ok(4), 1, "10.0.0.4", 5),
    ];
    for (number, (after, says, asked, expected, heard)) in cases.into_iter().enumerate() {
        now += after * SECOND;
        assert_eq!((ask(&dns, now, &says), &*address(&name)), (asked, expected), "{number}");
        assert_eq!(told.0.load(Relaxed), heard, "{number}");
    }
}

#[test]
fn a_name_that_nobody_holds_is_asked_for_no_more() {
    let dns = Dns::default();
    let name = dns.name("a.test");
    let now = Instant::now();
    assert_eq!(ask(&dns, now, &Ok(1)), 1);
    drop(name);
    assert_eq!(ask(&dns, now + 100 * SECOND, &Ok(1)), 0);
    assert!(dns.names().known.is_empty() && dns.names().due.is_empty());
}

/// Answers for one name, never for another.
struct Moody;

impl Ask for Moody {
    fn ask<'a>(
        &'a self,
        host: &'a str,
        _: Option<Kind>,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Found, NameError>> + Send + 'a>> {
        Box::pin(async move {
            if host == "silent.test" {
                std::future::pending::<()>().await;
            }
            Ok(found(1))
        })
    }
}

#[tokio::test]
async fn servers_that_never_answer_hold_up_neither_other_names_nor_the_end() {
    let (dns, tasks) = (Arc::new(Dns::default()), Tasks::new(tokio::runtime::Handle::current()));
    let (silent, well) = (dns.name("silent.test"), dns.name("well.test"));
    let running = run(dns.clone(), Arc::new(Moody), Settings::default(), Arc::new(Metrics::new()), tasks.clone());
    tasks.spawn("names", running);
    while address(&well) == "pending" {
        tokio::task::yield_now().await;
    }
    let late = dns.name("late.test");
    while address(&late) == "pending" {
        tokio::task::yield_now().await;
    }
    assert_eq!(address(&silent), "pending");
    assert!(tasks.drain(10 * SECOND).await.is_empty());
}
