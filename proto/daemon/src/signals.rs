//! Signals that ask a program to stop.

use std::future::poll_fn;
use std::io;
use std::task::Poll;

use tokio::signal::unix::{self, SignalKind};

/// A signal that a program obeys by stopping in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM, from a service manager.
    Terminate,
    /// SIGINT, from a terminal.
    Interrupt,
    /// SIGHUP, of a terminal that is gone.
    Hangup,
}

/// Signals that are awaited in place of what they would do to the process.
#[derive(Debug)]
pub struct StopSignals {
    awaited: Vec<(StopSignal, unix::Signal)>,
}

impl StopSignal {
    /// Every signal by which people and service managers end a program.
    pub const ALL: [Self; 3] = [Self::Terminate, Self::Interrupt, Self::Hangup];

    /// Returns the name as the system has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        }
    }

    const fn kind(self) -> SignalKind {
        match self {
            Self::Terminate => SignalKind::terminate(),
            Self::Interrupt => SignalKind::interrupt(),
            Self::Hangup => SignalKind::hangup(),
        }
    }
}

impl StopSignals {
    /// Awaits these signals from now on.
    pub fn listen(signals: impl IntoIterator<Item = StopSignal>) -> io::Result<Self> {
        let awaited = signals.into_iter().map(|signal| Ok((signal, unix::signal(signal.kind())?)));
        Ok(Self { awaited: awaited.collect::<io::Result<_>>()? })
    }

    /// Waits for one of the signals.
    pub async fn next(&mut self) -> StopSignal {
        poll_fn(|context| {
            let arrived = self
                .awaited
                .iter_mut()
                .find_map(|(name, signal)| signal.poll_recv(context).is_ready().then_some(*name));
            arrived.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}
