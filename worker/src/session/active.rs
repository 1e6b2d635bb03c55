//! Runs an active session: heartbeats and reports in parallel, until something ends it.

use std::convert::Infallible;
use std::time::Duration;

use proto::limits::BATCH_BYTES;
use proto::relays::Relays;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::leader_signal::{LeaderSignal, next_signal};
use super::master_client::{
    CallError, HeartbeatAnswer, HeartbeatVerdict, MasterClient, Registered, Reported,
};
use super::route::{ReportWay, Route};
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
/// Limit of the first heartbeat's delay: usage figures should follow soon after the registration.
const FIRST_HEARTBEAT_MAX: Duration = Duration::from_secs(1);
/// Pause between two heartbeats that verify a calling leader: anybody may call.
const DOUBTS_PAUSE: Duration = Duration::from_millis(100);
/// Idle time after which a connection for reports is closed: the leader holds none for an idle
/// worker.
const REPORT_IDLE_MAX: Duration = Duration::from_secs(10);
/// Time for which a goodbye is tried: several elections.
const GOODBYE_MAX: Duration = Duration::from_secs(3);
/// Time for one route of a goodbye: all routes fit into the whole, should some hang.
const GOODBYE_TRY_MAX: Duration = Duration::from_millis(700);
/// Pause between two tries when no route reaches a leader.
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

        let signaled = async {
            loop {
                match next_signal(&mut self.signals).await {
                    LeaderSignal::Register(call)
                        if self.attempts.stands_with(call.leader, call.term) => {}
                    signal @ (LeaderSignal::Register(_) | LeaderSignal::Unregister(_)) => {
                        return signal;
                    }
                }
            }
        };

        tokio::select! {
            // After a freeze everything is ready at the same time, and the lapse comes first.
            biased;
            () = self.lease.passed(Deadline::Lease) => SessionEnd::LeaseLapsed,
            () = self.stop.cancelled() => {
                reports.leave().await;
                SessionEnd::Stopped
            }
            signal = signaled => SessionEnd::Signaled(signal),
            end = heartbeats.run() => end,
            never = reports.run() => match never {},
        }
    }
}

struct Heartbeats<'a> {
    route: &'a Route,
    /// The relay in use.
    client: Option<MasterClient>,
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

        // The registration has told the state at that time.
        let mut unfit = self.introduction.unfit.clone();
        unfit.mark_unchanged();
        let mut may_doubt_at = Instant::now();

        let mut offer = self.introduction.offer.clone();
        let told = &self.registered.offer;

        loop {
            let doubted = async {
                sleep_until(may_doubt_at).await;
                self.identity.doubted().await;
            };
            let other_devices = async { offer.wait_for(|now| now != told).await.map(drop) };

            tokio::select! {
                _ = ticks.tick() => {}
                // Sent immediately, so that no more tasks come. (The sender lives as long as the
                // worker.)
                Ok(()) = unfit.changed() => {}
                Ok(()) = other_devices => return SessionEnd::DevicesChanged,
                () = doubted => may_doubt_at = Instant::now() + DOUBTS_PAUSE,
            }
            if let Err(end) = self.beat().await {
                return end;
            }
        }
    }

    /// Tries every route to the leader until one works.
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
            debug!(%error, next = self.route.relay(), "cannot pass on heartbeat");
        }
    }

    async fn send(&mut self, usage: Usage, running: usize) -> Result<HeartbeatAnswer, CallError> {
        let relay = self.route.relay();
        let client = match self.client.take().filter(|open| open.address() == relay) {
            Some(open) => open,
            None => MasterClient::new(&self.introduction.dialer, &relay)?,
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
        if answer.verdict == HeartbeatVerdict::RegisterAgain {
            return Err(SessionEnd::RegisterAgain);
        }
        let grant = self.registered.grant;
        self.attempts.on_heartbeat_answered(answer.leader, answer.term, sent_at, grant);
        self.finder.on_masters(answer.masters.iter().cloned());
        if let Err(error) = self.identity.remember_masters(answer.masters).await {
            warn!(%error, "cannot store the addresses of the masters");
        }
        // The lease may have lapsed before the answer came.
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
    /// Reports results, one report at a time. Heartbeats find out whether the leader is lost: they
    /// try every route.
    async fn run(self) -> Infallible {
        let mut way = ReportWay::new(&self.introduction.dialer, self.route);
        let mut backoff = Backoff::new(REPORT_RETRY_BASE, REPORT_RETRY_CAP);

        loop {
            match self.report_once(&mut way).await {
                Ok(0) => backoff.on_succeeded(),
                Ok(unsettled) => {
                    debug!(results = unsettled, "results not settled yet, reporting them again");
                    sleep(backoff.on_failed(rand::random())).await;
                }
                Err(error) if error.is_unreachable() => {
                    debug!(%error, "cannot reach the leader with results");
                    if !way.divert() {
                        sleep(backoff.on_failed(rand::random())).await;
                    }
                }
                Err(error) => {
                    warn!(%error, "cannot report results");
                    sleep(backoff.on_failed(rand::random())).await;
                }
            }
        }
    }

    /// Waits for results and reports them; returns the number of those that were not settled.
    async fn report_once(self, way: &mut ReportWay<'_>) -> Result<usize, CallError> {
        let report = loop {
            match timeout(REPORT_IDLE_MAX, self.attempts.next_report(BATCH_BYTES)).await {
                Ok(report) => break report,
                Err(_) => way.rest(),
            }
        };
        let count = report.results.len();
        let client = way.client()?;
        let Reported { confirmed, started } = tokio::select! {
            answer = client.report(self.introduction, self.registered, report) => answer?,
            // A leader that hangs is not waited for when there is another.
            () = self.route.moved() => return Ok(count),
        };
        self.attempts.confirm(&confirmed);
        self.attempts.on_announced(&started);
        Ok(count.saturating_sub(confirmed.len()))
    }

    /// Reports the remaining results, and says goodbye.
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
            Err(_) => warn!("cannot reach a leader for a goodbye"),
        }
    }

    /// Says goodbye by any route that reaches a leader, as soon as there is one.
    async fn say_goodbye(self) {
        while let Err(error) = self.try_goodbye().await {
            debug!(%error, master = self.route.relay(), "cannot pass on goodbye");
            if !self.route.on_failed() {
                sleep(GOODBYE_PAUSE).await;
            }
        }
    }

    async fn try_goodbye(self) -> Result<(), CallError> {
        let client = MasterClient::new(&self.introduction.dialer, &self.route.relay())?;
        client.say_goodbye(self.introduction, self.registered, GOODBYE_TRY_MAX).await
    }
}
