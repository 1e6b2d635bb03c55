//! Calls to other masters: what the leader has to answer, and heartbeats that a follower relays.

pub(crate) mod forwarded;
mod heartbeat_relay;
mod hops;
mod leader_peer;

pub(crate) use heartbeat_relay::{HeartbeatRelay, relayed_response};
pub(crate) use hops::{check_leads_if_forwarded, is_forwarded, leads_no_more, says_forwarded};
pub(crate) use leader_peer::LeaderPeer;
