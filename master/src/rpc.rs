//! gRPC: extract, call, convert. The only part of the master that knows tonic.

mod cluster;
mod forwarded;
mod health;
mod incoming;
mod intake;
mod registry;
mod server;
mod tasks;
mod trailers;
mod workers;

use proto::problem::{LEADER_ADDRESS_KEY, Problem};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Response, Status};

pub(crate) use server::GrpcServer;

use crate::operations::Operations;

/// An answer that tells a client which master to go to next time, if it is another one.
fn answer<T>(operations: &Operations, message: T) -> Response<T> {
    let mut response = Response::new(message);
    name_leader(operations, response.metadata_mut());
    response
}

/// A refusal that tells the same.
fn refusal(operations: &Operations, problem: impl Into<Problem>) -> Status {
    let mut status = Status::from(problem.into());
    name_leader(operations, status.metadata_mut());
    status
}

fn name_leader(operations: &Operations, metadata: &mut MetadataMap) {
    let Some(address) = operations.other_leader_address() else { return };
    if let Ok(address) = MetadataValue::try_from(address) {
        metadata.insert(LEADER_ADDRESS_KEY, address);
    }
}
