//! Refused requests, gathered for the file of the trail: a stranger must not fill the disk. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cluster_state::Timestamp;

/// Kinds of refusals that are told apart until they are written. Beyond them, only their number is.
const KINDS_MAX: usize = 256;

/// Refusals that are alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RefusalKind {
    /// Name of the error.
    pub(crate) error: &'static str,
    /// Principal that was refused; absent if nobody knows.
    pub(crate) principal: Option<String>,
    /// The action that was refused; absent if the caller was, whatever it wanted.
    pub(crate) action: Option<&'static str>,
    /// Address from which the request came.
    pub(crate) remote: Option<IpAddr>,
}

/// A number of refusals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// Their kind; absent for those that were not told apart.
    pub(super) kind: Option<RefusalKind>,
    pub(super) count: u64,
    /// Time of the first.
    pub(super) since: Timestamp,
    /// Id of the latest request.
    pub(super) request: String,
}

/// Refusals since they were written last.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    by_kind: BTreeMap<RefusalKind, Refused>,
    others: Option<Refused>,
}

impl Refusals {
    /// Counts a refusal.
    pub(super) fn note(&mut self, kind: RefusalKind, now: Timestamp, request: String) {
        let has_room = self.by_kind.len() < KINDS_MAX;
        let new = |kind| Refused { kind, count: 0, since: now, request: String::new() };
        let counted = match self.by_kind.get_mut(&kind) {
            Some(known) => known,
            None if has_room => self.by_kind.entry(kind.clone()).or_insert(new(Some(kind))),
            None => self.others.get_or_insert(new(None)),
        };
        counted.count = counted.count.saturating_add(1);
        counted.request = request;
    }

    /// Removes and returns them all.
    pub(super) fn take(&mut self) -> Vec<Refused> {
        let by_kind = std::mem::take(&mut self.by_kind);
        by_kind.into_values().chain(self.others.take()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: u8) -> RefusalKind {
        let (error, action) = ("forbidden", Some("manage users"));
        let remote = Some(IpAddr::from([10, 0, 0, host]));
        RefusalKind { error, principal: Some("user:eve".to_owned()), action, remote }
    }

    #[test]
    fn refusals_that_are_alike_are_one_line() {
        let mut refusals = Refusals::default();
        for (number, host) in [1, 1, 2, 1].into_iter().enumerate() {
            let at = Timestamp(u64::try_from(number).unwrap());
            refusals.note(of(host), at, format!("r-{number}"));
        }
        let line = |host, count, since, request: &str| {
            let (kind, since, request) = (Some(of(host)), Timestamp(since), request.to_owned());
            Refused { kind, count, since, request }
        };
        assert_eq!(refusals.take(), [line(1, 3, 0, "r-3"), line(2, 1, 2, "r-2")]);
        assert_eq!(refusals.take(), []);
    }

    #[test]
    fn strangers_from_everywhere_are_bounded() {
        let mut refusals = Refusals::default();
        for number in 0..1_000_u32 {
            let remote = Some(IpAddr::from(number.to_be_bytes()));
            let kind = RefusalKind { remote, ..of(1) };
            refusals.note(kind, Timestamp(1), "r".to_owned());
        }
        let taken = refusals.take();
        assert_eq!(taken.len(), KINDS_MAX + 1);
        assert_eq!(taken.iter().map(|line| line.count).sum::<u64>(), 1_000);
    }
}
