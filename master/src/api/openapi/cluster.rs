//! Operations about the cluster itself.

use proto::v1;
use serde_json::{Value, json};

use super::operation::{Operation, one, unknown};

pub(super) fn operations() -> Vec<Operation> {
    let mut all = of_leaders();
    all.extend(of_members());
    all.extend(of_settings());
    all
}

fn of_leaders() -> Vec<Operation> {
    vec![
        Operation::get("/api/cluster", "get_cluster", "Show members, leader and health")
            .details("Without a leader, too: what this master knows, unless another freshness is asked for.")
            .shows::<v1::ClusterStatus>(),
        Operation::get("/api/cluster/leader", "get_leader", "Tell who leads")
            .shows::<v1::LeaderStatus>(),
        Operation::get("/api/cluster/leaders", "list_leaders", "List leaders, and why they were elected")
            .answers(200, "Terms, the newest first.", json!({"type": "array", "items": term()})),
        Operation::post(
            "/api/cluster/mass-loss/acknowledge",
            "acknowledge_mass_loss",
            "Acknowledge the loss of many workers",
        )
        .details("Their tasks are then queued again at once.")
        .shows::<v1::MassLoss>()
        .fails(&[404]),
        Operation::post("/api/cluster/snapshot", "save_snapshot", "Save a backup")
            .details("Send the bytes to a file; `clusterctl snapshot inspect` checks it.")
            .sends("application/octet-stream", "The bytes of the backup's file."),
        Operation::get("/api/cluster/certificates", "get_certificates", "Show what the cluster trusts")
            .shows::<v1::CertificateStatus>(),
        Operation::get("/api/cluster/orphans", "list_orphans", "List orphaned results")
            .shows::<v1::OrphanPage>(),
        Operation::delete("/api/cluster/orphans", "drop_orphans", "Drop the orphaned results that were seen")
            .shows::<v1::DropOrphansResponse>(),
        Operation::delete("/api/cluster/orphans/{id}", "drop_orphan", "Drop an orphaned result")
            .answers_nothing(204, "It is gone."),
    ]
}

fn term() -> Value {
    let number = |description: &str| json!({"type": "integer", "format": "uint64", "minimum": 0, "description": description});
    json!({
        "type": "object",
        "required": ["term", "leader_id", "since", "until", "cause", "index"],
        "properties": {
            "term": number("Number of the election."),
            "leader_id": number("Id of the leader."),
            "since": {"type": "string", "description": "Time at which the term began."},
            "until": {"type": ["string", "null"], "description": "Time of its end; absent while it lasts."},
            "cause": {"type": "string", "description": "Cause of the election."},
            "index": number("Index of the log entry that recorded it."),
        },
    })
}

fn of_members() -> Vec<Operation> {
    let name = |description: &str| json!({"type": ["string", "integer"], "minimum": 0, "description": description});
    let new_member = json!({
        "type": "object",
        "required": ["name", "address"],
        "additionalProperties": unknown(),
        "properties": {
            "name": name("Name of the master."),
            "address": {"type": "string", "description": "Its gRPC address, `HOST:PORT`."},
        },
    });
    let replacement = json!({
        "type": "object",
        "required": ["new"],
        "additionalProperties": unknown(),
        "properties": {"new": name("Name of the member that gets the vote.")},
    });
    vec![
        Operation::get("/api/cluster/members", "list_members", "List the masters")
            .details("Without a leader, too: what this master knows, unless another freshness is asked for.")
            .shows::<v1::MemberList>(),
        Operation::post("/api/cluster/members", "add_member", "Add a master")
            .takes(new_member)
            .answers(200, "It was a member already.", one::<v1::MemberChanged>())
            .answers(202, "It is added, and waits for its vote.", one::<v1::MemberChanged>())
            .fails(&[404]),
        Operation::delete("/api/cluster/members/{id}", "remove_member", "Remove a master")
            .shows::<v1::MemberChanged>(),
        Operation::post("/api/cluster/members/{id}/promote", "promote_member", "Give a master a vote")
            .shows::<v1::MemberChanged>(),
        Operation::post(
            "/api/cluster/members/{id}/replace",
            "replace_member",
            "Give the vote of a master to another",
        )
        .takes(replacement)
        .shows::<v1::MemberChanged>(),
    ]
}

fn of_settings() -> Vec<Operation> {
    let value = json!({"type": ["string", "number", "boolean", "null"]});
    let section = json!({"type": "object", "additionalProperties": value});
    let settings = json!({
        "type": "object",
        "description": "Values by the paths of settings, as in `worker.lease`, or by section and name.",
        "additionalProperties": {"anyOf": [value, section]},
    });
    let hold = json!({
        "type": "object",
        "required": ["hold"],
        "additionalProperties": unknown(),
        "properties": {"hold": {"type": "boolean", "description": "True to keep the level where it is."}},
    });
    let index = "Index of the last change of the settings, in quotes.";
    vec![
        Operation::get("/api/cluster/config", "get_settings", "Show the settings of the cluster")
            .shows::<v1::ClusterConfig>()
            .with_header("ETag", index),
        Operation::put("/api/cluster/config", "change_settings", "Change settings of the cluster")
            .reads_header(
                "If-Match",
                "ETag of the settings that are to be changed; if they have changed since, nothing happens (409).",
            )
            .takes(settings)
            .shows::<v1::ClusterConfig>()
            .with_header("ETag", index),
        Operation::get("/api/cluster/upgrade", "get_upgrade", "Show who runs which release")
            .shows::<v1::UpgradeStatus>(),
        Operation::put("/api/cluster/upgrade", "hold_upgrade", "Hold the feature level, or let it rise")
            .takes(hold)
            .shows::<v1::UpgradeStatus>(),
    ]
}
