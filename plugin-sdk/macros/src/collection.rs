//! `#[collection(…)]`: a kind of entity that operators manage for the plugin.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, LitStr, Result};

use crate::config::Setting;

/// Implements `Collection` when the struct has the attribute.
pub(crate) fn implement(input: &DeriveInput, settings: &[Setting<'_>]) -> Result<TokenStream> {
    let Some(attribute) = input.attrs.iter().find(|attribute| attribute.path().is_ident("collection")) else {
        return Ok(TokenStream::new());
    };
    let (mut texts, mut ttl) = (Vec::new(), false);
    attribute.parse_nested_meta(|meta| {
        if meta.path.is_ident("ttl") {
            ttl = true;
            return Ok(());
        }
        let field = meta.path.require_ident()?.clone();
        let text: LitStr = meta.value()?.parse()?;
        texts.push(quote!(#field: #text.into()));
        Ok(())
    })?;
    let ident = &input.ident;
    let unique = names(settings, |setting| setting.attributes.unique);
    let in_parent = names(settings, |setting| setting.attributes.unique_in_parent);
    let generated = names(settings, |setting| setting.attributes.generated);
    Ok(quote! {
        impl ::sandgate_sdk::config::Collection for #ident {
            fn declaration() -> ::sandgate_sdk::plugin::Collection {
                ::sandgate_sdk::plugin::Collection {
                    #(#texts,)*
                    schema: <Self as ::sandgate_sdk::config::Config>::schema(),
                    unique_fields: #unique,
                    unique_in_parent: #in_parent,
                    generated_fields: #generated,
                    ttl: #ttl,
                }
            }
        }
    })
}

fn names(settings: &[Setting<'_>], keep: impl Fn(&Setting<'_>) -> bool) -> TokenStream {
    let names = settings.iter().filter(|setting| keep(setting)).map(|setting| &setting.name);
    quote!(::std::vec![#(#names.into()),*])
}
