//! A session while it stands: heartbeats and reports side by side, until something ends it.

use std::convert::Infallible;
use std::time::Duration;

use proto::limits::BATCH_BYTES;
use proto::relays::Relays;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::leader_client::{CallError, HeartbeatAnswer, LeaderClient, LeaderWish, Registered};
use super::route::{ReportWay, Route};
use super::summons::{Summons, next_summons};
use super::{Introduction, SessionEnd, SessionKeeper};
use crate::attempts::Attempts;
use crate::backoff::Backoff;
use crate::clock::{self, Moment};
use crate::identity::Identity;
use crate::leader_finder::LeaderFinder;
use crate::lease::Deadline;
use crate::specs::{Usage, UsageMeter};

const REPORT_RETRY_BASE: Duration = Duration::from_millis(100);
const REPORT_RETRY_CAP: Duration = Duration::from_secs(5);
/// The first usage figures follow soon after the registration.
const FIRST_HEARTBEAT_MAX: Duration = Duration::from_secs(1);
/// Between two heartbeats that ask whether a leader which calls is one: anybody may call.
const DOUBTS_PAUSE: Duration = Duration::from_millis(100);
/// A connection for reports is closed when there was nothing to report for so long: the leader holds
/// none for a worker that is idle.
const REPORT_IDLE_MAX: Duration = Duration::from_secs(10);
/// Time for which a goodbye is tried: several elections.
const GOODBYE_MAX: Duration = Duration::from_secs(3);
/// Time for one route of a goodbye: all routes fit into the whole, should some hang.
const GOODBYE_TRY_MAX: Duration = Duration::from_millis(700);
/// Between two tries when no way leads to a leader.
const GOODBYE_PAUSE: Duration = Duration::from_millis(200);
/// Time that the last results have to be confirmed before the goodbye.
const LAST_REPORT_MAX: Duration = Duration::from_secs(2);

impl SessionKeeper {
    pub(super) async fn keep(&mut self, registered: &Registered) -> SessionEnd {
        let Registered { leader_address, relays, .. } = registered;
        let route = Route::new(Relays::new(leader_address, relays, rand::random()));
        let reports = Reports {
            route: &route,
            registered,
            introduction: &self.introduction,
            attempts: &self.attempts,
        };
        let heartbeats = Heartbeats {
            route: &route,
            client: None,
            registered,
            introduction: &self.introduction,
            attempts: &self.attempts,
            identity: &self.identity,
            usage: &mut self.usage,
            finder: &mut self.finder,
        };
        let summoned = async {
            loop {
                match next_summons(&mut self.summons).await {
                    Summons::Come(call) if self.attempts.stands_with(call.leader, call.term) => {}
                    summons @ (Summons::Come(_) | Summons::Leave(_)) => return summons,
                }
            }
        };
        tokio::select! {
            // After a freeze everything is ready at once, and the lapse comes first.
            biased;
            () = self.lease.passed(Deadline::Lease) => SessionEnd::LeaseLapsed,
            () = self.stop.cancelled() => {
                reports.leave().await;
                SessionEnd::Stopped
            }
            summons = summoned => SessionEnd::Summoned(summons),
            end = heartbeats.run() => end,
            never = reports.run() => match never {},
        }
    }
}

struct Heartbeats<'a> {
    route: &'a Route,
    /// The relay in use.
    client: Option<LeaderClient>,
    registered: &'a Registered,
    introduction: &'a Introduction,
    attempts: &'a Attempts,
    identity: &'a Identity,
    usage: &'a mut UsageMeter,
    finder: &'a mut LeaderFinder,
}

impl Heartbeats<'_> {
    async fn run(mut self) -> SessionEnd {
        let period = self.registered.heartbeat_interval;
        let mut ticks = interval_at(Instant::now() + period.min(FIRST_HEARTBEAT_MAX), period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The registration has told what was so then.
        let mut unfit = self.introduction.unfit.clone();
        unfit.mark_unchanged();
        let mut may_doubt_at = Instant::now();
        loop {
            let doubted = async {
                sleep_until(may_doubt_at).await;
                self.identity.doubted().await;
            };
            tokio::select! {
                _ = ticks.tick() => {}
                // It is told at once, so that no more tasks come. (The sender lives as long as the
                // worker.)
                Ok(()) = unfit.changed() => {}
                () = doubted => may_doubt_at = Instant::now() + DOUBTS_PAUSE,
            }
            if let Err(end) = self.beat().await {
                return end;
            }
        }
    }

    /// Goes through every way to the leader until one leads there.
    async fn beat(&mut self) -> Result<(), SessionEnd> {
        let usage = self.usage.read().await;
        let running = self.attempts.running_count();
        loop {
            let sent_at = clock::now();
            let error = match self.send(usage, running).await {
                Ok(answer) => return self.on_answered(answer, sent_at).await,
                Err(error) => error,
            };
            if !self.route.on_failed() {
                return Err(SessionEnd::LeaderLost { leader: self.route.leader(), error });
            }
            debug!(%error, next = self.route.relay(), "heartbeat not passed on");
        }
    }

    async fn send(&mut self, usage: Usage, running: usize) -> Result<HeartbeatAnswer, CallError> {
        let relay = self.route.relay();
        let client = match self.client.take().filter(|open| open.address() == relay) {
            Some(open) => open,
            None => LeaderClient::new(&relay)?,
        };
        let patience = self.route.patience(self.registered.grant.disconnect);
        let call = client.heartbeat(self.introduction, self.registered, usage, running, patience);
        let answered = call.await;
        self.client = Some(client);
        answered
    }

    async fn on_answered(
        &mut self,
        answer: HeartbeatAnswer,
        sent_at: Moment,
    ) -> Result<(), SessionEnd> {
        self.identity.admit(answer.cluster, answer.term).await?;
        self.route.on_answered(&answer.leader_address, &answer.relays);
        self.finder.on_hint(answer.leader_address);
        if answer.wish == LeaderWish::RegisterAgain {
            return Err(SessionEnd::RegisterAgain);
        }
        let grant = self.registered.grant;
        self.attempts.on_heartbeat_answered(answer.leader, answer.term, sent_at, grant);
        self.finder.on_masters(answer.masters.iter().cloned());
        if let Err(error) = self.identity.remember_masters(answer.masters).await {
            warn!(%error, "masters not remembered");
        }
        // The lease may have lapsed while the answer was under way.
        self.attempts.session().map(drop).ok_or(SessionEnd::LeaseLapsed)
    }
}

#[derive(Clone, Copy)]
struct Reports<'a> {
    route: &'a Route,
    registered: &'a Registered,
    introduction: &'a Introduction,
    attempts: &'a Attempts,
}

impl Reports<'_> {
    /// Reports results, one report at a time. Whether the leader is lost is for the heartbeats to
    /// find out: they try every way.
    async fn run(self) -> Infallible {
        let mut way = ReportWay::new(self.route);
        let mut backoff = Backoff::new(REPORT_RETRY_BASE, REPORT_RETRY_CAP);
        loop {
            match self.report_once(&mut way).await {
                Ok(0) => backoff.on_succeeded(),
                Ok(unsettled) => {
                    debug!(results = unsettled, "results not settled yet, reporting them again");
                    sleep(backoff.on_failed(rand::random())).await;
                }
                Err(error) if error.is_unreachable() => {
                    debug!(%error, "leader not reached with results");
                    if !way.divert() {
                        sleep(backoff.on_failed(rand::random())).await;
                    }
                }
                Err(error) => {
                    warn!(%error, "results not reported");
                    sleep(backoff.on_failed(rand::random())).await;
                }
            }
        }
    }

    /// Waits for results and reports them; how many were not settled.
    async fn report_once(self, way: &mut ReportWay<'_>) -> Result<usize, CallError> {
        let results = loop {
            match timeout(REPORT_IDLE_MAX, self.attempts.next_report(BATCH_BYTES)).await {
                Ok(results) => break results,
                Err(_) => way.rest(),
            }
        };
        let count = results.len();
        let client = way.client()?;
        let confirmed = tokio::select! {
            confirmed = client.report(self.introduction, self.registered, results) => confirmed?,
            // A leader that hangs is not waited for when there is another.
            () = self.route.moved() => return Ok(count),
        };
        self.attempts.confirm(&confirmed);
        Ok(count.saturating_sub(confirmed.len()))
    }

    /// Reports what is left, and says goodbye.
    async fn leave(self) {
        let last_reports = async {
            tokio::select! {
                never = self.run() => match never {},
                () = self.attempts.all_confirmed() => {}
            }
        };
        if timeout(LAST_REPORT_MAX, last_reports).await.is_err() {
            warn!("last results not confirmed, they stay in the spool");
        }
        match timeout(GOODBYE_MAX, self.say_goodbye()).await {
            Ok(()) => info!("said goodbye to the leader"),
            Err(_) => warn!("no leader reached for a goodbye"),
        }
    }

    /// Says goodbye by any way that leads to a leader, as soon as there is one.
    async fn say_goodbye(self) {
        while let Err(error) = self.try_goodbye().await {
            debug!(%error, master = self.route.relay(), "goodbye not passed on");
            if !self.route.on_failed() {
                sleep(GOODBYE_PAUSE).await;
            }
        }
    }

    async fn try_goodbye(self) -> Result<(), CallError> {
        let client = LeaderClient::new(&self.route.relay())?;
        client.say_goodbye(self.introduction, self.registered, GOODBYE_TRY_MAX).await
    }
}
