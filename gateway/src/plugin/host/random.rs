//! `random`.

use aws_lc_rs::rand;

use crate::plugin::{bindings::sandgate::plugin::random::Host, instance::HostState};

impl Host for HostState {
    fn bytes(&mut self, length: u32) -> Vec<u8> {
        let mut bytes = vec![0; length.min(64 << 10) as usize];
        rand::fill(&mut bytes).expect("the generator of the process has its seed");
        bytes
    }

    fn number(&mut self) -> u64 {
        let mut bytes = [0; 8];
        rand::fill(&mut bytes).expect("the generator of the process has its seed");
        u64::from_ne_bytes(bytes)
    }
}
