//! The host's functions, as the mock does them.

use super::{MockHost, calendar};
use crate::host::{
    Answer, Call, Clock, Consumer, Consumers, Counters, Credential, Crypto, Digest, Header, HostError, KeyValue, Level,
    Limit, Logging, Metrics, Node, Notes, OutboundHttp, Queue, Random, RequestInfo, ResponseInfo, Secrets,
    ShownCertificates, Signature, Sinks, Source, Usage,
};

type Answered<T> = Result<T, HostError>;

fn first(headers: &[Header], name: &str) -> Option<String> {
    headers.iter().find(|header| header.0.eq_ignore_ascii_case(name)).map(|header| header.1.clone())
}

fn values(headers: &[Header], name: &str) -> Vec<Vec<u8>> {
    let named = headers.iter().filter(|header| header.0.eq_ignore_ascii_case(name));
    named.map(|header| header.1.clone().into_bytes()).collect()
}

impl RequestInfo for MockHost {
    fn request_method(&self) -> String {
        self.request.method.clone()
    }

    fn scheme(&self) -> String {
        "http".into()
    }

    fn request_host(&self) -> String {
        first(&self.request.headers, "host").unwrap_or_else(|| "localhost:8000".into())
    }

    fn path(&self) -> String {
        self.request.path.clone()
    }

    fn upstream_path(&self) -> String {
        self.request.path.clone()
    }

    fn query(&self) -> Option<String> {
        self.request.query.clone()
    }

    fn http_version(&self) -> String {
        "HTTP/1.1".into()
    }

    fn client_address(&self) -> String {
        self.request.client.clone()
    }

    fn server_address(&self) -> (String, u16) {
        ("127.0.0.1".into(), 8000)
    }

    fn connection(&self) -> (u64, u64) {
        (7, 1)
    }

    fn request_id(&self) -> String {
        "0123456789abcdef0123456789abcdef".into()
    }

    fn client_certificates(&self) -> Option<ShownCertificates> {
        let (chain, verified) = self.request.certificates.clone()?;
        Some(ShownCertificates { chain, verified })
    }

    fn request_header(&self, name: &str) -> Option<String> {
        first(&self.request.headers, name)
    }

    fn request_header_values(&self, name: &str) -> Vec<Vec<u8>> {
        values(&self.request.headers, name)
    }

    fn request_headers(&self) -> Vec<Header> {
        self.request.headers.clone()
    }

    fn route_id(&self) -> Option<String> {
        self.request.route.clone().map(|route| route.0)
    }

    fn route_name(&self) -> Option<String> {
        self.request.route.clone().map(|route| route.1)
    }

    fn service_id(&self) -> Option<String> {
        self.request.service.clone().map(|service| service.0)
    }

    fn service_name(&self) -> Option<String> {
        self.request.service.clone().map(|service| service.1)
    }

    fn uri_captures(&self) -> Vec<Header> {
        self.request.captures.clone()
    }

    fn read_body(&self, limit: u32) -> Answered<Vec<u8>> {
        if self.request.body.len() > limit as usize {
            return Err(HostError::Invalid("the body is larger than the limit".into()));
        }
        Ok(self.request.body.clone())
    }
}

impl ResponseInfo for MockHost {
    fn response_status(&self) -> u16 {
        self.response.status
    }

    fn response_origin(&self) -> Source {
        Source::Upstream
    }

    fn response_header(&self, name: &str) -> Option<String> {
        first(&self.response.headers, name)
    }

    fn response_header_values(&self, name: &str) -> Vec<Vec<u8>> {
        values(&self.response.headers, name)
    }

    fn response_headers(&self) -> Vec<Header> {
        self.response.headers.clone()
    }
}

impl Notes for MockHost {
    fn note(&self, key: &str) -> Option<String> {
        self.state().notes.get(key).cloned()
    }

    fn set_note(&self, key: &str, value: &str) -> Answered<()> {
        self.state().notes.insert(key.into(), value.into());
        Ok(())
    }
}

impl Logging for MockHost {
    fn log_enabled(&self, _level: Level) -> bool {
        true
    }

    fn log(&self, level: Level, message: &str) {
        self.state().logs.push((level, message.into()));
    }

    fn set_log_field(&self, key: &str, value: &str) -> Answered<()> {
        self.state().fields.insert(key.into(), value.into());
        Ok(())
    }

    fn log_record(&self) -> Answered<String> {
        Ok(self.record.clone())
    }
}

impl Clock for MockHost {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn monotonic(&self) -> u64 {
        self.now.get() * 1_000_000
    }
}

/// Not random: the same numbers in the same order in every test.
impl Random for MockHost {
    fn random_bytes(&self, length: u32) -> Vec<u8> {
        (0..length).map(|_| self.random_number() as u8).collect()
    }

    fn random_number(&self) -> u64 {
        let mut state = self.state();
        state.numbers += 1;
        state.numbers.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Node for MockHost {
    fn node_id(&self) -> String {
        "00000000-0000-4000-8000-000000000001".into()
    }

    fn hostname(&self) -> String {
        "gateway".into()
    }

    fn process_id(&self) -> u32 {
        42
    }

    fn worker(&self) -> u32 {
        0
    }
}

impl MockHost {
    fn lookup(&self, collection: &str, key: &str) -> Option<Credential> {
        let id = [key, "-id"].concat();
        self.entities.get(collection)?.iter().find(|entity| entity.id == id).cloned()
    }
}

impl Consumers for MockHost {
    fn find_credential(&self, collection: &str, key: &str) -> Answered<Option<Credential>> {
        self.granted("consumers")?;
        Ok(self.lookup(collection, key))
    }

    fn authenticate(&self, collection: &str, key: &str, _identifier: Option<&str>) -> Answered<bool> {
        self.granted("consumers")?;
        let Some(credential) = self.lookup(collection, key) else { return Ok(false) };
        let mut state = self.state();
        state.consumer = credential.consumer;
        state.credential = Some(credential.id);
        Ok(true)
    }

    fn set_anonymous(&self, consumer: &str) -> Answered<()> {
        self.granted("consumers")?;
        let is = |known: &&Consumer| known.id == consumer || known.username.as_deref() == Some(consumer);
        let found = self.consumers.iter().find(is).ok_or_else(|| HostError::Invalid("no such consumer".into()))?;
        let mut state = self.state();
        state.consumer = Some(found.clone());
        state.credential = None;
        Ok(())
    }

    fn consumer(&self) -> Option<Consumer> {
        self.state().consumer.clone()
    }

    fn consumer_id(&self) -> Option<String> {
        self.state().consumer.as_ref().map(|consumer| consumer.id.clone())
    }

    fn credential_id(&self) -> Option<String> {
        self.state().credential.clone()
    }

    fn owned(&self, collection: &str, field: &str) -> Answered<Vec<String>> {
        self.granted("consumers")?;
        let consumer = self.state().consumer.clone();
        let entities = self.entities.get(collection).into_iter().flatten();
        let mine = entities.filter(|entity| consumer.is_some() && entity.consumer == consumer);
        Ok(mine.filter_map(|entity| member(&entity.data, field)).collect())
    }
}

fn member(data: &str, field: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(data).ok()?;
    value.get(field)?.as_str().map(String::from)
}

impl Counters for MockHost {
    fn take(&self, key: &str, limits: &[Limit], amount: u32) -> Answered<Vec<Usage>> {
        self.granted("counters")?;
        let now = self.now();
        let mut state = self.state();
        let slot = |limit: &Limit| (key.to_owned(), limit.period as u64, calendar::start(limit.period, now));
        let used = |limit: &Limit| state.counters.get(&slot(limit)).copied().unwrap_or_default();
        let usage = |limit| Usage { used: used(limit), elapsed: now - calendar::start(limit.period, now) };
        let usages: Vec<Usage> = limits.iter().map(usage).collect();
        if limits.iter().zip(&usages).all(|(limit, usage)| usage.used < limit.ceiling) {
            for limit in limits {
                *state.counters.entry(slot(limit)).or_default() += u64::from(amount);
            }
        }
        Ok(usages)
    }

    fn increment(&self, key: &str, amount: u32, window: u32) -> Answered<u64> {
        self.granted("counters")?;
        let slot = (key.to_owned(), u64::MAX, self.now() / u64::from(window));
        let mut state = self.state();
        let sum = state.counters.entry(slot).or_default();
        *sum += u64::from(amount);
        Ok(*sum)
    }

    fn peek(&self, key: &str, window: u32) -> Answered<u64> {
        self.increment(key, 0, window)
    }
}

impl KeyValue for MockHost {
    fn get_value(&self, key: &str) -> Answered<Option<Vec<u8>>> {
        self.granted("key-value")?;
        let now = self.now();
        let state = self.state();
        let value = state.values.get(key).filter(|(_, end)| end.is_none_or(|end| now < end));
        Ok(value.map(|(bytes, _)| bytes.clone()))
    }

    fn set_value(&self, key: &str, value: &[u8], ttl: Option<u32>) -> Answered<()> {
        self.granted("key-value")?;
        let end = ttl.map(|ttl| self.now() + u64::from(ttl));
        self.state().values.insert(key.into(), (value.to_vec(), end));
        Ok(())
    }

    fn delete_value(&self, key: &str) -> Answered<()> {
        self.granted("key-value")?;
        self.state().values.remove(key);
        Ok(())
    }
}

impl Metrics for MockHost {
    fn count(&self, name: &str, amount: u64) -> Answered<()> {
        self.observe(name, amount as f64)
    }

    fn observe(&self, name: &str, value: f64) -> Answered<()> {
        self.granted("metrics")?;
        *self.state().metrics.entry(name.into()).or_default() += value;
        Ok(())
    }
}

impl Queue for MockHost {
    fn enqueue(&self, entry: &[u8]) -> Answered<()> {
        self.granted("queue")?;
        self.state().queue.push(entry.to_vec());
        Ok(())
    }
}

impl Sinks for MockHost {
    fn append(&self, path: &str, data: &[u8], _reopen: bool) -> Answered<()> {
        self.granted("sinks")?;
        self.state().files.entry(path.into()).or_default().extend_from_slice(data);
        Ok(())
    }

    fn append_record(&self, path: &str, reopen: bool) -> Answered<()> {
        self.granted("sinks")?;
        let mut line = self.log_record()?;
        line.push('\n');
        self.append(path, line.as_bytes(), reopen)
    }
}

impl OutboundHttp for MockHost {
    fn send(&self, call: &Call) -> Answered<Answer> {
        self.granted("outbound-http")?;
        let mut state = self.state();
        state.calls.push(call.clone());
        state.answers.pop_front().unwrap_or_else(|| Err(HostError::Failed("no answer was prepared".into())))
    }

    fn send_kept(&self, call: &Call, keep: u32) -> Answered<Answer> {
        self.state().kept.push(keep);
        self.send(call)
    }
}

/// None: the mock has no cryptography.
impl Crypto for MockHost {
    fn hash(&self, _algorithm: Digest, _data: &[u8]) -> Answered<Vec<u8>> {
        none()
    }

    fn hmac(&self, _algorithm: Digest, _key: &[u8], _data: &[u8]) -> Answered<Vec<u8>> {
        none()
    }

    fn equal(&self, a: &[u8], b: &[u8]) -> Answered<bool> {
        self.granted("crypto")?;
        Ok(a == b)
    }

    fn verify(&self, _algorithm: Signature, _key: &str, _data: &[u8], _signature: &[u8]) -> Answered<bool> {
        none()
    }
}

fn none<T>() -> Answered<T> {
    Err(HostError::Failed("the mock has no cryptography".into()))
}

impl Secrets for MockHost {
    fn secret(&self, name: &str) -> Answered<Option<String>> {
        self.granted("secrets")?;
        Ok(self.secrets.get(name).cloned())
    }
}
