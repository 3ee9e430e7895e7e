//! An HTTP/1.1 connection whose request goes on beside its answer. It has a task until the answer is over: whoever reads the
//! answer slowly, or not at all yet, must not hold up the request.

use std::{cell::RefCell, future::poll_fn, mem, rc::Rc, task::Poll};

use tokio::task::AbortHandle;

use super::{deadline::Deadline, link::Link};

/// The connection and its task, which ends with this.
#[derive(Debug)]
pub(super) struct Driven {
    link: Rc<RefCell<Option<Box<Link>>>>,
    task: AbortHandle,
    pub(super) deadline: Deadline,
}

impl Driven {
    pub(super) fn start(mut link: Box<Link>) -> Self {
        let deadline = mem::replace(&mut link.deadline, Deadline::new());
        let link = Rc::new(RefCell::new(Some(link)));
        let driven = link.clone();
        let task = tokio::task::spawn_local(poll_fn(move |cx| match &mut *driven.borrow_mut() {
            Some(link) => link.poll_drive(cx),
            None => Poll::Ready(()),
        }));
        Self { link, task: task.abort_handle(), deadline }
    }

    /// Ends the task.
    pub(super) fn into_link(self) -> Option<Box<Link>> {
        self.link.borrow_mut().take()
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        self.task.abort();
        // The task lets go of it only when it is polled again.
        let link = self.link.borrow_mut().take();
        drop(link);
    }
}
