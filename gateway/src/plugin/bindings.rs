//! The plugin contract of `wit/`, as Rust: the only `bindgen!` of the gateway. Exports are looked up one interface at a
//! time (`exports::…::GuestIndices`), never as a whole world, since a plugin exports only the phases it takes part in.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "full-plugin",
    imports: {
        "sandgate:plugin/request.read-body": async,
        "sandgate:plugin/outbound-http.send": async,
    },
    exports: { default: async },
    additional_derives: [Clone],
});
