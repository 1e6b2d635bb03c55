//! Routes of one session to the leader: heartbeats through a relay, everything else directly.

use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use proto::channel::Dialer;
use proto::relays::Relays;
use tokio::sync::Notify;

use super::master_client::{CallError, HEARTBEAT_TIMEOUT, MasterClient};

/// Share of the heartbeat timeout that a relay may take which is not the last route.
const RELAY_PATIENCE_PART: u32 = 4;

/// Route of heartbeats and reports. Heartbeats find it, and reports follow it.
#[derive(Debug)]
pub(super) struct Route {
    relays: Mutex<Relays>,
    moved: Notify,
}

/// Route of reports: a connection to the leader while there is something to report, or to the relay
/// when the leader cannot be reached.
#[derive(Debug)]
pub(super) struct ReportWay<'a> {
    dialer: &'a Dialer,
    route: &'a Route,
    is_diverted: bool,
    open: Option<MasterClient>,
}

impl Route {
    pub(super) fn new(relays: Relays) -> Self {
        Self { relays: Mutex::new(relays), moved: Notify::new() }
    }

    /// Returns the address of the leader, as the last answer named it.
    pub(super) fn leader(&self) -> String {
        self.relays().leader().to_owned()
    }

    /// Returns the address of the master for the next heartbeat.
    pub(super) fn relay(&self) -> String {
        self.relays().current().to_owned()
    }

    /// Takes in the leader's answer to a heartbeat that the relay passed on.
    pub(super) fn on_answered(&self, leader: &str, followers: &[String]) {
        let mut relays = self.relays();
        let has_moved = relays.leader() != leader;
        relays.on_answered(leader, followers);
        drop(relays);
        if has_moved {
            self.moved.notify_waiters();
        }
    }

    /// Waits until an answer names another leader than the one before.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Returns the time that the relay may take: when it hangs, the other routes are tried within
    /// one heartbeat timeout.
    pub(super) fn patience(&self, heartbeat_timeout: Duration) -> Duration {
        if self.relays().is_last() {
            return HEARTBEAT_TIMEOUT;
        }
        HEARTBEAT_TIMEOUT.min(heartbeat_timeout / RELAY_PATIENCE_PART)
    }

    /// Gives up the relay, and returns true if another route is left.
    pub(super) fn on_failed(&self) -> bool {
        self.relays().on_failed()
    }

    fn relays(&self) -> MutexGuard<'_, Relays> {
        self.relays.lock()
    }
}

impl<'a> ReportWay<'a> {
    pub(super) const fn new(dialer: &'a Dialer, route: &'a Route) -> Self {
        Self { dialer, route, is_diverted: false, open: None }
    }

    /// Returns the connection to the master to report to.
    pub(super) fn client(&mut self) -> Result<MasterClient, CallError> {
        let wanted = if self.is_diverted { self.route.relay() } else { self.route.leader() };
        if let Some(open) = &self.open
            && open.address() == wanted
        {
            return Ok(open.clone());
        }
        let client = MasterClient::new(self.dialer, &wanted)?;
        self.open = Some(client.clone());
        Ok(client)
    }

    /// Gives up the master, and returns true if there is another route.
    pub(super) fn divert(&mut self) -> bool {
        let may_help = !self.is_diverted && self.route.relay() != self.route.leader();
        self.is_diverted = may_help;
        may_help
    }

    /// Closes the connection while there is nothing to report.
    pub(super) fn rest(&mut self) {
        *self = Self::new(self.dialer, self.route);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(masters: &[&str]) -> Route {
        let masters = masters.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        Route::new(Relays::new("m1:1", &masters, 0))
    }

    #[tokio::test]
    async fn reports_go_to_the_leader_and_follow_it() {
        let route = route(&["m1:1", "m2:1", "m3:1"]);
        let dialer = Dialer::plain();
        let mut way = ReportWay::new(&dialer, &route);
        assert_eq!(way.client().unwrap().address(), "m1:1");
        route.on_answered("m3:1", &["m1:1".to_owned(), "m2:1".to_owned(), "m3:1".to_owned()]);
        assert_eq!(way.client().unwrap().address(), "m3:1");
    }

    #[tokio::test]
    async fn a_leader_that_is_not_reached_is_reported_to_through_the_relay() {
        let route = route(&["m1:1", "m2:1", "m3:1"]);
        let dialer = Dialer::plain();
        let mut way = ReportWay::new(&dialer, &route);
        assert!(way.divert());
        assert_eq!(way.client().unwrap().address(), "m2:1");
        assert!(!way.divert(), "both ways have failed");

        assert!(way.divert());
        way.rest();
        assert_eq!(way.client().unwrap().address(), "m1:1", "the leader is tried again");
    }

    #[test]
    fn a_relay_that_hangs_costs_no_session() {
        let route = route(&["m2:1"]);
        assert_eq!(route.patience(Duration::from_secs(30)), HEARTBEAT_TIMEOUT);
        assert_eq!(route.patience(Duration::from_secs(2)), Duration::from_millis(500));
        assert!(route.on_failed());
        assert_eq!(route.patience(Duration::from_secs(2)), HEARTBEAT_TIMEOUT, "the last way");
    }

    #[test]
    fn without_a_follower_there_is_one_way() {
        let route = route(&["m1:1"]);
        assert!(!ReportWay::new(&Dialer::plain(), &route).divert());
        assert!(!route.on_failed());
    }
}
