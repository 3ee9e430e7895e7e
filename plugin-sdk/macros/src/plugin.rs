//! `#[plugin(…)]`.

use proc_macro2::{Literal, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{
    Expr, Ident, ImplItem, ItemImpl, LitByteStr, LitStr, Path, Result, Token, parenthesized,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use crate::world;

/// What stands in the brackets.
#[derive(Default)]
pub(crate) struct Arguments {
    name: Option<Expr>,
    priority: Option<Expr>,
    version: Option<LitStr>,
    request_headers: Vec<LitStr>,
    response_headers: Vec<LitStr>,
    capabilities: Vec<Capability>,
    collections: Vec<Path>,
    consumer_scope: Option<syn::LitBool>,
    protocols: Vec<LitStr>,
}

struct Capability {
    name: String,
    scope: Vec<LitStr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut found = Self::default();
        while !input.is_empty() {
            found.take(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(found)
    }
}

impl Arguments {
    fn take(&mut self, input: ParseStream<'_>) -> Result<()> {
        let key: Ident = input.parse()?;
        match key.to_string().as_str() {
            "capabilities" => self.capabilities = group(input)?,
            "collections" => self.collections = group(input)?,
            other => {
                input.parse::<Token![=]>()?;
                match other {
                    "name" => self.name = Some(input.parse()?),
                    "priority" => self.priority = Some(input.parse()?),
                    "version" => self.version = Some(input.parse()?),
                    "request_headers" => self.request_headers = texts(input)?,
                    "response_headers" => self.response_headers = texts(input)?,
                    "consumer_scope" => self.consumer_scope = Some(input.parse()?),
                    "protocols" => self.protocols = texts(input)?,
                    _ => return Err(syn::Error::new(key.span(), "unknown argument")),
                }
            }
        }
        Ok(())
    }
}

impl Parse for Capability {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse::<Ident>()?.to_string().replace('_', "-");
        let scope = if input.peek(syn::token::Paren) { group(input)? } else { Vec::new() };
        Ok(Self { name, scope })
    }
}

fn group<T: Parse>(input: ParseStream<'_>) -> Result<Vec<T>> {
    let content;
    parenthesized!(content in input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

fn texts(input: ParseStream<'_>) -> Result<Vec<LitStr>> {
    let content;
    syn::bracketed!(content in input);
    Ok(Punctuated::<LitStr, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

/// The implementation as written, the manifest, and the exports.
pub(crate) fn expand(arguments: &Arguments, item: &ItemImpl) -> Result<TokenStream> {
    let plugin = &item.self_ty;
    let manifest = manifest(arguments, plugin)?;
    let exports = exports(plugin, &phases(item))?;
    Ok(quote! {
        #item

        impl ::sandgate_sdk::plugin::Describe for #plugin {
            fn manifest() -> ::sandgate_sdk::plugin::Manifest {
                #manifest
            }
        }

        #exports
    })
}

fn manifest(arguments: &Arguments, plugin: &syn::Type) -> Result<TokenStream> {
    let Arguments { request_headers, response_headers, collections, protocols, .. } = arguments;
    let missing = |what| syn::Error::new(Span::call_site(), format!("a plugin has a {what}: `{what} = …`"));
    let name = arguments.name.as_ref().ok_or_else(|| missing("name"))?;
    let priority = arguments.priority.as_ref().ok_or_else(|| missing("priority"))?;
    let version = match &arguments.version {
        Some(version) => quote!(#version),
        None => quote!(::std::env!("CARGO_PKG_VERSION")),
    };
    let consumer_scope = arguments.consumer_scope.as_ref().is_none_or(|value| value.value);
    let capabilities = arguments.capabilities.iter().map(|Capability { name, scope }| {
        quote!(::sandgate_sdk::plugin::Capability { name: #name.into(), scope: ::std::vec![#(#scope.into()),*] })
    });
    Ok(quote! {
        ::sandgate_sdk::plugin::Manifest {
            name: #name.into(),
            version: #version.into(),
            priority: #priority,
            config_schema:
                <<#plugin as ::sandgate_sdk::Plugin>::Settings as ::sandgate_sdk::config::Config>::schema(),
            request_headers: ::std::vec![#(#request_headers.into()),*],
            response_headers: ::std::vec![#(#response_headers.into()),*],
            capabilities: ::std::vec![#(#capabilities),*],
            collections: ::std::vec![#(<#collections as ::sandgate_sdk::config::Collection>::declaration()),*],
            consumer_scope: #consumer_scope,
            protocols: ::std::vec![#(#protocols.into()),*],
        }
    })
}

/// Interfaces of the phases whose methods are written.
fn phases(item: &ItemImpl) -> Vec<&'static str> {
    let written = |method: &str| {
        item.items.iter().any(|item| matches!(item, ImplItem::Fn(function) if function.sig.ident == method))
    };
    world::PHASES.into_iter().filter(|(_, method)| written(method)).map(|(interface, _)| interface).collect()
}

fn exports(plugin: &syn::Type, phases: &[&'static str]) -> Result<TokenStream> {
    let interfaces: Vec<&str> = ["lifecycle"].into_iter().chain(phases.iter().copied()).collect();
    let section = world::encode(&interfaces).map_err(|error| syn::Error::new(Span::call_site(), error))?;
    let length = Literal::usize_unsuffixed(section.len());
    let section = LitByteStr::new(&section, Span::call_site());
    let version = world::VERSION.replace('.', "_");
    let glue = interfaces.iter().map(|interface| {
        let module = format_ident!("{}", interface.replace('-', "_"));
        let export = format_ident!("__export_sandgate_plugin_{module}_{version}_cabi");
        quote! {
            ::sandgate_sdk::#export!(Component with_types_in
                ::sandgate_sdk::bindings::exports::sandgate::plugin::#module);
        }
    });
    Ok(quote! {
        #[cfg(target_family = "wasm")]
        const _: () = {
            ::std::thread_local! {
                static CONFIGURATIONS: ::sandgate_sdk::runtime::Table<#plugin> =
                    const { ::sandgate_sdk::runtime::Table::new() };
            }

            impl ::sandgate_sdk::runtime::Stored for #plugin {
                fn table<R>(call: impl FnOnce(&::sandgate_sdk::runtime::Table<Self>) -> R) -> R {
                    CONFIGURATIONS.with(call)
                }
            }

            type Component = ::sandgate_sdk::runtime::Runtime<#plugin>;

            #(#glue)*

            #[unsafe(link_section = "component-type:sandgate-plugin")]
            static WORLD: [u8; #length] = *#section;
        };
    })
}
