//! The plugin contract of `wit/`, as Rust: the only file of the gateway with a `bindgen!`. Exports are looked up one
//! interface at a time (`exports::…::GuestIndices`), never as a whole world, since a plugin exports only the phases it
//! takes part in.

wasmtime::component::bindgen!({
    path: "../wit",
    world: "full-plugin",
    imports: {
        "sandgate:plugin/request.read-body": async,
        "sandgate:plugin/outbound-http.send": async,
        "sandgate:plugin/outbound-http.send-kept": async,
    },
    exports: { default: async },
    additional_derives: [Clone],
});

/// The phases of a request once more, to be called without a stack of their own: for components that import nothing that
/// waits (docs/decisions/0013).
pub(super) mod direct {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package sandgate:direct;
            world phases {
                export sandgate:plugin/request-headers@0.1.0;
                export sandgate:plugin/request-head@0.1.0;
                export sandgate:plugin/response-headers@0.1.0;
                export sandgate:plugin/response-head@0.1.0;
                export sandgate:plugin/log@0.1.0;
            }
        ",
        world: "sandgate:direct/phases",
        with: { "sandgate:plugin/types": super::sandgate::plugin::types },
    });
}
