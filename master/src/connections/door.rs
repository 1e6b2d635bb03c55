//! Admits connections at one port. Every connection is let in, as long as another can be closed for
//! it: silent ones make room. Only the head of a request shows whether it is a probe, so requests
//! count against the bound, and not connections.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::open_files::OpenFiles;
use crate::port::{Closed, Port};

/// Kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Answered at once, whatever else is under way.
    Probe,
    /// One of those of which there may be so many.
    Ordinary,
}

/// As many requests as there may be are under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many requests as this master takes are under way")]
pub(crate) struct Full;

/// Strangers have as many connections as they may: all together, or those at one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("as many callers without a certificate as this master takes are connected")]
pub(crate) struct Crowded;

/// The part of the connections that strangers may have, where there are certificates: the rest is for
/// those who show one.
const STRANGERS_PART: usize = 2;
/// The part of the strangers' connections that one address may have.
const ADDRESS_PART: usize = 2;

/// One port's connections.
#[derive(Debug)]
pub(crate) struct Door {
    port: Port,
    files: OpenFiles,
    metrics: Metrics,
    guests: Mutex<Guests>,
}

#[derive(Debug, Default)]
struct Guests {
    /// Connections.
    open: usize,
    /// Ordinary requests under way.
    busy: usize,
    /// Connections of strangers by the address that stands for them.
    strangers: BTreeMap<IpAddr, usize>,
    /// Connections of all strangers.
    strangers_open: usize,
    /// Connections that ask nothing, those first that do so for the longest.
    idle: BTreeMap<u64, CancellationToken>,
    /// So many times a connection became idle.
    turns: u64,
}

impl Guests {
    fn leave_stranger(&mut self, site: IpAddr) {
        if let Entry::Occupied(mut at_site) = self.strangers.entry(site) {
            *at_site.get_mut() = at_site.get().saturating_sub(1);
            self.strangers_open = self.strangers_open.saturating_sub(1);
            if *at_site.get() == 0 {
                at_site.remove();
            }
        }
    }

    fn on_idle(&mut self, shown_out: &CancellationToken) -> Phase {
        let turn = self.turns;
        self.turns = self.turns.wrapping_add(1);
        self.idle.insert(turn, shown_out.clone());
        Phase::Idle { turn }
    }
}

impl Door {
    pub(crate) fn new(port: Port, files: OpenFiles, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { port, files, metrics, guests: Mutex::default() })
    }

    /// Lets a new connection in, for which one that asks nothing may have to go. There is no place
    /// when all of them are asking.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Arc<Place>> {
        let room = self.files.share(self.port).connections;
        let mut guests = self.guests();
        if guests.open >= room {
            self.metrics.on_connection_closed(self.port, Closed::Full);
            let (_, oldest) = guests.idle.pop_first()?;
            oldest.cancel();
        }
        guests.open = guests.open.saturating_add(1);
        let shown_out = CancellationToken::new();
        let phase = guests.on_idle(&shown_out);
        self.report_taken(&guests);
        drop(guests);
        self.metrics.on_connection_opened(self.port);
        Some(Arc::new(Place {
            door: Arc::clone(self),
            phase: Mutex::new(phase),
            shown_out,
            last_words: OnceLock::new(),
            stranger: OnceLock::new(),
        }))
    }

    /// Tells the other port how much this one takes.
    fn report_taken(&self, guests: &Guests) {
        self.files.on_taken(self.port, guests.open, guests.busy);
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock()
    }

    /// Counts a stranger at an address in, unless there are too many.
    fn enter_stranger(&self, site: IpAddr) -> Result<(), Crowded> {
        let room = (self.files.share(self.port).connections / STRANGERS_PART).max(1);
        let room_of_one = (room / ADDRESS_PART).max(1);
        let mut guests = self.guests();
        let all = guests.strangers_open;
        let at_site = guests.strangers.entry(site).or_default();
        if all >= room || *at_site >= room_of_one {
            if *at_site == 0 {
                guests.strangers.remove(&site);
            }
            return Err(Crowded);
        }
        *at_site = at_site.saturating_add(1);
        guests.strangers_open = all.saturating_add(1);
        Ok(())
    }
}

/// One connection's place.
#[derive(Debug)]
pub(crate) struct Place {
    door: Arc<Door>,
    phase: Mutex<Phase>,
    shown_out: CancellationToken,
    /// The answer to a request whose head has begun to arrive when the peer is let go.
    last_words: OnceLock<Vec<u8>>,
    /// Address that stands for the peer, if it is a stranger.
    stranger: OnceLock<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is asked.
    Idle { turn: u64 },
    /// A request is under way.
    Asking(Ask),
    /// The answer is complete, and may still be on its way.
    Answered(Ask),
    /// It counts no longer.
    Gone,
}

impl Place {
    /// Returns the token that is cancelled when the connection has to make room.
    pub(crate) const fn shown_out(&self) -> &CancellationToken {
        &self.shown_out
    }

    /// Returns true while nothing is asked, as far as is known.
    pub(super) fn is_idle(&self) -> bool {
        matches!(*self.phase(), Phase::Idle { .. })
    }

    /// Sets the last words of the connection, which are sent if a request's head has begun to
    /// arrive.
    pub(crate) fn leave_words(&self, words: Vec<u8>) {
        // Words that were left before are as good.
        self.last_words.set(words).unwrap_or_default();
    }

    pub(super) fn last_words(&self) -> Option<&[u8]> {
        self.last_words.get().map(Vec::as_slice)
    }

    /// The peer shows no certificate, and others do. Fails when strangers have all the connections that
    /// they may.
    pub(crate) fn on_stranger(&self, site: IpAddr) -> Result<(), Crowded> {
        // It is held until the end, so that a stranger who leaves now is counted out.
        let phase = self.phase();
        if *phase == Phase::Gone || self.stranger.get().is_some() {
            return Ok(());
        }
        let entered = self.door.enter_stranger(site);
        match entered {
            Ok(()) => self.stranger.set(site).unwrap_or_default(),
            Err(Crowded) => self.on_closed(Closed::Crowded),
        }
        entered
    }

    /// A request has been read. Fails when there are too many of its kind; that answer, too, ends
    /// with [`Self::on_answered`].
    pub(crate) fn on_request(&self, ask: Ask) -> Result<(), Full> {
        let mut phase = self.phase();
        let room = self.door.files.share(self.door.port).requests;
        let mut guests = self.door.guests();
        leave(&mut guests, *phase);
        let is_full = ask == Ask::Ordinary && guests.busy >= room;
        // A refusal is answered like a probe: at once, and beside the bound.
        let counted = if is_full { Ask::Probe } else { ask };
        if counted == Ask::Ordinary {
            guests.busy = guests.busy.saturating_add(1);
        }
        self.door.report_taken(&guests);
        *phase = Phase::Asking(counted);
        if is_full { Err(Full) } else { Ok(()) }
    }

    /// Records that the answer is complete on this side.
    pub(crate) fn on_answered(&self) {
        let mut phase = self.phase();
        if let Phase::Asking(ask) = *phase {
            *phase = Phase::Answered(ask);
        }
    }

    /// Everything that there was to send has been handed to the system. Returns true if that was the
    /// rest of an answer.
    pub(crate) fn on_sent(&self) -> bool {
        let mut phase = self.phase();
        let Phase::Answered(_) = *phase else { return false };
        let mut guests = self.door.guests();
        leave(&mut guests, *phase);
        *phase = guests.on_idle(&self.shown_out);
        self.door.report_taken(&guests);
        true
    }

    /// Records that the connection has ended, or has become something that is counted elsewhere.
    pub(crate) fn on_ended(&self) {
        let mut phase = self.phase();
        if *phase == Phase::Gone {
            return;
        }
        let mut guests = self.door.guests();
        leave(&mut guests, *phase);
        assert!(guests.open > 0, "a connection that ends was counted");
        guests.open = guests.open.saturating_sub(1);
        if let Some(site) = self.stranger.get() {
            guests.leave_stranger(*site);
        }
        *phase = Phase::Gone;
        self.door.report_taken(&guests);
        drop(guests);
        self.door.metrics.on_connection_ended(self.door.port);
    }

    /// Records that this side closes the connection.
    pub(crate) fn on_closed(&self, why: Closed) {
        self.door.metrics.on_connection_closed(self.door.port, why);
    }

    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock()
    }
}

/// Ends whatever the phase had occupied.
fn leave(guests: &mut Guests, phase: Phase) {
    match phase {
        Phase::Idle { turn } => {
            // It may have been shown out in this very moment.
            guests.idle.remove(&turn);
        }
        Phase::Asking(Ask::Ordinary) | Phase::Answered(Ask::Ordinary) => {
            assert!(guests.busy > 0, "a request that ends was counted");
            guests.busy = guests.busy.saturating_sub(1);
        }
        Phase::Asking(Ask::Probe) | Phase::Answered(Ask::Probe) | Phase::Gone => {}
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.on_ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitsConfig;

    /// Creates a door with room for two requests, and for two connections beside them.
    fn door() -> Arc<Door> {
        let limits = LimitsConfig { http_connections: 2, ..LimitsConfig::default() };
        let files = OpenFiles::with_limit(&limits, || 1 << 40);
        Door::new(Port::Http, files, Metrics::new())
    }

    /// Requests under way, and connections that ask nothing.
    fn counts(door: &Door) -> (usize, usize) {
        let guests = door.guests();
        (guests.busy, guests.idle.len())
    }

    #[test]
    fn who_asks_nothing_for_the_longest_makes_room() {
        let door = door();
        let guests = [(); 4].map(|()| door.enter().unwrap());
        guests[0].on_request(Ask::Ordinary).unwrap();

        let fifth = door.enter().unwrap();
        let out = guests.each_ref().map(|guest| guest.shown_out().is_cancelled());
        assert_eq!(out, [false, true, false, false]);
        drop((guests, fifth));
        assert_eq!(door.guests().open, 0);
        assert!(door.guests().idle.is_empty());
    }

    #[test]
    fn a_probe_is_answered_when_a_request_is_not() {
        let door = door();
        let guests = [(); 2].map(|()| door.enter().unwrap());
        for guest in &guests {
            guest.on_request(Ask::Ordinary).unwrap();
        }
        let third = door.enter().unwrap();
        assert_eq!(third.on_request(Ask::Ordinary), Err(Full));
        third.on_answered();
        third.on_sent();
        assert_eq!(third.on_request(Ask::Probe), Ok(()));
    }

    #[test]
    fn a_connection_that_was_answered_is_idle_when_the_answer_is_sent() {
        let door = door();
        let guest = door.enter().unwrap();
        guest.on_request(Ask::Ordinary).unwrap();
        guest.on_sent();
        assert_eq!(counts(&door), (1, 0));
        guest.on_answered();
        assert_eq!(counts(&door), (1, 0));
        guest.on_sent();
        assert_eq!(counts(&door), (0, 1));
    }

    #[test]
    fn strangers_leave_room_for_others_and_for_each_other() {
        let limits = LimitsConfig { grpc_connections: 8, ..LimitsConfig::default() };
        let files = OpenFiles::with_limit(&limits, || 1 << 40);
        let door = Door::new(Port::Grpc, files, Metrics::new());
        let site = |number: u8| IpAddr::from([10, 0, 0, number]);
        let enter = |number| {
            let place = door.enter().unwrap();
            place.on_stranger(site(number)).map(|()| place)
        };

        let first = enter(1).unwrap();
        let second = enter(1).unwrap();
        assert_eq!(enter(1).unwrap_err(), Crowded, "one address has half of the strangers' places");
        let others = [2, 3].map(|number| enter(number).unwrap());
        assert_eq!(enter(4).unwrap_err(), Crowded, "strangers have half of the places");
        drop(first);
        let late = enter(4).unwrap();
        drop((late, others, second));
        assert!(door.guests().strangers.is_empty());
        assert_eq!(door.guests().strangers_open, 0);
        assert_eq!(door.guests().open, 0);
    }

    #[test]
    fn what_has_become_something_else_is_counted_no_longer() {
        let door = door();
        let guest = door.enter().unwrap();
        guest.on_request(Ask::Ordinary).unwrap();
        guest.on_ended();
        guest.on_answered();
        guest.on_sent();
        drop(guest);
        assert_eq!(counts(&door), (0, 0));
        assert_eq!(door.guests().open, 0);
    }
}
