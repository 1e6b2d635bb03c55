//! Operations about workers, their join tokens, and users.

use proto::v1;
use serde_json::json;

use super::operation::{Operation, one, unknown};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = of_workers();
    all.extend(orders());
    all.extend(of_users());
    all
}

fn of_workers() -> Vec<Operation> {
    let new_worker = json!({
        "type": "object",
        "required": ["worker_id"],
        "additionalProperties": unknown(),
        "properties": {
            "worker_id": {"type": "string", "description": "Name of the worker."},
            "address": {
                "type": ["string", "null"],
                "description": "Address at which masters reach it, `HOST:PORT`; required for a new worker.",
            },
            "labels": {
                "type": ["object", "null"],
                "additionalProperties": {"type": "string"},
                "description": "Labels by key; absent, those of a known worker stay.",
            },
        },
    });
    vec![
        Operation::get("/api/workers", "list_workers", "List workers by name")
            .details("All of them, unless a limit is given.")
            .shows::<v1::WorkerPage>(),
        Operation::post("/api/workers", "register_worker", "Register a worker")
            .details(
                "The worker need not run yet. Of a worker that is registered already it changes what the body \
                 names.",
            )
            .takes(new_worker)
            .answers(200, "The worker was known.", one::<v1::Worker>())
            .answers(201, "The worker is new.", one::<v1::Worker>())
            .with_header("Location", "Path of the worker."),
        Operation::get("/api/workers/{id}", "get_worker", "Get a worker").shows::<v1::Worker>(),
        Operation::delete("/api/workers/{id}", "unregister_worker", "Unregister a worker")
            .details("Its tasks are queued again when it has ended them.")
            .answers_nothing(204, "It is gone."),
        Operation::get(
            "/api/workers/{id}/history",
            "get_worker_history",
            "List what happened to a worker",
        )
        .shows::<v1::WorkerHistory>(),
        Operation::get(
            "/api/workers/{id}/metrics",
            "get_worker_metrics",
            "Get what a worker uses of its machine",
        )
        .shows::<v1::WorkerMetrics>()
        .answers_nothing(204, "It has reported nothing yet."),
        Operation::get("/api/workers/{id}/tasks", "list_worker_tasks", "List the tasks on a worker")
            .shows::<v1::TaskPage>(),
    ]
}

fn orders() -> Vec<Operation> {
    let labels = json!({
        "type": "object",
        "additionalProperties": unknown(),
        "properties": {
            "set": {"type": ["object", "null"], "additionalProperties": {"type": "string"},
                    "description": "Labels to set, values by key."},
            "remove": {"type": ["array", "null"], "items": {"type": "string"},
                       "description": "Keys of labels to remove."},
        },
    });
    let contacted = |operation: Operation| {
        operation.answers(200, "What came of it.", one::<v1::ReconnectResponse>()).answers(
            202,
            "It goes on; the registry shows its effect.",
            one::<v1::ReconnectResponse>(),
        )
    };
    vec![
        contacted(Operation::post(
            "/api/workers/reconnect",
            "reconnect_workers",
            "Contact all inactive workers now",
        )),
        contacted(Operation::post(
            "/api/workers/{id}/reconnect",
            "reconnect_worker",
            "Contact a worker now",
        )),
        Operation::post("/api/workers/{id}/cordon", "cordon_worker", "Give a worker no more tasks")
            .shows::<v1::Worker>(),
        Operation::post(
            "/api/workers/{id}/uncordon",
            "uncordon_worker",
            "Give a worker tasks again",
        )
        .details("This ends a drain, too.")
        .shows::<v1::Worker>(),
        Operation::post("/api/workers/{id}/drain", "drain_worker", "Empty a worker")
            .details("It gets no more tasks; those that run may end, up to a timeout.")
            .shows::<v1::Worker>(),
        Operation::post(
            "/api/workers/{id}/labels",
            "label_worker",
            "Change the labels of a worker",
        )
        .takes(labels)
        .shows::<v1::Worker>(),
        Operation::post(
            "/api/workers/{id}/forget",
            "forget_worker",
            "Forget which directory a worker's name belongs to",
        )
        .answers_nothing(204, "Another machine may take the name."),
        Operation::get("/api/tokens", "list_join_tokens", "List join tokens, without secrets")
            .shows::<v1::TokenList>(),
        Operation::post("/api/tokens", "create_join_token", "Create a token that admits workers")
            .takes(one::<v1::CreateTokenRequest>())
            .answers(
                201,
                "The token. Its secret is in this answer only.",
                one::<v1::CreatedToken>(),
            ),
        Operation::delete("/api/tokens/{id}", "revoke_join_token", "Revoke a join token")
            .answers_nothing(204, "It admits nobody any more."),
    ]
}

fn of_users() -> Vec<Operation> {
    vec![
        Operation::get("/api/users/me", "who_am_i", "Tell as whom the cluster sees the caller")
            .shows::<v1::CallerIdentity>(),
        Operation::get(
            "/api/users/tokens",
            "list_user_tokens",
            "List users' tokens, without secrets",
        )
        .shows::<v1::UserTokenList>(),
        Operation::post("/api/users/tokens", "create_user_token", "Create a token for a user")
            .takes(one::<v1::CreateUserTokenRequest>())
            .answers(201, "The token. It is in this answer only.", one::<v1::CreatedUserToken>()),
        Operation::delete("/api/users/tokens/{id}", "revoke_user_token", "Revoke a user's token")
            .answers_nothing(204, "It is refused from now on."),
        Operation::get("/api/audit", "list_orders", "Read the trail of orders")
            .shows::<v1::AuditPage>(),
    ]
}
