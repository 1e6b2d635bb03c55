//! The REST API: extract, call, convert.

mod answer;
mod audit;
mod certificates;
mod cluster;
mod credentials;
mod event_stream;
#[cfg(test)]
mod fuzz_tests;
mod input;
mod inputs;
mod jobs;
mod log_text;
mod members;
mod named_queues;
mod observe;
mod openapi;
mod orphans;
mod probes;
mod queue;
mod routes;
mod schedules;
mod server;
mod settings;
mod socket;
mod static_pages;
mod strangers;
mod tasks;
mod tokens;
mod upgrade;
mod users;
mod workers;

use ::credentials::Credentials;
use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use proto::memory::MemoryBudget;
use proto::problem::{ErrorKind, Problem};

pub(crate) use server::HttpServer;
pub(crate) use socket::Sockets;
pub(crate) use strangers::Reach;

use self::answer::Refusal;
use self::input::{NoParams, Params};
use self::routes::{Route, Routes};
use crate::access::{Action, Gate};
use crate::metrics::{ClusterSample, Metrics};
use crate::operations::Operations;

/// Context of the handlers.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) operations: Operations,
    pub(crate) metrics: Metrics,
    /// Certificates of this master, if it has any.
    pub(crate) credentials: Option<Credentials>,
    /// Clients that watch events.
    pub(crate) sockets: Sockets,
    /// Bytes that the bodies on their way in may take together.
    pub(crate) bodies: MemoryBudget,
    /// Largest request body.
    pub(crate) request_bytes_max: usize,
}

/// Every route, behind what looks at requests before it.
pub(crate) fn router(api: Api, gate: Gate, reach: Reach) -> Router {
    routes()
        .into_router()
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(gate, credentials::identify))
        .layer(middleware::from_fn_with_state(reach, strangers::refuse))
        .layer(middleware::from_fn_with_state(api.clone(), observe::observe))
        .with_state(api)
}

/// Lists every route.
pub(crate) fn list() -> Vec<Route> {
    routes().into_list()
}

/// Every path that is served, with the action that its callers must be allowed.
fn routes() -> Routes {
    let routes = Routes::default();
    let routes = task_routes(routes);
    let routes = schedule_routes(routes);
    let routes = worker_routes(routes);
    let routes = cluster_routes(routes);
    let routes = user_routes(routes);
    let routes = static_pages::with_pages(routes);
    routes
        .probe("/livez", probes::live)
        .probe("/readyz", probes::ready)
        .probe("/leader", probes::leader)
        .probe("/follower", probes::follower)
        .get("/metrics", Action::ReadMetrics, metrics)
        .get("/ws", Action::Read, socket::open)
        .get("/api/events", Action::Read, event_stream::open)
        .get("/api/openapi.json", Action::LoadPages, openapi::show)
}

fn task_routes(routes: Routes) -> Routes {
    routes
        .get("/api/tasks", Action::ReadTasks, tasks::list)
        .post("/api/tasks", Action::SubmitTasks, tasks::submit)
        .post("/api/tasks/cancel", Action::CancelTasks, jobs::cancel_tasks)
        .post("/api/tasks/retry", Action::SubmitTasks, jobs::retry_tasks)
        .get("/api/jobs", Action::ReadTasks, jobs::list)
        .get("/api/jobs/{id}", Action::ReadTasks, jobs::show)
        .get("/api/tasks/{id}", Action::ReadTasks, tasks::show)
        .delete("/api/tasks/{id}", Action::CancelTasks, tasks::cancel)
        .post("/api/tasks/{id}/retry", Action::SubmitTasks, tasks::retry)
        .get("/api/tasks/{id}/wait", Action::ReadTasks, tasks::wait)
        .get("/api/tasks/{id}/logs", Action::ReadTasks, tasks::logs)
        .get("/api/tasks/{id}/explain", Action::ReadTasks, queue::explain)
        .get("/api/queue", Action::Read, queue::show)
        .get("/api/queues", Action::Read, named_queues::list)
        .get("/api/queues/{id}", Action::Read, named_queues::show)
        .put("/api/queues/{id}", Action::ChangeSettings, named_queues::put)
        .delete("/api/queues/{id}", Action::ChangeSettings, named_queues::delete)
        .post("/api/queues/{id}/pause", Action::ChangeSettings, named_queues::pause)
        .post("/api/queues/{id}/resume", Action::ChangeSettings, named_queues::resume)
}

fn schedule_routes(routes: Routes) -> Routes {
    routes
        .get("/api/schedules", Action::ReadTasks, schedules::list)
        .post("/api/schedules", Action::SubmitTasks, schedules::create)
        .get("/api/schedules/{id}", Action::ReadTasks, schedules::show)
        .put("/api/schedules/{id}", Action::SubmitTasks, schedules::replace)
        .delete("/api/schedules/{id}", Action::SubmitTasks, schedules::delete)
        .get("/api/schedules/{id}/next", Action::ReadTasks, schedules::next)
        .post("/api/schedules/{id}/run", Action::SubmitTasks, schedules::run)
        .post("/api/schedules/{id}/pause", Action::SubmitTasks, schedules::pause)
        .post("/api/schedules/{id}/resume", Action::SubmitTasks, schedules::resume)
}

fn worker_routes(routes: Routes) -> Routes {
    routes
        .get("/api/workers", Action::Read, workers::list)
        .post("/api/workers", Action::ManageWorkers, workers::register)
        .get("/api/workers/{id}", Action::Read, workers::show)
        .delete("/api/workers/{id}", Action::ManageWorkers, workers::unregister)
        .post("/api/workers/reconnect", Action::ManageWorkers, workers::reconnect_all)
        .post("/api/workers/{id}/reconnect", Action::ManageWorkers, workers::reconnect)
        .post("/api/workers/{id}/cordon", Action::ManageWorkers, workers::cordon)
        .post("/api/workers/{id}/uncordon", Action::ManageWorkers, workers::uncordon)
        .post("/api/workers/{id}/drain", Action::ManageWorkers, workers::drain)
        .post("/api/workers/{id}/labels", Action::ManageWorkers, workers::label)
        .post("/api/workers/{id}/forget", Action::ManageWorkers, certificates::forget_worker)
        .get("/api/workers/{id}/history", Action::Read, workers::history)
        .get("/api/workers/{id}/metrics", Action::Read, workers::metrics)
        .get("/api/workers/{id}/tasks", Action::ReadTasks, workers::tasks)
        .get("/api/tokens", Action::ManageJoinTokens, tokens::list)
        .post("/api/tokens", Action::ManageJoinTokens, tokens::create)
        .delete("/api/tokens/{id}", Action::ManageJoinTokens, tokens::revoke)
}

fn cluster_routes(routes: Routes) -> Routes {
    let acknowledge = "/api/cluster/mass-loss/acknowledge";
    routes
        .post(acknowledge, Action::Lead, cluster::acknowledge_mass_loss)
        .post("/api/cluster/snapshot", Action::SaveBackup, cluster::save_snapshot)
        .get("/api/cluster", Action::Read, cluster::status)
        .get("/api/cluster/config", Action::Read, settings::show)
        .put("/api/cluster/config", Action::ChangeSettings, settings::change)
        .get("/api/cluster/certificates", Action::Read, certificates::status)
        .get("/api/cluster/members", Action::Read, members::list)
        .post("/api/cluster/members", Action::ManageMembers, members::add)
        .delete("/api/cluster/members/{id}", Action::ManageMembers, members::remove)
        .post("/api/cluster/members/{id}/promote", Action::ManageMembers, members::promote)
        .post("/api/cluster/members/{id}/replace", Action::ManageMembers, members::replace)
        .get("/api/cluster/upgrade", Action::Read, upgrade::show)
        .put("/api/cluster/upgrade", Action::Upgrade, upgrade::change)
        .get("/api/cluster/orphans", Action::Read, orphans::list)
        .delete("/api/cluster/orphans", Action::Lead, orphans::drop_seen)
        .delete("/api/cluster/orphans/{id}", Action::Lead, orphans::drop_one)
        .get("/api/cluster/leader", Action::Read, cluster::leader)
        .get("/api/cluster/leaders", Action::Read, cluster::leaders)
}

fn user_routes(routes: Routes) -> Routes {
    routes
        .get("/api/users/me", Action::WhoAmI, users::me)
        .get("/api/users/tokens", Action::ManageUsers, users::list)
        .post("/api/users/tokens", Action::ManageUsers, users::create)
        .delete("/api/users/tokens/{id}", Action::ManageUsers, users::revoke)
        .get("/api/audit", Action::ReadAudit, audit::list)
}

async fn metrics(
    State(api): State<Api>,
    Params(NoParams {}): Params<NoParams>,
) -> Result<Response, Refusal> {
    let node = api.operations.node();
    let sample = ClusterSample::of(node, &api.bodies);
    let sample = sample.with_backup(node, api.metrics.backup_saved_at());
    let credentials = api.credentials.as_ref();
    let sample = sample.with_certificate(node, credentials.and_then(Credentials::not_after));
    let of_workers = api.operations.sessions().first_certificate_end();
    let sample = sample.with_worker_certificate(node, of_workers);
    let sample = sample.with_issuer_key(api.operations.holds_issuer_key());
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
