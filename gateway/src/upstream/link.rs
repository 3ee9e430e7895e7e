//! One HTTP/1.1 connection to a target, without a task: whoever uses it polls it.

use std::{
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;

use super::{
    PoolKey, RequestBody, SendError, Timeouts, UploadError,
    body::Progress,
    connect::TargetIo,
    deadline::Deadline,
    metered::{Meter, Metered},
};

/// What the HTTP engine says of a request; one that was not sent comes back.
type Outcome = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// A request that a connection has taken.
pub(super) struct Sent<F> {
    answer: F,
    upload: Option<Rc<Progress>>,
    has_body: bool,
    reused: bool,
}

type Driver = http1::Connection<TokioIo<Metered>, RequestBody>;

/// A connection and what drives it.
pub(super) struct Link {
    sender: SendRequest<RequestBody>,
    driver: Pin<Box<Driver>>,
    has_ended: bool,
    meter: Meter,
    pub(super) deadline: Deadline,
    pub(super) key: Rc<PoolKey>,
    pub(super) requests: u32,
    /// When it became idle, in seconds of the pool.
    pub(super) idle_since: u32,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Link").field("key", &self.key).field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl Link {
    /// Starts HTTP on a new connection. Boxed, since it goes from the pool to the request, to the body of its answer and
    /// back.
    pub(super) async fn start(io: TargetIo, key: Rc<PoolKey>) -> Result<Box<Self>, SendError> {
        let address = key.address;
        let (metered, meter) = Metered::new(io);
        let handshake = http1::handshake(TokioIo::new(metered)).await;
        let broken = |source| SendError::Broken { address, reused: false, sent: false, source: Some(source) };
        let (sender, driver) = handshake.map_err(broken)?;
        let deadline = Deadline::new();
        let driver = Box::pin(driver);
        Ok(Box::new(Self { sender, driver, has_ended: false, meter, deadline, key, requests: 0, idle_since: 0 }))
    }

    /// Moves bytes. Ready when the connection has ended.
    pub(super) fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_ended {
            self.has_ended = self.driver.as_mut().poll(cx).is_ready();
        }
        if self.has_ended { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Whether an idle connection can take a request, as far as events tell that have been seen.
    pub(super) fn is_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.poll_drive(cx).is_pending() && self.sender.is_ready()
    }

    /// Whether the exchange is over on both sides.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_ended && self.sender.is_ready()
    }

    /// The bytes of a connection that an answer with 101 has taken out of HTTP, with those that were read already.
    pub(super) fn into_io(self) -> Option<(TargetIo, Bytes)> {
        if !self.has_ended {
            return None;
        }
        let parts = (*Pin::into_inner(self.driver)).into_parts();
        Some((parts.io.into_inner().into_io(), parts.read_buf))
    }

    /// Hands a request to the connection, which sends it when it is driven. No future, so that the request is not moved
    /// through one.
    pub(super) fn begin(
        &mut self,
        request: Request<RequestBody>,
    ) -> Sent<impl Future<Output = Outcome> + Unpin + use<>> {
        let reused = self.requests > 0;
        self.requests += 1;
        let (upload, has_body) = (request.body().progress(), !request.body().is_end_stream());
        // Boxed: it has room for the request, and goes through several futures.
        Sent { answer: Box::pin(self.sender.try_send_request(request)), upload, has_body, reused }
    }

    /// Sends what was begun and waits for the head of its answer.
    pub(super) async fn finish(
        &mut self,
        sent: Sent<impl Future<Output = Outcome> + Unpin>,
        timeouts: &Timeouts,
        address: SocketAddr,
    ) -> Result<Response<Incoming>, SendError> {
        let Sent { mut answer, upload, has_body, reused } = sent;
        let mut wait = Wait::new(upload, timeouts, address);
        wait.begin(&mut self.deadline);
        let (begun, written) = (self.meter.now(), self.meter.written());
        poll_fn(|cx| {
            let has_ended = self.poll_drive(cx).is_ready();
            if let Poll::Ready(answer) = Pin::new(&mut answer).poll(cx) {
                let answer = answer.map_err(|error| failure(error, &wait, reused));
                return Poll::Ready(answer.and_then(|answer| clear(answer, address)));
            }
            if has_ended {
                let broken = SendError::Broken { address, reused, sent: true, source: None };
                return Poll::Ready(Err(broken));
            }
            if self.meter.is_flooded_since(begun) {
                return Poll::Ready(Err(SendError::Ambiguous(address, "its head has no end")));
            }
            // What was taken in between is more than what the body was asked for: much of that waits here.
            let taken = if has_body { self.meter.written() - written } else { 0 };
            wait.poll(taken, &mut self.deadline, cx).map(Err)
        })
        .await
    }
}

/// What an unanswered request waits for.
pub(super) struct Wait<'a> {
    upload: Option<Rc<Progress>>,
    moved: u64,
    timeouts: &'a Timeouts,
    pub(super) address: SocketAddr,
}

impl<'a> Wait<'a> {
    pub(super) fn new(upload: Option<Rc<Progress>>, timeouts: &'a Timeouts, address: SocketAddr) -> Self {
        Self { upload, moved: 0, timeouts, address }
    }

    pub(super) fn begin(&self, deadline: &mut Deadline) {
        deadline.set(if self.upload.is_some() { self.timeouts.write } else { self.timeouts.read });
    }

    /// Whether it was the request's own body that ended it.
    pub(super) fn has_failed_upload(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.failed.get())
    }

    /// The upload while it goes on.
    fn open_upload(&self) -> Option<&Progress> {
        self.upload.as_deref().filter(|progress| !progress.ended.get())
    }

    /// Ready when it waited for too long. `taken`: bytes that the target has taken, where they are counted. The answer is
    /// waited for from when the last of the request moved.
    pub(super) fn poll(&mut self, taken: u64, deadline: &mut Deadline, cx: &mut Context<'_>) -> Poll<SendError> {
        let moved = self.upload.as_ref().map_or(0, |progress| progress.steps.get()) + taken;
        if moved != self.moved {
            self.moved = moved;
            deadline.set(if self.open_upload().is_some() { self.timeouts.write } else { self.timeouts.read });
        }
        deadline.poll(cx).map(|()| match self.open_upload() {
            None => SendError::ReadTimeout(self.address, self.timeouts.read),
            Some(upload) if upload.waits.get() => SendError::Upload(UploadError::Stalled(self.timeouts.write)),
            Some(_) => SendError::WriteTimeout(self.address, self.timeouts.write),
        })
    }
}

/// The answer, unless it can be read in two ways: whoever asked for the next one would get what follows (RFC 9112 §6.3).
fn clear(answer: Response<Incoming>, address: SocketAddr) -> Result<Response<Incoming>, SendError> {
    let headers = answer.headers();
    let flaw = if answer.body().size_hint().exact().is_some() {
        let is_plain = |length: &HeaderValue| length.as_bytes().iter().all(u8::is_ascii_digit);
        let has_one = headers.len() == headers.keys_len() || headers.get_all(CONTENT_LENGTH).iter().nth(1).is_none();
        let is_clear = has_one && headers.get(CONTENT_LENGTH).is_none_or(is_plain);
        (!is_clear).then_some("it has several lengths")
    } else {
        flaw_of_coding(headers)
    };
    flaw.map_or(Ok(answer), |flaw| Err(SendError::Ambiguous(address, flaw)))
}

/// What is wrong with an answer that is coded, or ends with its connection.
fn flaw_of_coding(headers: &HeaderMap) -> Option<&'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next()?;
    let is_chunked = coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    match (headers.contains_key(CONTENT_LENGTH), is_chunked) {
        (true, _) => Some("its length is given in two ways"),
        (false, false) => Some("its body is coded in another way than chunked"),
        (false, true) => None,
    }
}

fn failure(mut error: TrySendError<Request<RequestBody>>, wait: &Wait<'_>, reused: bool) -> SendError {
    let (sent, address) = (error.take_message().is_none(), wait.address);
    let source = error.into_error();
    if source.is_user() || wait.has_failed_upload() {
        SendError::Upload(UploadError::Failed(source))
    } else if source.is_parse() {
        SendError::Invalid(address, source)
    } else {
        SendError::Broken { address, reused, sent, source: Some(source) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn an_answer_is_waited_for_from_when_the_target_took_the_last_of_the_request() {
        let timeouts = Timeouts { connect: LIMIT, write: LIMIT, read: LIMIT };
        let (mut wait, mut deadline) = (Wait::new(None, &timeouts, ([127, 0, 0, 1], 80).into()), Deadline::new());
        wait.begin(&mut deadline);
        let mut ends = Vec::new();
        for taken in [0, 100, 200, 200] {
            tokio::time::sleep(Duration::from_millis(2)).await;
            assert!(poll_fn(|cx| Poll::Ready(wait.poll(taken, &mut deadline, cx).is_pending())).await);
            ends.push(deadline.at);
        }
        assert!(ends[0] < ends[1] && ends[1] < ends[2] && ends[2] == ends[3], "{ends:?}");
    }
}
