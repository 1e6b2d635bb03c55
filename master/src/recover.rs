//! `master recover`: makes a cluster of one of what is left of a cluster that has lost its quorum.

mod report;

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, Command};
use cluster_state::MasterId;
use credentials::CredentialsError;
use daemon::config::Value;
use proto::channel::InvalidAddress;
use raft_store::{
    Content, PlanError, Recovery, RecoveryPlan, RecoveryReport, RestoreError, StillAlive,
    check_is_gone, inspect, present_members,
};

use self::report::{Outcome, Target};
use crate::dialing::TlsFlags;
use crate::inspect::{Form, Told};

/// Order to recover a cluster.
#[derive(Debug, Args)]
pub struct RecoverOrder {
    /// Data directories of the cluster's masters: all that can still be read
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,
    /// Data directory to write; empty, or not there yet
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Number of the master that starts there [default: that of the chosen directory]
    #[arg(long, value_name = "ID", value_parser = MasterId::parse)]
    node_id: Option<MasterId>,
    /// Address of its gRPC server, as the others reach it [default: the one that the members know]
    #[arg(long, value_name = "HOST:PORT")]
    grpc_advertise: Option<String>,
    /// Number of the generation that begins; greater than that of any cluster that was recovered
    /// from these directories before [default: the next one]
    #[arg(long, value_name = "NUMBER")]
    generation: Option<u32>,
    /// Name of the cluster, which is asked for otherwise
    #[arg(long, value_name = "CLUSTER_NAME")]
    yes: Option<String>,
    /// Recover although masters of the cluster answer at the addresses that the directory knows, and
    /// end them
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    tls: TlsFlags,
    /// Form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

/// Returns the command for the help and the parser.
pub(crate) fn command() -> Command {
    RecoverOrder::augment_args(Command::new("recover")).about(
        "Starts a one-master cluster from what is left of a cluster that has lost its quorum for good; \
         the directories are only read",
    )
}

/// Reason that nothing was recovered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverFailure {
    /// No directory can be chosen.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The master is none of the cluster's, so its address is unknown.
    #[error("the cluster knows no address of master {0}: name one with --grpc-advertise")]
    NoAddress(MasterId),
    /// The address is malformed.
    #[error("--grpc-advertise: {0}")]
    Address(#[from] InvalidAddress),
    /// Nobody can be asked.
    #[error(
        "nothing was written: give --yes with the name of the cluster when there is no terminal"
    )]
    NobodyToAsk,
    /// Another cluster was meant.
    #[error("nothing was written: the cluster is '{expected}', not '{typed}'")]
    OtherName { expected: String, typed: String },
    /// The cluster has not lost its quorum, or has gone on.
    #[error(
        "nothing was written: {0}; if they are a cluster, start this master with the directory that it \
         has, or with an empty one; if not, stop them, and give their directories, too, or --force"
    )]
    Alive(#[from] StillAlive),
    /// The certificates cannot be used.
    #[error(transparent)]
    Certificates(#[from] CredentialsError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] RestoreError),
    /// Nobody can be told.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

impl RecoverFailure {
    /// Returns the exit code: 1 error, 2 something must be said, 4 the directory is in use, another
    /// cluster was meant or the cluster is alive, 9 a directory cannot be used.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Plan(PlanError::Nothing | PlanError::Unusable { .. }) => 9,
            Self::Write(RestoreError::InUse(_)) | Self::OtherName { .. } | Self::Alive(_) => 4,
            Self::NoAddress(_) | Self::Address(_) | Self::NobodyToAsk | Self::Certificates(_) => 2,
            Self::Plan(_) | Self::Write(_) | Self::Output(_) => 1,
        }
    }
}

/// Shows what is left, asks, and writes the directory.
///
/// # Errors
///
/// If nothing was written, or nobody can be told.
pub(crate) fn run(order: &RecoverOrder) -> Result<(), RecoverFailure> {
    let inspections = order.directories.iter().map(|dir| inspect(dir)).collect::<Vec<_>>();
    let found = inspections.iter().map(Told::of).collect::<Vec<_>>();
    let mut stderr = io::stderr();
    for told in &found {
        writeln!(stderr, "{}", told.text())?;
    }

    let plan = RecoveryPlan::of(&inspections)?;
    let name = order.node_id.unwrap_or(plan.content.identity.name);
    let address = order.grpc_advertise.as_deref().or_else(|| plan.address_of(name));
    let address = address.ok_or(RecoverFailure::NoAddress(name))?.to_owned();
    proto::channel::check_address(&address)?;
    let target = Target { data_dir: &order.data_dir, name, address: &address };
    stderr.write_all(report::proposal(&plan, &target).as_bytes())?;

    check_nobody_is_ended(order, plan.content)?;
    let cluster_name = confirm(order, &plan)?;
    let recovery = Recovery {
        source: plan.directory.to_owned(),
        data_dir: order.data_dir.clone(),
        name,
        address: address.clone(),
        cluster_name,
        generation: order.generation,
    };
    let report = recovery.run()?;
    Ok(tell(order, &Outcome::of(&plan, &target, &report), &report)?)
}

/// Asks the other masters, so that nobody ends a cluster by mistake that has its quorum.
fn check_nobody_is_ended(order: &RecoverOrder, content: &Content) -> Result<(), RecoverFailure> {
    let present = present_members(content, &order.tls.dialer()?)?;
    let alive = check_is_gone(content, &present);
    if !order.force {
        return Ok(alive?);
    }
    if let Err(alive) = alive {
        writeln!(io::stderr(), "{alive}: going on, because of --force")?;
    }
    Ok(())
}

/// Returns the name of the cluster, once somebody has typed it.
fn confirm(order: &RecoverOrder, plan: &RecoveryPlan<'_>) -> Result<String, RecoverFailure> {
    // A directory of release 0.2.0 does not know the name.
    let id = plan.content.cluster.map(|cluster| cluster.to_string());
    let expected = plan.cluster_name.map(str::to_owned).or(id).unwrap_or_default();
    let typed = match &order.yes {
        Some(name) => name.clone(),
        None if io::stdin().is_terminal() => {
            let what = if plan.cluster_name.is_some() { "name" } else { "id" };
            write!(io::stderr(), "\nType the {what} of the cluster to go on: ")?;
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line)?;
            line.trim().to_owned()
        }
        None => return Err(RecoverFailure::NobodyToAsk),
    };
    if typed == expected {
        // Without a name, the master notes the one of its configuration when it starts.
        return Ok(plan.cluster_name.unwrap_or_default().to_owned());
    }
    Err(RecoverFailure::OtherName { expected, typed })
}

fn tell(order: &RecoverOrder, outcome: &Outcome, report: &RecoveryReport) -> io::Result<()> {
    let text = match order.output {
        Form::Json => serde_json::to_string_pretty(outcome)?,
        Form::Text => outcome.text(report),
    };
    writeln!(io::stdout(), "{text}")
}
