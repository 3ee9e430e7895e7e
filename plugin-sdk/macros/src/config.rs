//! `#[derive(Config)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{
    Attribute, Data, DataEnum, DeriveInput, Expr, ExprArray, ExprRange, Fields, Ident, LitBool, LitStr, Result, Token,
    Type, meta::ParseNestedMeta,
};

use crate::{collection, literal};

/// What `#[config(…)]` on a field says.
#[derive(Default)]
pub(crate) struct Attributes {
    keywords: String,
    default: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    above: bool,
    len_min: usize,
    one_of: Vec<String>,
    required: Option<bool>,
    rename: Option<String>,
    items: Option<Box<Attributes>>,
    pub(crate) unique: bool,
    pub(crate) unique_in_parent: bool,
    pub(crate) generated: bool,
}

/// A field with its attributes.
pub(crate) struct Setting<'a> {
    ident: &'a Ident,
    ty: &'a Type,
    pub(crate) name: String,
    pub(crate) attributes: Attributes,
}

/// Implements `Field` and `Config`, and `Collection` where the struct says so.
pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    match &input.data {
        Data::Struct(data) => record(input, &data.fields),
        Data::Enum(data) => choice(input, data),
        Data::Union(_) => Err(syn::Error::new_spanned(input, "Config is for structs and enums")),
    }
}

fn record(input: &DeriveInput, fields: &Fields) -> Result<TokenStream> {
    let ident = &input.ident;
    let settings: Vec<Setting<'_>> = fields.iter().map(setting).collect::<Result<_>>()?;
    let (extensions, ignored) = record_attributes(&input.attrs)?;
    let members = settings.iter().map(member);
    let required: Vec<_> = settings.iter().filter(|setting| is_required(setting)).map(|it| it.name.as_str()).collect();
    let required = match required.as_slice() {
        [] => String::new(),
        names => format!(",\"required\":[\"{}\"]", names.join("\",\"")),
    };
    let tail = format!("}}{required},\"additionalProperties\":false{extensions}");
    let reads = settings.iter().map(read);
    let idents: Vec<_> = settings.iter().map(|setting| setting.ident).collect();
    let collection = collection::implement(input, &settings)?;
    Ok(quote! {
        impl ::sandgate_sdk::config::Field for #ident {
            fn keywords(out: &mut ::std::string::String, _items: &str) {
                // A setting that the plugin does not read is still one that operators may write.
                let _ = |settings: &Self| { #(let _ = &settings.#idents;)* };
                out.push_str("\"type\":\"object\",\"properties\":{");
                #(#members)*
                out.push_str(#tail);
            }

            fn read(
                value: ::sandgate_sdk::json::Value,
                _rule: &::sandgate_sdk::config::Rule,
                reader: &mut ::sandgate_sdk::config::Reader,
            ) -> ::std::option::Option<Self> {
                let mut object = reader.object(value)?;
                #(#reads)*
                object.finish(&[#(#ignored),*], reader);
                ::std::option::Option::Some(Self { #(#idents: #idents?),* })
            }

            fn absent(reader: &mut ::sandgate_sdk::config::Reader) -> ::std::option::Option<Self> {
                let empty = ::sandgate_sdk::json::Value::Object(::std::default::Default::default());
                Self::read(empty, &::sandgate_sdk::config::Rule::NONE, reader)
            }
        }

        impl ::sandgate_sdk::config::Config for #ident {}

        #collection
    })
}

fn choice(input: &DeriveInput, data: &DataEnum) -> Result<TokenStream> {
    let ident = &input.ident;
    let variants: Vec<_> = data.variants.iter().map(|variant| &variant.ident).collect();
    let mut names = Vec::new();
    for variant in &data.variants {
        let attributes = attributes(&variant.attrs)?;
        names.push(attributes.rename.unwrap_or_else(|| variant.ident.to_string().to_lowercase()));
    }
    let list: Vec<_> = names.iter().map(|name| literal::string(name)).collect();
    let keywords = format!("\"type\":\"string\",\"enum\":[{}]", list.join(","));
    Ok(quote! {
        impl ::sandgate_sdk::config::Field for #ident {
            fn keywords(out: &mut ::std::string::String, _items: &str) {
                out.push_str(#keywords);
            }

            fn read(
                value: ::sandgate_sdk::json::Value,
                _rule: &::sandgate_sdk::config::Rule,
                reader: &mut ::sandgate_sdk::config::Reader,
            ) -> ::std::option::Option<Self> {
                match value.as_str() {
                    #(::std::option::Option::Some(#names) => ::std::option::Option::Some(Self::#variants),)*
                    _ => reader.not_one_of(&[#(#names),*]),
                }
            }
        }
    })
}

fn setting(field: &syn::Field) -> Result<Setting<'_>> {
    let Some(ident) = &field.ident else {
        return Err(syn::Error::new_spanned(field, "settings have names"));
    };
    let mut attributes = attributes(&field.attrs)?;
    if let Some(text) = description(&field.attrs) {
        attributes.keywords.insert_str(0, &format!(",\"description\":{}", literal::string(&text)));
    }
    if attributes.required == Some(false) && needs_value(&field.ty, &attributes) {
        return Err(syn::Error::new_spanned(&field.ty, "`required = false` needs an Option or a default"));
    }
    let name = attributes.rename.clone().unwrap_or_else(|| ident.to_string().trim_start_matches("r#").into());
    Ok(Setting { ident, ty: &field.ty, name, attributes })
}

fn member(setting: &Setting<'_>) -> TokenStream {
    let Setting { ty, name, attributes, .. } = setting;
    let keywords = &attributes.keywords;
    let items = attributes.items.as_ref().map_or("", |items| items.keywords.as_str());
    quote!(::sandgate_sdk::config::member::<#ty>(out, #name, #keywords, #items);)
}

fn read(setting: &Setting<'_>) -> TokenStream {
    let Setting { ident, ty, name, attributes } = setting;
    let rule = rule(attributes);
    quote!(let #ident = object.field::<#ty>(#name, { static RULE: ::sandgate_sdk::config::Rule = #rule; &RULE }, reader);)
}

fn rule(attributes: &Attributes) -> TokenStream {
    let mut fields = Vec::new();
    if let Some(default) = &attributes.default {
        fields.push(quote!(default: ::std::option::Option::Some(#default)));
    }
    if let Some(min) = attributes.min {
        fields.push(quote!(min: #min));
    }
    if let Some(max) = attributes.max {
        fields.push(quote!(max: #max));
    }
    if attributes.above {
        fields.push(quote!(above: true));
    }
    if attributes.len_min > 0 {
        let least = attributes.len_min;
        fields.push(quote!(len_min: #least));
    }
    if !attributes.one_of.is_empty() {
        let names = &attributes.one_of;
        fields.push(quote!(one_of: &[#(#names),*]));
    }
    if let Some(items) = &attributes.items {
        let items = rule(items);
        fields.push(quote!(items: ::std::option::Option::Some(&#items)));
    }
    quote!(::sandgate_sdk::config::Rule { #(#fields,)* ..::sandgate_sdk::config::Rule::NONE })
}

/// A field is nullable unless it says `required` or has neither `Option` nor default.
fn is_required(setting: &Setting<'_>) -> bool {
    setting.attributes.required == Some(true) || needs_value(setting.ty, &setting.attributes)
}

fn needs_value(ty: &Type, attributes: &Attributes) -> bool {
    !(is_option(ty) || attributes.default.is_some() || attributes.generated)
}

fn is_option(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Option"))
}

fn record_attributes(all: &[Attribute]) -> Result<(String, Vec<String>)> {
    let (mut extensions, mut shorthands) = (String::new(), Vec::new());
    for attribute in all.iter().filter(|attribute| attribute.path().is_ident("config")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("checks") {
                let checks: LitStr = meta.value()?.parse()?;
                extensions.push_str(&format!(",\"x-kong-checks\":{}", checks.value().trim()));
                return Ok(());
            }
            if meta.path.is_ident("protocols") {
                let which: LitStr = meta.value()?.parse()?;
                extensions.push_str(&format!(",\"x-kong-protocols\":{}", literal::string(&which.value())));
                return Ok(());
            }
            if !meta.path.is_ident("shorthands") {
                return Err(meta.error("expected checks, protocols or shorthands"));
            }
            meta.parse_nested_meta(|pair| {
                let path: LitStr = pair.value()?.parse()?;
                shorthands.push((pair.path.require_ident()?.to_string(), path.value()));
                Ok(())
            })
        })?;
    }
    if !shorthands.is_empty() {
        let pairs: Vec<_> = shorthands.iter().map(|(old, new)| format!("\"{old}\":\"{new}\"")).collect();
        extensions.push_str(&format!(",\"x-kong-shorthands\":{{{}}}", pairs.join(",")));
    }
    Ok((extensions, shorthands.into_iter().map(|(old, _)| old).collect()))
}

fn attributes(all: &[Attribute]) -> Result<Attributes> {
    let mut found = Attributes::default();
    for attribute in all.iter().filter(|attribute| attribute.path().is_ident("config")) {
        attribute.parse_nested_meta(|meta| found.take(&meta))?;
    }
    Ok(found)
}

impl Attributes {
    fn take(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match meta.path.require_ident()?.to_string().as_str() {
            "required" => self.take_required(meta)?,
            "unique" => self.unique = true,
            "unique_in_parent" => self.unique_in_parent = true,
            "generated" => self.generated = true,
            "referenceable" => self.keyword("x-kong-referenceable", "true"),
            "encrypted" => self.keyword("x-kong-encrypted", "true"),
            "default" => {
                let json = literal::json(&meta.value()?.parse()?)?;
                self.keyword("default", &json);
                self.default = Some(json);
            }
            "rename" => self.rename = Some(meta.value()?.parse::<LitStr>()?.value()),
            "items" => {
                let mut items = Attributes::default();
                meta.parse_nested_meta(|nested| items.take(&nested))?;
                self.items = Some(Box::new(items));
            }
            "keys" => {
                let mut keys = Attributes::default();
                meta.parse_nested_meta(|nested| keys.take(&nested))?;
                self.keyword("propertyNames", &format!("{{{}}}", keys.keywords.trim_start_matches(',')));
            }
            "deprecated" => self.take_deprecated(meta)?,
            _ => return self.take_bound(meta),
        }
        Ok(())
    }

    fn take_bound(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        match meta.path.require_ident()?.to_string().as_str() {
            "range" => self.take_range(&meta.value()?.parse()?)?,
            "greater_than" => {
                let least: Expr = meta.value()?.parse()?;
                self.keyword("exclusiveMinimum", &literal::json(&least)?);
                self.min = Some(literal::number(&least)?);
                self.above = true;
            }
            "one_of" => {
                let names: ExprArray = meta.value()?.parse()?;
                self.keyword("enum", &literal::json(&Expr::Array(names.clone()))?);
                for name in &names.elems {
                    self.one_of.push(literal::json(name)?.trim_matches('"').into());
                }
            }
            "len_min" => {
                let least: syn::LitInt = meta.value()?.parse()?;
                self.keyword("minLength", least.base10_digits());
                self.len_min = least.base10_parse()?;
            }
            "len_max" => self.keyword("maxLength", &literal::json(&meta.value()?.parse()?)?),
            "pattern" => self.keyword("pattern", &literal::json(&meta.value()?.parse()?)?),
            "lua_pattern" => self.keyword("x-kong-match", &literal::json(&meta.value()?.parse()?)?),
            "match_none" => self.keyword("x-kong-match-none", &literal::patterns(&meta.value()?.parse()?)?),
            "pattern_error" => self.keyword("x-kong-error", &literal::json(&meta.value()?.parse()?)?),
            "kind" => self.keyword("x-kong-kind", &literal::json(&meta.value()?.parse()?)?),
            _ => return Err(meta.error("unknown attribute")),
        }
        Ok(())
    }

    /// Said outright, `required = false` is shown too.
    fn take_required(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let required = !meta.input.peek(Token![=]) || meta.value()?.parse::<LitBool>()?.value();
        self.required = Some(required);
        if !required {
            self.keyword("x-kong-shown", "{\"required\":false}");
        }
        Ok(())
    }

    /// `deprecated = "…"` or `deprecated(message = "…", old_default = 1)`.
    fn take_deprecated(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.input.peek(Token![=]) {
            self.keyword("x-kong-deprecation", &literal::json(&meta.value()?.parse()?)?);
            return Ok(());
        }
        let mut members = Vec::new();
        meta.parse_nested_meta(|member| {
            let name = member.path.require_ident()?.to_string();
            if !matches!(name.as_str(), "message" | "old_default") {
                return Err(member.error("expected message or old_default"));
            }
            members.push(format!("\"{name}\":{}", literal::json(&member.value()?.parse()?)?));
            Ok(())
        })?;
        self.keyword("x-kong-deprecation", &format!("{{{}}}", members.join(",")));
        Ok(())
    }

    fn take_range(&mut self, range: &ExprRange) -> Result<()> {
        if let Some(least) = &range.start {
            self.keyword("minimum", &literal::json(least)?);
            self.min = Some(literal::number(least)?);
        }
        if let Some(greatest) = &range.end {
            self.keyword("maximum", &literal::json(greatest)?);
            self.max = Some(literal::number(greatest)?);
        }
        Ok(())
    }

    fn keyword(&mut self, name: &str, json: &str) {
        self.keywords.push_str(&format!(",\"{name}\":{json}"));
    }
}

/// The doc comment as one line.
fn description(all: &[Attribute]) -> Option<String> {
    let lines: Vec<String> = all.iter().filter_map(doc_line).collect();
    (!lines.is_empty()).then(|| lines.join(" "))
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value().trim().into()),
            _ => None,
        },
        _ => None,
    }
}
