//! A connection that stays open for any number of requests, one after the other.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, anyhow};
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::{
    body::Incoming,
    client::conn::{http1, http2},
    rt::{Read, Write},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};

use super::{
    client::{Answer, Body, Wire, full},
    tls::{self, ClientKey},
};

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open connection.
pub struct Client {
    authority: String,
    sender: Sender,
    /// The connection itself; it ends with the client.
    _driver: JoinSet<()>,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Client {
    /// Connects.
    pub async fn connect(address: SocketAddr, wire: Wire) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let mut driver = JoinSet::new();
        let sender = match wire {
            Wire::Http1 => Self::http1(TokioIo::new(stream), &mut driver).await?,
            Wire::Http2 => Self::http2(TokioIo::new(stream), &mut driver).await?,
            Wire::Tls => Self::http1(TokioIo::new(tls::connect(stream, "http/1.1").await?), &mut driver).await?,
            Wire::TlsHttp2 => Self::http2(TokioIo::new(tls::connect(stream, "h2").await?), &mut driver).await?,
        };
        Ok(Self { authority: address.to_string(), sender, _driver: driver })
    }

    /// Connects over TLS with a client certificate.
    pub async fn with_certificate(address: SocketAddr, client: ClientKey) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
        let mut driver = JoinSet::new();
        let stream = tls::connect_as(stream, "http/1.1", Some(client)).await?;
        let sender = Self::http1(TokioIo::new(stream), &mut driver).await?;
        Ok(Self { authority: address.to_string(), sender, _driver: driver })
    }

    async fn http1(stream: impl Read + Write + Unpin + Send + 'static, driver: &mut JoinSet<()>) -> Result<Sender> {
        let (sender, connection) = http1::Builder::new().handshake(stream).await?;
        driver.spawn(async { drop(connection.with_upgrades().await) });
        Ok(Sender::Http1(sender))
    }

    async fn http2(stream: impl Read + Write + Unpin + Send + 'static, driver: &mut JoinSet<()>) -> Result<Sender> {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(stream).await?;
        driver.spawn(async { drop(connection.await) });
        Ok(Sender::Http2(sender))
    }

    /// Asks for a path.
    pub async fn get(&mut self, target: &str) -> Result<Answer> {
        self.send(Request::get(target).body(full(""))?).await
    }

    /// Asks for a path so many times at once. HTTP/2 only.
    pub async fn get_at_once(&self, target: &str, times: usize) -> Vec<Result<Answer>> {
        let Sender::Http2(sender) = &self.sender else { panic!("HTTP/1.1 has one request at a time") };
        let mut calls = JoinSet::new();
        for _ in 0..times {
            let sender = Sender::Http2(sender.clone());
            let mut client = Self { authority: self.authority.clone(), sender, _driver: JoinSet::new() };
            let target = target.to_owned();
            calls.spawn(async move { client.get(&target).await });
        }
        calls.join_all().await
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, request: Request<Body>) -> Result<Answer> {
        let exchange = async { Answer::read(self.begin(request).await?).await };
        timeout(PATIENCE, exchange).await.map_err(|_| anyhow!("no answer in {PATIENCE:?}"))?
    }

    /// Sends a request and reads the head of the answer.
    pub async fn begin(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                if !request.headers().contains_key(header::HOST) {
                    request.headers_mut().insert(header::HOST, HeaderValue::try_from(&self.authority)?);
                }
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
            Sender::Http2(sender) => {
                let host = request.headers_mut().remove(header::HOST);
                let authority = host.as_ref().map_or(self.authority.as_bytes(), HeaderValue::as_bytes);
                let path = request.uri().path_and_query().map_or("/", |target| target.as_str());
                *request.uri_mut() = Uri::builder().scheme("http").authority(authority).path_and_query(path).build()?;
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
        }
    }
}
