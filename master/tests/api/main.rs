//! The API of a master that runs in this process, mostly alone in its cluster, asked over real sockets.

mod admission;
mod backup;
mod clock;
mod crowd;
mod errors;
mod event_socket;
mod events;
mod followed_logs;
mod freshness;
mod fuzz;
mod large;
mod liveness;
mod log;
mod names;
mod one_master;
mod orders;
mod probes;
mod reconnection;
mod registry;
mod scripted_worker;
mod strangers;
mod tasks;
mod usage;
mod worker_calls;
mod worker_flow;
mod worker_session;
