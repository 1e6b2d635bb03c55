//! How calls to each worker have gone, and how long each is left alone after one that failed.
//! Pure: time comes in as an argument.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use cluster_state::WorkerId;
use tokio::time::Instant;

use crate::leader::undelivered::SetbackKind;

/// After a failed call a worker is left alone this long, and up to the most after one that it
/// keeps refusing.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Between two probes of an unreachable worker: at first, and after many that failed.
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(30);
/// A worker that was reached again is probed as seldom as before if it is lost again sooner.
const FORGIVEN_AFTER: Duration = Duration::from_secs(5 * 60);

/// What came of a call that did not achieve all that it was to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nobody answered; says what was seen.
    Unreachable(String),
    /// The worker answered, and refused; says why.
    Refused(String),
    /// It did not take all attempts.
    NoRoom,
    /// The answer could not be recorded.
    NotRecorded(String),
}

impl Trouble {
    /// The word for it in metrics.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Refused(_) => "refused",
            Self::NoRoom => "no-room",
            Self::NotRecorded(_) => "not-recorded",
        }
    }

    /// Returns the meaning for the orders; nothing when they were carried out.
    pub(super) const fn setback(&self) -> Option<SetbackKind> {
        match self {
            Self::Unreachable(_) => Some(SetbackKind::Unreachable),
            Self::Refused(_) => Some(SetbackKind::Refused),
            Self::NoRoom => Some(SetbackKind::NoRoom),
            Self::NotRecorded(_) => None,
        }
    }

    fn is_as(&self, other: &Self) -> bool {
        match (self, other) {
            // What is seen of a worker that is not there varies.
            (Self::Unreachable(_), Self::Unreachable(_)) => true,
            _ => self == other,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) | Self::Refused(reason) | Self::NotRecorded(reason) => {
                f.write_str(reason)
            }
            Self::NoRoom => f.write_str("it has no room for all the attempts that it is given"),
        }
    }
}

/// What a call was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    /// To deliver orders.
    Orders,
    /// To see whether an unreachable worker can be called again.
    Probe,
}

/// The workers with which there was trouble.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    by_worker: HashMap<WorkerId, Contact>,
}

#[derive(Debug)]
struct Contact {
    /// None since the last call went well.
    trouble: Option<Trouble>,
    /// When it began, or ended.
    since: Instant,
    /// Calls in a row with the same trouble.
    failures: u32,
    /// Probes in a row that failed.
    probes: u32,
    rests_until: Instant,
}

/// A trouble that was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Noted {
    /// Whether the call before went better, or failed in another way.
    pub(super) is_news: bool,
    /// How long it has lasted.
    pub(super) lasts: Duration,
}

impl Contacts {
    /// Whether the worker is not to be called yet.
    pub(super) fn rests(&self, worker: &WorkerId, now: Instant) -> bool {
        self.by_worker.get(worker).is_some_and(|contact| contact.rests_until > now)
    }

    /// A call went well; the trouble that is over.
    pub(super) fn on_answered(
        &mut self,
        worker: &WorkerId,
        errand: Errand,
        now: Instant,
    ) -> Option<Trouble> {
        match errand {
            Errand::Orders => {
                let contact = self.by_worker.get_mut(worker)?;
                let over = contact.trouble.take()?;
                *contact = Contact {
                    trouble: None,
                    since: now,
                    failures: 0,
                    rests_until: now,
                    ..*contact
                };
                Some(over)
            }
            Errand::Probe => {
                let contact = self.contact(worker, now);
                contact.since = now;
                // Until it is on record that the worker can be called.
                contact.rests_until = now + PAUSE_MIN;
                contact.trouble.take()
            }
        }
    }

    fn contact(&mut self, worker: &WorkerId, now: Instant) -> &mut Contact {
        self.by_worker.entry(worker.clone()).or_insert(Contact {
            trouble: None,
            since: now,
            failures: 0,
            probes: 0,
            rests_until: now,
        })
    }

    /// A call failed.
    pub(super) fn on_trouble(
        &mut self,
        worker: &WorkerId,
        trouble: Trouble,
        errand: Errand,
        now: Instant,
    ) -> Noted {
        let contact = self.contact(worker, now);
        let is_news = !contact.trouble.as_ref().is_some_and(|known| known.is_as(&trouble));
        if is_news {
            (contact.since, contact.failures) = (now, 0);
        }
        contact.failures = contact.failures.saturating_add(1);
        if errand == Errand::Probe {
            contact.probes = contact.probes.saturating_add(1);
        }
        let rest = match (errand, &trouble) {
            (Errand::Probe, _) => doubled(PROBE_MIN, contact.probes, PROBE_MAX),
            (Errand::Orders, Trouble::Refused(_)) => {
                doubled(PAUSE_MIN, contact.failures, PAUSE_MAX)
            }
            (
                Errand::Orders,
                Trouble::Unreachable(_) | Trouble::NoRoom | Trouble::NotRecorded(_),
            ) => PAUSE_MIN,
        };
        contact.rests_until = now + rest;
        contact.trouble = Some(trouble);
        Noted { is_news, lasts: now.saturating_duration_since(contact.since) }
    }

    /// When the next worker has rested.
    pub(super) fn next_end(&self, now: Instant) -> Option<Instant> {
        self.by_worker.values().map(|one| one.rests_until).filter(|at| *at > now).min()
    }

    /// Forgets workers with which all has been well for long.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.by_worker.retain(|_, contact| {
            let latest = contact.since.max(contact.rests_until);
            now.saturating_duration_since(latest) < FORGIVEN_AFTER
        });
    }
}

fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << times.saturating_sub(1).min(16)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> WorkerId {
        "w1".parse().unwrap()
    }

    fn unreachable(why: &str) -> Trouble {
        Trouble::Unreachable(why.to_owned())
    }

    #[test]
    fn trouble_counts_from_the_first_call_that_nobody_answered() {
        let (mut contacts, start) = (Contacts::default(), Instant::now());
        let mut note = |trouble, seconds| {
            let now = start + Duration::from_secs(seconds);
            contacts.on_trouble(&worker(), trouble, Errand::Orders, now)
        };
        let lasts = Duration::from_secs;
        assert_eq!(note(unreachable("refused"), 0), Noted { is_news: true, lasts: lasts(0) });
        assert_eq!(note(unreachable("silence"), 4), Noted { is_news: false, lasts: lasts(4) });
        assert_eq!(note(Trouble::NoRoom, 5), Noted { is_news: true, lasts: lasts(0) });
        assert_eq!(note(unreachable("refused"), 9), Noted { is_news: true, lasts: lasts(0) });
    }

    #[test]
    fn an_answer_ends_the_trouble_and_the_rest() {
        let (mut contacts, now) = (Contacts::default(), Instant::now());
        assert_eq!(contacts.on_answered(&worker(), Errand::Orders, now), None);
        contacts.on_trouble(&worker(), Trouble::NoRoom, Errand::Orders, now);
        assert!(contacts.rests(&worker(), now));
        assert_eq!(contacts.next_end(now), Some(now + PAUSE_MIN));

        let over = contacts.on_answered(&worker(), Errand::Orders, now);
        assert_eq!(over, Some(Trouble::NoRoom));
        assert!(!contacts.rests(&worker(), now));
        assert_eq!(contacts.next_end(now), None);
    }

    #[test]
    fn a_worker_that_comes_and_goes_is_probed_more_and_more_seldom() {
        let (mut contacts, mut now) = (Contacts::default(), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..3 {
            contacts.on_trouble(&worker(), unreachable("refused"), Errand::Probe, now);
            let end = contacts.next_end(now).unwrap();
            rests.push(end - now);
            now = end;
            contacts.on_answered(&worker(), Errand::Orders, now);
        }
        assert_eq!(rests, [1, 2, 4].map(Duration::from_secs));

        contacts.forgive(now + FORGIVEN_AFTER);
        contacts.on_trouble(&worker(), unreachable("refused"), Errand::Probe, now);
        assert_eq!(contacts.next_end(now), Some(now + PROBE_MIN));
    }

    #[test]
    fn a_refusal_that_lasts_is_asked_for_less_often() {
        let (mut contacts, now) = (Contacts::default(), Instant::now());
        for _ in 0..10 {
            let refused = Trouble::Refused("disk full".to_owned());
            contacts.on_trouble(&worker(), refused, Errand::Orders, now);
        }
        assert_eq!(contacts.next_end(now), Some(now + PAUSE_MAX));
    }
}
