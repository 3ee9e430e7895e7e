//! What wit-bindgen makes of `wit/`: the imports, and the export glue of every phase. The attribute `plugin` exports from
//! it what a plugin has written.

wit_bindgen::generate!({
    path: "wit",
    world: "full-plugin",
    pub_export_macro: true,
    additional_derives: [PartialEq],
});
