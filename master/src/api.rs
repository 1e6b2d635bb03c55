//! The REST API: extract, call, convert.

mod answer;
mod cluster;
#[cfg(test)]
mod fuzz_tests;
mod input;
mod log_text;
mod members;
mod observe;
mod probes;
mod server;
mod settings;
mod socket;
mod strangers;
mod tasks;
mod tokens;
mod upgrade;
mod workers;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use proto::memory::MemoryBudget;
use proto::problem::{ErrorKind, Problem};

pub(crate) use server::HttpServer;
pub(crate) use socket::Sockets;
pub(crate) use strangers::Reach;

use self::answer::Refusal;
use self::input::{NoParams, Params};
use crate::metrics::{ClusterSample, Metrics};
use crate::operations::Operations;

/// Context of the handlers.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) operations: Operations,
    pub(crate) metrics: Metrics,
    /// Clients that watch events.
    pub(crate) sockets: Sockets,
    /// Bytes that the bodies on their way in may take together.
    pub(crate) bodies: MemoryBudget,
    /// Largest request body.
    pub(crate) request_bytes_max: usize,
}

/// Every path that is served.
pub(crate) fn router(api: Api, reach: Reach) -> Router {
    Router::new()
        .route("/api/tasks", get(tasks::list).post(tasks::submit))
        .route("/api/tasks/{id}", get(tasks::show).delete(tasks::cancel))
        .route("/api/tasks/{id}/wait", get(tasks::wait))
        .route("/api/tasks/{id}/logs", get(tasks::logs))
        .route("/api/workers", get(workers::list).post(workers::register))
        .route("/api/workers/{id}", get(workers::show).delete(workers::unregister))
        .route("/api/workers/reconnect", post(workers::reconnect_all))
        .route("/api/workers/{id}/reconnect", post(workers::reconnect))
        .route("/api/workers/{id}/cordon", post(workers::cordon))
        .route("/api/workers/{id}/uncordon", post(workers::uncordon))
        .route("/api/workers/{id}/drain", post(workers::drain))
        .route("/api/workers/{id}/labels", post(workers::label))
        .route("/api/workers/{id}/history", get(workers::history))
        .route("/api/workers/{id}/metrics", get(workers::metrics))
        .route("/api/workers/{id}/tasks", get(workers::tasks))
        .route("/api/tokens", get(tokens::list).post(tokens::create))
        .route("/api/tokens/{id}", delete(tokens::revoke))
        .route("/api/cluster/mass-loss/acknowledge", post(cluster::acknowledge_mass_loss))
        .route("/api/cluster/snapshot", post(cluster::save_snapshot))
        .route("/api/cluster", get(cluster::status))
        .route("/api/cluster/config", get(settings::show).put(settings::change))
        .route("/api/cluster/members", get(members::list).post(members::add))
        .route("/api/cluster/members/{id}", delete(members::remove))
        .route("/api/cluster/members/{id}/promote", post(members::promote))
        .route("/api/cluster/members/{id}/replace", post(members::replace))
        .route("/api/cluster/upgrade", get(upgrade::show).put(upgrade::change))
        .route("/api/cluster/leader", get(cluster::leader))
        .route("/api/cluster/leaders", get(cluster::leaders))
        .route("/livez", get(probes::live).options(probes::options))
        .route("/readyz", get(probes::ready).options(probes::options))
        .route("/leader", get(probes::leader).options(probes::options))
        .route("/follower", get(probes::follower).options(probes::options))
        .route("/metrics", get(metrics))
        .route("/ws", get(socket::open))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(reach, strangers::refuse))
        .layer(middleware::from_fn_with_state(api.clone(), observe::observe))
        .with_state(api)
}

async fn metrics(
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let node = api.operations.node();
    let sample = ClusterSample::of(node, &api.bodies);
    let sample = sample.with_backup(node, api.metrics.backup_saved_at());
    let text = api.metrics.encode(sample).map_err(|error| {
        tracing::error!(%error, "cannot write metrics");
        Problem::new(ErrorKind::Internal, "the metrics cannot be written")
    })?;
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, media_type)], text).into_response())
}

async fn no_such_path(uri: Uri) -> Refusal {
    Refusal(Problem::new(ErrorKind::NotFound, format!("there is nothing at {}", uri.path())))
}

async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let detail = format!("{} does not take {method}", uri.path());
    Refusal(Problem::new(ErrorKind::MethodNotAllowed, detail))
}
