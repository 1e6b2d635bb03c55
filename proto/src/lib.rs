//! Every byte that crosses a process boundary: messages, their conversions to and from the domain,
//! and the client that follows the leader.

pub mod address;
pub mod backup;
pub mod call_failure;
pub mod certificate_client;
pub mod channel;
pub mod client;
pub mod codec;
pub mod consistency;
pub mod convert;
pub mod deadline;
pub mod discreet;
#[cfg(test)]
mod fuzz_tests;
pub mod json;
pub mod limits;
pub mod memory;
pub mod names;
pub mod output;
pub mod problem;
pub mod relays;
pub mod schema;
pub mod worker_client;

/// Messages and services generated from `cloudai/v1/*.proto`.
pub mod v1 {
    #![expect(
        unused_qualifications,
        clippy::all,
        clippy::pedantic,
        clippy::restriction,
        reason = "generated; the .proto files hold the documentation"
    )]
    tonic::include_proto!("cloudai.v1");

    /// The services' descriptions, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
