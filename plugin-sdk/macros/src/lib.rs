//! The macros of `sandgate-sdk`: `#[derive(Config)]` and `#[plugin(…)]`. Documented there.

mod collection;
mod config;
mod literal;
mod plugin;
mod world;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes settings of a struct, or a choice of an enum without fields. Doc comments become descriptions.
///
/// On a field, `#[config(…)]` takes:
///
/// | attribute | meaning |
/// |---|---|
/// | `default = "apikey"`, `= 10`, `= true`, `= ["a"]` | value when absent or null |
/// | `range = 1..=65535` | least and greatest value |
/// | `greater_than = 0` | least value, itself excluded |
/// | `one_of = ["a", "b"]` | the only values |
/// | `len_min = 1`, `len_max = 64` | length of a string or list |
/// | `pattern = "^/"` | regular expression, checked by the gateway; `pattern_error` words the refusal |
/// | `lua_pattern = "^%u+$"` | the same as a Lua pattern, for settings that Kong has too |
/// | `match_none = [("^[Hh]ost$", "not Host")]` | Lua patterns that must not match, each with its refusal |
/// | `kind = "header_name"` | what the text is: header_name, host, port, url, path, uuid, timeout … |
/// | `required` | null is refused; `required = false` is shown as such |
/// | `referenceable` | may be a `{vault://…}` reference |
/// | `encrypted` | a secret: encrypted where the gateway encrypts |
/// | `deprecated = "use … instead"` | still accepted; `deprecated(message = "…", old_default = 1)` |
/// | `items(…)` | the same attributes for the elements of a list, set or map |
/// | `keys(…)` | of those, what the gateway checks, for the keys of a map |
/// | `rename = "x-y"` | name in the configuration |
/// | `unique`, `unique_in_parent`, `generated` | fields of a `#[collection(…)]` |
///
/// On the struct: `checks = "…"` (JSON of checks across fields), `shorthands(redis_host = "redis.host", …)` (deprecated
/// names), `protocols = "all"` (on the settings: may run on stream protocols too), and `#[collection(name = …, path = …, nested_path = …, parent = …, ttl)]` for a kind of entity.
#[proc_macro_derive(Config, attributes(config, collection))]
pub fn derive_config(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as syn::DeriveInput);
    config::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Goes above `impl Plugin for …`: adds the manifest, and exports the phases whose methods are written.
///
/// `name` and `priority` are needed; `version` is that of the crate. Further: `request_headers = ["…"]`,
/// `response_headers = ["…"]`, `capabilities(counters, consumers("…"), outbound_http("*"))`,
/// `collections(KeyAuthCredential)`, `consumer_scope = false`, `protocols = ["http"]`.
#[proc_macro_attribute]
pub fn plugin(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as plugin::Arguments);
    let item = parse_macro_input!(item as syn::ItemImpl);
    plugin::expand(&arguments, &item).unwrap_or_else(syn::Error::into_compile_error).into()
}
