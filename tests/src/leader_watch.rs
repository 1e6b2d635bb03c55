//! Asks every master all the time whether it leads.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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
                        claims.lock().unwrap().push(claim);
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
        let mut claims = self.claims.lock().unwrap().clone();
        claims.sort_by_key(|claim| claim.answered_at);
        for (position, later) in claims.iter().enumerate() {
            for earlier in claims.iter().take(position) {
                let is_same_term = earlier.term == later.term;
                assert!(
                    !is_same_term || earlier.master == later.master,
                    "two leaders of one term: {earlier:?} and {later:?}"
                );
                let is_before = earlier.answered_at < later.asked_at;
                assert!(
                    !is_before || earlier.term <= later.term,
                    "an older leader after a newer one: {earlier:?}, then {later:?}"
                );
            }
        }
        claims.len()
    }
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
