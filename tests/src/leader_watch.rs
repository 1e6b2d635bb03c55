//! Asks every master all the time whether it leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinSet;

/// Between two questions to one master.
const PERIOD: Duration = Duration::from_millis(5);
/// A frozen master does not answer; it is asked again after this time.
const TIMEOUT: Duration = Duration::from_millis(500);

/// A master said that it leads.
#[derive(Debug, Clone)]
struct Claim {
    master: usize,
    term: u64,
    asked_at: Instant,
    answered_at: Instant,
}

/// Keeps asking until it is dropped or its findings are taken.
#[derive(Debug)]
pub struct LeaderWatch {
    watchers: JoinSet<()>,
    claims: Arc<Mutex<Vec<Claim>>>,
}

impl LeaderWatch {
    /// Begins with the masters at these HTTP addresses; the first is master 1.
    #[must_use]
    pub fn start(addresses: &[String]) -> Self {
        let claims = Arc::new(Mutex::new(Vec::new()));
        let mut watchers = JoinSet::new();
        for (position, address) in addresses.iter().enumerate() {
            let (url, claims) = (format!("http://{address}/leader"), Arc::clone(&claims));
            let http = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap();
            watchers.spawn(async move {
                loop {
                    if let Some(claim) = ask(&http, &url, position + 1).await {
                        claims.lock().push(claim);
                    }
                    tokio::time::sleep(PERIOD).await;
                }
            });
        }
        Self { watchers, claims }
    }

    /// Panics if two masters led at once. Returns how often any master said that it leads.
    ///
    /// Two answers from different masters are never given at the same instant, so the claims are
    /// held against the rule that terms give: once a master has said that it leads in a term,
    /// whoever is asked afterwards and says so too does it in that term or a later one, and each
    /// term has one leader.
    pub async fn finish(mut self) -> usize {
        self.watchers.shutdown().await;
        let mut claims = self.claims.lock().clone();
        claims.sort_by_key(|claim| claim.answered_at);
        let contradiction = contradiction(&claims);
        assert!(contradiction.is_none(), "two leaders at once: {contradiction:?}");
        claims.len()
    }
}

/// Two claims that cannot both be true, of claims in the order of their answers. There are half a
/// million of an hour, so each is looked at once.
fn contradiction(claims: &[Claim]) -> Option<(&Claim, &Claim)> {
    let mut first_of_term = BTreeMap::<u64, &Claim>::new();
    for claim in claims {
        let first = *first_of_term.entry(claim.term).or_insert(claim);
        if first.master != claim.master {
            return Some((first, claim));
        }
    }

    let mut by_question = claims.iter().collect::<Vec<_>>();
    by_question.sort_by_key(|claim| claim.asked_at);
    let mut answered = claims.iter().peekable();
    let mut newest: Option<&Claim> = None;
    for later in by_question {
        while let Some(earlier) = answered.next_if(|one| one.answered_at < later.asked_at) {
            newest = newest.filter(|newest| newest.term > earlier.term).or(Some(earlier));
        }
        if let Some(earlier) = newest.filter(|newest| newest.term > later.term) {
            return Some((earlier, later));
        }
    }
    None
}

async fn ask(http: &reqwest::Client, url: &str, master: usize) -> Option<Claim> {
    let asked_at = Instant::now();
    let response = http.get(url).send().await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let term = response.headers().get("x-cluster-term")?.to_str().ok()?.parse().ok()?;
    Some(Claim { master, term, asked_at, answered_at: Instant::now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked and answered so many milliseconds after the beginning.
    fn claim(begin: Instant, master: usize, term: u64, asked: u64, answered: u64) -> Claim {
        let at = |millis| begin + Duration::from_millis(millis);
        Claim { master, term, asked_at: at(asked), answered_at: at(answered) }
    }

    #[test]
    fn an_old_leader_after_a_new_one_is_a_contradiction() {
        let now = Instant::now();
        let [old, new, late] =
            [claim(now, 1, 1, 0, 1), claim(now, 2, 2, 5, 6), claim(now, 1, 1, 7, 8)];
        assert!(contradiction(&[old.clone(), new.clone()]).is_none());
        assert!(contradiction(&[old, new, late]).is_some());
    }

    #[test]
    fn an_answer_that_was_long_under_way_proves_nothing() {
        let now = Instant::now();
        assert!(contradiction(&[claim(now, 2, 2, 5, 6), claim(now, 1, 1, 0, 8)]).is_none());
    }

    #[test]
    fn a_term_has_one_leader() {
        let now = Instant::now();
        assert!(contradiction(&[claim(now, 1, 2, 0, 1), claim(now, 2, 2, 0, 2)]).is_some());
    }
}
