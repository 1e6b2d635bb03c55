//! Requests of one caller: so many a second, so that nobody takes the share of all others.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;

use super::principal::Account;

/// Callers of one kind that are remembered. Those whose budget is whole again are forgotten first;
/// while there are more than these, they share one.
const CALLERS_MAX: usize = 16_384;
/// Least time between two searches for callers that can be forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// More requests than a second may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

/// Requests that each caller has left: a user whatever the address, and everybody without
/// credentials by the address. Strangers are counted apart, so that none of them takes anything of
/// a user's.
#[derive(Debug)]
pub(super) struct Budgets<C: Clock + Clone = MonotonicClock> {
    users: Counts<Account, C>,
    strangers: Counts<IpAddr, C>,
}

impl Budgets {
    /// Creates budgets of so many requests a second for each caller; none for no bound.
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Option<Self> {
        per_second.map(|per_second| Self::by(&MonotonicClock, per_second))
    }
}

impl<C: Clock + Clone> Budgets<C> {
    fn by(clock: &C, per_second: NonZeroU32) -> Self {
        Self { users: Counts::new(clock, per_second), strangers: Counts::new(clock, per_second) }
    }

    /// Counts a request of a user.
    pub(super) fn spend_of_user(&self, user: &Account) -> Result<(), Exhausted> {
        self.users.spend(user)
    }

    /// Counts a request of somebody without credentials.
    pub(super) fn spend_of_stranger(&self, site: IpAddr) -> Result<(), Exhausted> {
        if self.strangers.is_crowded() {
            return self.strangers.spend(&IpAddr::V6(Ipv6Addr::UNSPECIFIED));
        }
        self.strangers.spend(&site)
    }
}

#[derive(Debug)]
struct Counts<K: Hash + Eq + Clone, C: Clock + Clone> {
    limiter: RateLimiter<K, HashMapStateStore<K>, C, NoOpMiddleware<C::Instant>>,
    clock: C,
    swept: Mutex<C::Instant>,
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Counts<K, C> {
    fn new(clock: &C, per_second: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_second);
        let limiter = RateLimiter::hashmap_with_clock(quota, clock.clone());
        Self { limiter, clock: clock.clone(), swept: Mutex::new(clock.now()) }
    }

    fn spend(&self, caller: &K) -> Result<(), Exhausted> {
        self.is_crowded();
        self.limiter.check_key(caller).map_err(|_| Exhausted)
    }

    /// Returns true if there are more callers than are remembered, after those were forgotten whose
    /// budget is whole.
    fn is_crowded(&self) -> bool {
        if self.limiter.len() < CALLERS_MAX {
            return false;
        }
        let now = self.clock.now();
        let mut swept = self.swept.lock();
        if now > *swept + SWEEP_INTERVAL.into() {
            *swept = now;
            self.limiter.retain_recent();
        }
        self.limiter.len() >= CALLERS_MAX
    }
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn budgets(per_second: u32) -> (Budgets<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Budgets::by(&clock, per_second.try_into().unwrap()), clock)
    }

    fn site(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn a_caller_that_has_spent_its_budget_waits_and_others_do_not() {
        let (budgets, clock) = budgets(10);
        let [ada, bob] = ["ada", "bob"].map(|name| Account::Own(name.parse().unwrap()));
        let granted = (0..100).filter(|_| budgets.spend_of_user(&ada).is_ok()).count();
        assert_eq!(granted, 10);
        assert_eq!(budgets.spend_of_user(&bob), Ok(()));
        assert_eq!(budgets.spend_of_stranger(site(1)), Ok(()));
        clock.advance(Duration::from_millis(100));
        assert_eq!(budgets.spend_of_user(&ada), Ok(()));
        assert_eq!(budgets.spend_of_user(&ada), Err(Exhausted));
    }

    #[test]
    fn a_crowd_of_strangers_shares_a_budget_and_takes_nothing_of_a_users() {
        let (budgets, clock) = budgets(1);
        let crowd = u32::try_from(CALLERS_MAX).unwrap();
        let granted =
            (0..crowd * 2).filter(|number| budgets.spend_of_stranger(site(*number)).is_ok());
        assert_eq!(
            granted.count(),
            CALLERS_MAX + 1,
            "all that are remembered, and one of the others"
        );
        assert_eq!(budgets.strangers.limiter.len(), CALLERS_MAX + 1);
        assert_eq!(budgets.spend_of_user(&Account::Own("ada".parse().unwrap())), Ok(()));

        clock.advance(Duration::from_secs(2));
        assert_eq!(budgets.spend_of_stranger(site(crowd)), Ok(()));
        assert!(budgets.strangers.limiter.len() < 10, "those who ask nothing are forgotten");
    }

    #[test]
    fn without_a_bound_there_are_no_budgets() {
        assert!(Budgets::new(None).is_none());
    }
}
