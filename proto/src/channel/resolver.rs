//! Resolves host names on few threads of its own: the operating system may take half a minute for
//! one name, and other work must not wait for that.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::Instant;

/// Maximum number of lookups at the same time.
const LOOKUPS_MAX: usize = 8;
/// Maximum number of names that wait for a lookup: more would wait longer than any call.
const WAITING_MAX: usize = 1_024;
/// Time for which an answer is cached. A worker that has moved is found again within it.
const ANSWER_KEPT: Duration = Duration::from_secs(2);
/// Time for which a name that was not found is not looked up again.
const FAILURE_KEPT: Duration = Duration::from_secs(5);

/// Result of a lookup.
type Answer = Result<Arc<[IpAddr]>, Arc<str>>;
type Lookup = fn(&str) -> io::Result<Vec<IpAddr>>;

/// Resolves names for one kind of peer, so that one kind's names do not delay the other's.
pub(super) struct Resolver {
    lookup: Lookup,
    state: Mutex<State>,
    /// Notified when a name needs a lookup.
    work: Condvar,
}

struct State {
    names: HashMap<Arc<str>, Name>,
    waiting: VecDeque<Arc<str>>,
    /// Number of threads, and of those that are idle.
    threads: usize,
    idle: usize,
}

/// State of a requested name.
struct Name {
    answer: watch::Sender<Option<Answer>>,
    answered_at: Option<Instant>,
}

impl Name {
    fn is_good(&self, now: Instant) -> bool {
        let kept = match &*self.answer.borrow() {
            None => return true,
            Some(Ok(_)) => ANSWER_KEPT,
            Some(Err(_)) => FAILURE_KEPT,
        };
        self.answered_at.is_some_and(|at| now.saturating_duration_since(at) < kept)
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// Creates a resolver that asks the operating system.
    pub(super) fn of_system() -> Arc<Self> {
        Self::new(|host| Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect()))
    }

    fn new(lookup: Lookup) -> Arc<Self> {
        let state = State { names: HashMap::new(), waiting: VecDeque::new(), threads: 0, idle: 0 };
        Arc::new(Self { lookup, state: Mutex::new(state), work: Condvar::new() })
    }

    /// Returns the addresses of a host, which may be an address already. A lookup goes on when its
    /// caller is gone, and its answer serves the next caller.
    pub(super) async fn resolve(self: &Arc<Self>, host: &str) -> io::Result<Arc<[IpAddr]>> {
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if let Ok(address) = literal.unwrap_or(host).parse::<IpAddr>() {
            return Ok(Arc::from([address]));
        }
        let mut answer = self.ask(host)?;
        let answered = answer.wait_for(Option::is_some).await;
        let answered = answered.ok().and_then(|answer| answer.clone());
        let not_found = |reason: &str| io::Error::new(io::ErrorKind::NotFound, reason.to_owned());
        match answered {
            Some(Ok(addresses)) => Ok(addresses),
            Some(Err(reason)) => Err(not_found(&format!("cannot resolve {host}: {reason}"))),
            None => Err(not_found(&format!("cannot resolve {host}"))),
        }
    }

    fn ask(self: &Arc<Self>, host: &str) -> io::Result<watch::Receiver<Option<Answer>>> {
        let now = Instant::now();
        let mut state = self.state();
        state.names.retain(|_, name| name.is_good(now));
        if let Some(name) = state.names.get(host) {
            return Ok(name.answer.subscribe());
        }

        if state.waiting.len() >= WAITING_MAX {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "too many host names are being looked up",
            ));
        }

        if state.idle <= state.waiting.len() && state.threads < LOOKUPS_MAX {
            let resolver = Arc::clone(self);
            thread::Builder::new().name("resolver".to_owned()).spawn(move || resolver.serve())?;
            state.threads += 1;
            state.idle += 1;
        }

        let host = Arc::<str>::from(host);
        let (answer, asked) = watch::channel(None);
        state.names.insert(Arc::clone(&host), Name { answer, answered_at: None });
        state.waiting.push_back(host);
        drop(state);
        self.work.notify_one();
        Ok(asked)
    }

    /// Resolves names one after the other, forever.
    fn serve(&self) {
        let mut state = self.state();
        loop {
            let Some(host) = state.waiting.pop_front() else {
                self.work.wait(&mut state);
                continue;
            };
            state.idle -= 1;
            drop(state);

            let answer = match (self.lookup)(&host) {
                Ok(found) if found.is_empty() => Err("it has no address".into()),
                Ok(found) => Ok(found.into()),
                Err(error) => Err(error.to_string().into()),
            };

            state = self.state();
            state.idle += 1;
            if let Some(name) = state.names.get_mut(&host) {
                name.answered_at = Some(Instant::now());
                name.answer.send_replace(Some(answer));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    fn hang(_: &str) -> io::Result<Vec<IpAddr>> {
        loop {
            thread::park();
        }
    }

    #[tokio::test]
    async fn an_address_needs_no_lookup() {
        let resolver = Resolver::new(hang);
        for (host, address) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1"), ("::1", "::1")] {
            let expected = address.parse::<IpAddr>().unwrap();
            assert_eq!(*resolver.resolve(host).await.unwrap(), [expected]);
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_up_once_for_all_who_ask() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let resolver = Resolver::new(|_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Ok(vec![IpAddr::from([10, 0, 0, 1])])
        });
        let (one, other) = tokio::join!(resolver.resolve("node"), resolver.resolve("node"));
        assert_eq!(*one.unwrap(), [IpAddr::from([10, 0, 0, 1])]);
        assert_eq!(*other.unwrap(), [IpAddr::from([10, 0, 0, 1])]);
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_name_that_is_not_found_is_told_and_not_asked_for_again_at_once() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let resolver = Resolver::new(|_| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Err(io::Error::other("no such host"))
        });
        for _ in 0..2 {
            let error = resolver.resolve("nowhere").await.unwrap_err();
            assert_eq!(error.to_string(), "cannot resolve nowhere: no such host");
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn names_that_hang_hold_a_few_threads_and_no_more() {
        static LOOKUPS: Semaphore = Semaphore::const_new(0);
        let resolver = Resolver::new(|host| {
            LOOKUPS.add_permits(1);
            hang(host)
        });
        let ask = |number| resolver.ask(&format!("node-{number}"));
        for number in 0..LOOKUPS_MAX {
            ask(number).unwrap();
        }
        let all = u32::try_from(LOOKUPS_MAX).unwrap();
        LOOKUPS.acquire_many(all).await.unwrap().forget();

        for number in LOOKUPS_MAX..LOOKUPS_MAX + WAITING_MAX {
            ask(number).unwrap();
        }
        let refused = ask(LOOKUPS_MAX + WAITING_MAX).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(resolver.state().threads, LOOKUPS_MAX);
        assert_eq!(LOOKUPS.available_permits(), 0, "nothing else is looked up");
    }
}
