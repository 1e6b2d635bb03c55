//! gRPC: extract, call, convert. The only part of the master that knows tonic.

mod actions;
mod audit;
mod certificates;
mod cluster;
mod guard;
mod health;
mod incoming;
mod intake;
mod jobs;
mod queue;
mod registry;
mod schedules;
mod server;
mod tasks;
mod trailers;
mod users;
mod watch;
mod workers;

use http::HeaderMap;
use proto::problem::{ErrorKind, LEADER_ADDRESS_KEY, Problem};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};

pub(crate) use actions::list;
pub(crate) use server::GrpcServer;

use self::trailers::Trailers;
use crate::access::Caller;
use crate::freshness::put_headers;
use crate::operations::{Answer, Operations};

/// Trailers of an answer: those of its mark, and the leader's address.
const TRAILERS_MAX: usize = 7;

/// Returns who calls, as the guard has found out.
fn caller<T>(request: &Request<T>) -> Result<Caller, Problem> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Problem::new(ErrorKind::Internal, "nobody has asked who calls"))
}

/// Replies with the message of an operation's answer; its mark goes into the trailers.
fn reply<T, M>(
    operations: &Operations,
    answered: Result<Answer<T>, Problem>,
    message: impl FnOnce(T) -> M,
) -> Result<Response<M>, Status> {
    let Answer { body, mark } = answered.map_err(|problem| refusal(operations, problem))?;
    let mut response = Response::new(message(body));
    name_leader(operations, response.metadata_mut());
    let mut trailers = HeaderMap::with_capacity(TRAILERS_MAX);
    put_headers(&mut trailers, operations, mark);
    response.extensions_mut().insert(Trailers(trailers));
    Ok(response)
}

/// Replies with a message that no state of the log stands behind: with a stream, or to a worker.
fn reply_unmarked<T>(
    operations: &Operations,
    answered: Result<T, Problem>,
) -> Result<Response<T>, Status> {
    let mut response = Response::new(answered.map_err(|problem| refusal(operations, problem))?);
    name_leader(operations, response.metadata_mut());
    Ok(response)
}

fn refusal(operations: &Operations, problem: Problem) -> Status {
    let mut status = Status::from(problem);
    name_leader(operations, status.metadata_mut());
    status
}

/// Tells a client which master to call next time, if that is another one.
fn name_leader(operations: &Operations, metadata: &mut MetadataMap) {
    let Some(address) = operations.other_leader_address() else { return };
    if let Ok(address) = MetadataValue::try_from(address) {
        metadata.insert(LEADER_ADDRESS_KEY, address);
    }
}
