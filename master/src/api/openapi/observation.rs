//! Operations for load balancers, monitoring and those who watch.

use serde_json::json;

use super::operation::Operation;

pub(super) fn operations() -> Vec<Operation> {
    let probe = |path, name, summary, holds| {
        Operation::get(path, name, summary)
            .sends("text/plain", holds)
            .sends_failure("It does not hold.")
    };
    vec![
        probe("/livez", "probe_live", "Is the process alive?", "It is."),
        probe("/readyz", "probe_ready", "May requests be sent here?", "They may."),
        probe("/leader", "probe_leader", "Does this master lead, and can no other?", "It does."),
        probe("/follower", "probe_follower", "Does this master follow closely?", "It does."),
        Operation::get("/metrics", "get_metrics", "Read the metrics of this master")
            .sends("application/openmetrics-text", "Metrics, for Prometheus."),
        Operation::get("/ws", "open_socket", "Watch events over a WebSocket")
            .details("What a client may send, and what it is sent, is in docs/clients.md.")
            .answers_nothing(101, "The connection is a WebSocket from now on."),
        Operation::get("/api/events", "watch_events", "Watch events, as Server-Sent Events")
            .details(
                "Each event has an object of JSON as its data. The `id` of the last event of an index is that \
                 index, from which a client resumes at any master.",
            )
            .reads_query("subscribe", "Topics, with commas between them; may be repeated.")
            .reads_query("type", "Types of events, with commas between them; may be repeated.")
            .reads_query("task", "Ids of tasks, with commas between them; may be repeated.")
            .reads_query("label", "Label that tasks must have, `KEY=VALUE`; may be repeated.")
            .reads_query("from_index", "Index after which to begin; absent, from now on.")
            .reads_query("cluster_id", "Id of the cluster that `from_index` is of.")
            .reads_header("Last-Event-ID", "As `from_index`, before which it counts.")
            .sends("text/event-stream", "Events, without an end.")
            .fails(&[409]),
        Operation::get("/api/openapi.json", "get_description", "Get this description")
            .answers(200, "An OpenAPI document.", json!({"type": "object"})),
    ]
}
