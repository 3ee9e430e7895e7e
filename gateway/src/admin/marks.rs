//! Targets that an operator says are healthy, or not.

use std::{net::IpAddr, time::Duration};

use http::StatusCode;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    answer::Answer,
    call::Call,
    failure::Failure,
    read::{Reader, id_of},
    resource::{Mark, Nested},
    targets::has_checks,
};
use crate::{
    model::{Object, normal_target, schema::Host},
    store::TargetMark,
};

/// How long a target that was only just written is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// `PUT /upstreams/{upstream}/targets/{target}/healthy`, and with an address between. Holds on this node at once, and on
/// others that share the database as soon as they hear of it, until the checks say otherwise.
pub(super) async fn set(call: &Call, mark: &Mark) -> Result<Answer, Failure> {
    let upstreams = super::write::core_collection(&call.registry, "upstreams")?;
    let targets = super::write::core_collection(&call.registry, "targets")?;
    let reference = targets.references.first().cloned().ok_or(Failure::NotFound)?;
    let nested = Nested { parent: upstreams, key: mark.upstream.clone(), child: targets, reference };
    let mut reader = Reader::Store(&*call.context.store);
    let upstream = reader.parent(&nested).await?;
    let name = text(&upstream, "name");
    if !has_checks(&upstream) {
        return Err(Failure::Bad(format!("no healthchecker found for {name}")));
    }
    let target = reader.find_child(&nested, id_of(&upstream), &mark.target).await?.ok_or(Failure::NotFound)?;
    let target = text(&target, "target");
    let meant = match mark.address.as_deref() {
        Some(address) if !is_of(address, target) => return Err(Failure::NotFound),
        address => address.and_then(only),
    };
    let mut served = call.context.served.clone();
    let marked = async {
        loop {
            served.borrow_and_update();
            if call.context.fitness.mark(name, target, meant, mark.healthy) {
                return true;
            }
            if served.changed().await.is_err() {
                return false;
            }
        }
    };
    match timeout(PATIENCE, marked).await {
        Ok(true) => {
            let (upstream, target) = (name.to_owned(), target.to_owned());
            let (process, address, healthy) = (call.context.process.clone(), mark.address.clone(), mark.healthy);
            tell(call, &TargetMark { process, upstream, target, address, healthy }).await;
            Ok(Answer::empty(StatusCode::NO_CONTENT))
        }
        Ok(false) | Err(_) => Err(Failure::NotFound),
    }
}

/// Tells other nodes. While the database is away there is no way to them, and this node's targets are turned nonetheless.
async fn tell(call: &Call, mark: &TargetMark) {
    if let Err(error) = call.context.store.mark(mark).await {
        let (upstream, target) = (&*mark.upstream, &*mark.target);
        tracing::warn!(upstream, target, %error, "other nodes were not told that a target was turned by hand");
    }
}

/// The address that a mark names, if it is one, and its port.
pub fn only(address: &str) -> Option<(IpAddr, Option<u16>)> {
    let host = Host::parse(address)?;
    Some((host.address?, host.port))
}

fn text<'o>(object: &'o Object, field: &str) -> &'o str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an address, with or without its port, may be one of a target. What a name means, only this node's names know.
fn is_of(address: &str, target: &str) -> bool {
    let (Some(wanted), Some(own)) = (Host::parse(address), Host::parse(target)) else { return false };
    let is_same = own.address == wanted.address && (wanted.port.is_none() || wanted.port == own.port);
    wanted.address.is_some() && (own.address.is_none() || is_same) || normal_target(address).as_deref() == Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_belongs_to_its_target() {
        let cases = [
            ("10.0.0.1", "10.0.0.1:80", true),
            ("10.0.0.1:80", "10.0.0.1:80", true),
            ("10.0.0.1:81", "10.0.0.1:80", false),
            ("10.0.0.2", "10.0.0.1:80", false),
            ("10.0.0.2:80", "a.test:80", true),
            ("a.test", "10.0.0.1:80", false),
        ];
        for (address, target, expected) in cases {
            assert_eq!(is_of(address, target), expected, "{address} of {target}");
        }
    }
}
