//! `consumers`.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use crate::plugin::{
    bindings::sandgate::plugin::{
        consumers::{Consumer, Credential as Found, Host},
        types::HostError,
    },
    directory::{ConsumerEntry, Credential},
    exchange::Exchange,
    instance::HostState,
};

const CONSUMER_ID: HeaderName = HeaderName::from_static("x-consumer-id");
const CONSUMER_USERNAME: HeaderName = HeaderName::from_static("x-consumer-username");
const CONSUMER_CUSTOM_ID: HeaderName = HeaderName::from_static("x-consumer-custom-id");
const CREDENTIAL_IDENTIFIER: HeaderName = HeaderName::from_static("x-credential-identifier");
const ANONYMOUS: HeaderName = HeaderName::from_static("x-anonymous-consumer");

impl HostState {
    fn lookup(&self, collection: &str, key: &str) -> Result<Option<Arc<Credential>>, HostError> {
        self.permit_for("consumers", collection)?;
        let Some(exchange) = &self.exchange else { return Err(HostError::Invalid("there is no request".into())) };
        Ok(exchange.directory.credential(collection, key).cloned())
    }
}

impl Host for HostState {
    fn find(&mut self, collection: String, key: String) -> Result<Option<Found>, HostError> {
        let Some(credential) = self.lookup(&collection, &key)? else { return Ok(None) };
        let owner = credential.consumer.as_ref();
        let exchange = self.exchange.as_ref();
        let consumer = owner.and_then(|id| exchange?.directory.consumer(id)).map(|entry| shown(entry));
        let data = Value::Object(credential.data.clone()).to_string();
        Ok(Some(Found { id: credential.id.to_string(), consumer, data }))
    }

    fn authenticate(&mut self, collection: String, key: String, identifier: Option<String>) -> Result<bool, HostError> {
        let Some(credential) = self.lookup(&collection, &key)? else { return Ok(false) };
        let Some(exchange) = &mut self.exchange else { return Ok(false) };
        let consumer = credential.consumer.as_ref().and_then(|id| exchange.directory.consumer(id)).cloned();
        let shown = match identifier.as_deref().and_then(|field| credential.data.get(field)) {
            Some(Value::String(text)) => text.as_str(),
            _ => &credential.id,
        };
        identify(exchange, consumer.as_deref());
        put(exchange, CREDENTIAL_IDENTIFIER, Some(shown));
        exchange.request.headers.remove(ANONYMOUS);
        exchange.consumer = consumer;
        exchange.credential = Some(credential);
        Ok(true)
    }

    fn set_anonymous(&mut self, consumer: String) -> Result<(), HostError> {
        self.permit("consumers")?;
        let Some(exchange) = &mut self.exchange else { return Err(HostError::Invalid("there is no request".into())) };
        let Some(entry) = exchange.directory.consumer_named(&consumer).cloned() else {
            return Err(HostError::Invalid(format!("there is no consumer {consumer}")));
        };
        identify(exchange, Some(&entry));
        put(exchange, CREDENTIAL_IDENTIFIER, None);
        exchange.request.headers.insert(ANONYMOUS, HeaderValue::from_static("true"));
        exchange.consumer = Some(entry);
        exchange.credential = None;
        Ok(())
    }

    fn current(&mut self) -> Option<Consumer> {
        self.exchange.as_ref()?.consumer.as_ref().map(|entry| shown(entry))
    }

    fn current_id(&mut self) -> Option<String> {
        self.exchange.as_ref()?.consumer.as_ref().map(|entry| entry.consumer.id.to_string())
    }

    fn current_credential(&mut self) -> Option<String> {
        self.exchange.as_ref()?.credential.as_ref().map(|credential| credential.id.to_string())
    }

    fn owned(&mut self, collection: String, field: String) -> Result<Vec<String>, HostError> {
        self.permit_for("consumers", &collection)?;
        let Some(exchange) = &self.exchange else { return Ok(Vec::new()) };
        let Some(entry) = &exchange.consumer else { return Ok(Vec::new()) };
        let owned = exchange.directory.owned(&collection, &entry.consumer.id);
        let text = |credential: &Arc<Credential>| match credential.data.get(&field)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        };
        Ok(owned.iter().filter_map(text).collect())
    }
}

fn shown(entry: &ConsumerEntry) -> Consumer {
    let text = |value: &Option<Arc<str>>| value.as_deref().map(str::to_owned);
    let consumer = &entry.consumer;
    Consumer { id: consumer.id.to_string(), username: text(&consumer.username), custom_id: text(&consumer.custom_id) }
}

/// Tells the upstream who the consumer is, and nothing that the client made up.
fn identify(exchange: &mut Exchange, entry: Option<&ConsumerEntry>) {
    let consumer = entry.map(|entry| &entry.consumer);
    put(exchange, CONSUMER_ID, consumer.map(|consumer| &*consumer.id));
    put(exchange, CONSUMER_CUSTOM_ID, consumer.and_then(|consumer| consumer.custom_id.as_deref()));
    put(exchange, CONSUMER_USERNAME, consumer.and_then(|consumer| consumer.username.as_deref()));
}

fn put(exchange: &mut Exchange, name: HeaderName, value: Option<&str>) {
    // Names of consumers may hold what no header can: those are left out, like absent ones.
    match value.and_then(|text| HeaderValue::from_str(text).or_else(|_| HeaderValue::from_bytes(text.as_bytes())).ok())
    {
        Some(value) => drop(exchange.request.headers.insert(name, value)),
        None => drop(exchange.request.headers.remove(name)),
    }
}
