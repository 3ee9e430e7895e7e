//! Who may use the Admin API.

mod audit;
mod bounds;
mod browsers;
mod certificates;
mod lockout;
mod public;
mod roles;
mod tokens;

use serde_json::{Value, json};

use crate::harness::{Admin, Gateway};

/// A token of the settings.
const BOOTSTRAP: &str = "bootstrap-0123456789abcdef0123456789abcdef";

/// Makes a token with these roles, and answers with the Admin API as its holder sees it.
async fn holder(admin: &Admin, name: &str, roles: &[&str]) -> Admin {
    admin.with_token(&token(admin, json!({ "name": name, "roles": roles })).await)
}

/// Makes a token, and answers with its secret.
async fn token(admin: &Admin, wanted: Value) -> String {
    admin.create("/admin-tokens", wanted).await["token"].as_str().expect("a token").to_owned()
}

/// The first token of a gateway, that of an administrator.
async fn close(gateway: &Gateway) -> Admin {
    holder(&gateway.admin, "root", &["admin"]).await
}
