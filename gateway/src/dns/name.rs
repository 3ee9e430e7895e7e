//! One name: what is known of it, and who follows it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::{Found, NameError, course::Course};

/// What is known of a name.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// Nothing so far.
    Pending,
    /// Its addresses.
    Found(Arc<Found>),
    /// That there are none.
    Failed(NameError),
}

/// Whoever goes by what names mean.
pub trait Follower: Send + Sync {
    /// One of the names means something else now.
    fn renew(&self);
}

/// A name of a host, which is asked for as long as somebody holds it.
#[derive(Debug)]
pub struct Name {
    host: Arc<str>,
    known: ArcSwap<Known>,
    course: Mutex<Course>,
    followers: Mutex<Followers>,
}

#[derive(Default)]
struct Followers(Vec<Weak<dyn Follower>>);

impl std::fmt::Debug for Followers {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} followers", self.0.len())
    }
}

impl Name {
    pub(super) fn new(host: Arc<str>) -> Self {
        Self {
            host,
            known: ArcSwap::from_pointee(Known::Pending),
            course: Mutex::default(),
            followers: Mutex::default(),
        }
    }

    /// The name, in lower case, without a dot at its end.
    pub fn host(&self) -> &Arc<str> {
        &self.host
    }

    /// What is known of it now.
    pub fn known(&self) -> Known {
        (**self.known.load()).clone()
    }

    /// Tells a follower of each change from now on, until it is gone.
    pub fn follow(&self, follower: Weak<dyn Follower>) {
        let mut followers = self.followers();
        followers.0.retain(|known| known.strong_count() > 0);
        followers.0.push(follower);
    }

    pub(super) fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what an asker has heard at `now`; says when to ask again.
    pub(super) fn learn(&self, heard: Result<Found, NameError>, now: Instant, settings: &super::Settings) -> Instant {
        let (known, next) = self.course().learn(heard, now, settings);
        let is_news = match (&**self.known.load(), &known) {
            (Known::Found(before), Known::Found(after)) => before.kind != after.kind || before.records != after.records,
            (before, after) => before != after,
        };
        if is_news {
            self.known.store(Arc::new(known));
            let followers: Vec<_> = self.followers().0.iter().filter_map(Weak::upgrade).collect();
            // Without the lock: followers may come and go meanwhile.
            followers.iter().for_each(|follower| follower.renew());
        }
        next
    }

    /// As if a server had said so just now.
    #[cfg(test)]
    pub(crate) fn means(&self, heard: Result<Found, NameError>) {
        self.learn(heard, Instant::now(), &super::Settings::default());
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
