//! http-log: sends the access records to an HTTP server, batched in the background.

mod endpoint;
mod settings;

use sandgate_sdk::{custom_fields::CustomFields, host::Call, prelude::*};

pub use self::settings::Settings;
use self::{endpoint::Endpoint, settings::RESERVED};

/// One configuration.
#[derive(Debug)]
pub struct HttpLog {
    settings: Settings,
    endpoint: Endpoint,
    fields: CustomFields,
}

#[plugin(name = "http-log", priority = 12, capabilities(queue, outbound_http("*")))]
impl Plugin for HttpLog {
    type Settings = Settings;

    fn new(settings: Settings, _scope: &Scope) -> Result<Self, Vec<ConfigError>> {
        let fields = CustomFields::parse(settings.custom_fields_by_lua.as_ref())?;
        let endpoint = Endpoint::parse(&settings.http_endpoint)?;
        Ok(Self { settings, endpoint, fields })
    }

    fn validate(settings: &Settings) -> Vec<ConfigError> {
        settings.check()
    }

    fn prepare(&self) -> Prepared {
        Prepared { queue: Some(self.settings.queue()), ..Prepared::default() }
    }

    fn on_log(&self, host: &impl Host) {
        let enqueued = host.log_record().and_then(|record| host.enqueue(self.fields.apply(record).as_bytes()));
        if let Err(failure) = enqueued {
            host.log(Level::Error, &["the access record is not sent: ", failure.reason()].concat());
        }
    }

    fn on_batch(&self, entries: Vec<Vec<u8>>, host: &impl Host) -> Result<(), String> {
        let call = Call {
            method: self.settings.method.clone(),
            url: self.endpoint.url.clone(),
            headers: self.headers(),
            body: self.body(entries),
            timeout: self.settings.timeout.clamp(1.0, 600_000.0) as u32,
            verify_tls: false,
        };
        let answer = host.send_kept(&call, self.settings.kept()).map_err(|failure| failure.reason().to_owned())?;
        if answer.status < 300 { Ok(()) } else { Err(["the server answered ", &answer.status.to_string()].concat()) }
    }
}

impl HttpLog {
    fn headers(&self) -> Vec<(String, String)> {
        let mut headers = vec![("Content-Type".to_owned(), self.settings.content_type.clone())];
        headers.extend(self.endpoint.authorization.iter().map(|value| ("Authorization".to_owned(), value.clone())));
        let own = self.settings.headers.iter().flatten().map(|(name, value)| (name.clone(), value.clone()));
        headers.extend(own.filter(|(name, _)| !RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))));
        headers
    }

    /// One record as it is; where a batch may hold more, an array.
    fn body(&self, entries: Vec<Vec<u8>>) -> Vec<u8> {
        if self.settings.queue().max_batch_size == 1 {
            return entries.into_iter().next().unwrap_or_default();
        }
        let mut body = vec![b'['];
        body.extend(entries.join(&b','));
        body.push(b']');
        body
    }
}

#[cfg(test)]
mod tests;
