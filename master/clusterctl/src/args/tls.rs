//! Commands about certificates.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use credentials::Role;

/// Actions on certificates. The first three need no cluster.
#[derive(Debug, Subcommand)]
pub enum TlsCommand {
    /// Make the authority that issues the certificates of a cluster
    #[command(after_help = "DIR holds ca.crt, which everybody trusts; issuer.crt and issuer.key, \
        which `clusterctl tls cert` needs; and ca.key, which is needed only for making another \
        issuer: put it where nobody can read it.\n\nExample:\n  clusterctl tls init prod-ca \
        --cluster prod\n  clusterctl tls cert --ca prod-ca master 1 --host 10.0.0.1")]
    Init {
        /// Directory to make
        dir: PathBuf,
        /// Name of the cluster in certificates: lower-case letters, digits, '.', '-' and '_'
        #[arg(long, value_name = "NAME", default_value = "cloudai")]
        cluster: String,
    },
    /// Make another issuer for an authority, with the key of its root
    #[command(after_help = "Reads ca.crt and ca.key, and writes issuer.crt and issuer.key, which \
        `clusterctl tls cert` uses from then on. Everybody trusts the root already, so nothing else \
        changes: certificates of the issuer before stay good until they end.")]
    Issuer {
        /// Directory of the authority, as `clusterctl tls init` has made it
        dir: PathBuf,
        /// Name of the cluster in certificates [default: that of the issuer before]
        #[arg(long, value_name = "NAME")]
        cluster: Option<String>,
        /// Replace the issuer before
        #[arg(long)]
        force: bool,
    },
    /// Issue a certificate
    #[command(after_help = "Writes ROLE-NAME.crt and ROLE-NAME.key, and ca.crt beside them. The \
        name of a master is its node_id, that of a worker its worker_id.\n\nWhoever has a key may \
        do what its role may, until the certificate ends: `clusterctl tls revoke` has \
        the cluster refuse it before that.")]
    Cert(CertArgs),
    /// Show whom certificates are for and how long they are valid
    Show {
        /// Files to read
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Give the cluster the issuer of an authority: it issues and renews certificates from then on
    #[command(
        after_help = "DIR holds ca.crt, issuer.crt and issuer.key, as `clusterctl tls init` has \
        made them; ca.key is neither read nor sent. The root must be among those of tls.ca of the \
        masters. The key goes to a file of each master (issuer.key in its data directory), and is in \
        no log, snapshot or backup: after a restoration, give it again."
    )]
    Adopt {
        /// Directory of the authority
        dir: PathBuf,
        /// Adopt it although some hold certificates of the cluster under another root, who are locked out
        #[arg(long)]
        force: bool,
    },
    /// Change the authority of a cluster that issues certificates by itself, without a pause
    #[command(
        after_help = "With DIR, the change begins: the cluster trusts both authorities, and once every         master and every worker does, the new one issues and all renew their certificates. `clusterctl         tls status` shows how far that is and who is left; --finish then drops the authority before.\n\n\
        DIR holds ca.crt, issuer.crt and issuer.key, as `clusterctl tls init` has made them with the         same --cluster. The file of --cacert must hold both roots first: masters show certificates of         the new authority soon.\n\nExample:\n  clusterctl tls init prod-ca-2 --cluster prod\n  cat         prod-ca-2/ca.crt >> me/ca.crt\n  clusterctl tls rotate-ca prod-ca-2\n  clusterctl tls status\n  \
        clusterctl tls rotate-ca --finish"
    )]
    RotateCa(RotateArgs),
    /// Show the cluster's issuer, the masters that hold its key, and whose certificates are revoked
    Status,
    /// Revoke all certificates that a holder has: the cluster refuses them from now on
    #[command(
        after_help = "Certificates are revoked that are valid from now or earlier, made by hand \
        or issued by the cluster. One that is made by hand within the next five minutes is refused, \
        too: certificates are valid from five minutes before they are made."
    )]
    Revoke {
        /// Role: master, worker, viewer, submitter, operator or admin
        role: Role,
        /// Name of the holder
        name: String,
    },
}

/// A step of a change of the authority.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("step").required(true).args(["dir", "proceed", "finish", "abort"])))]
pub struct RotateArgs {
    /// Directory of the new authority
    pub dir: Option<PathBuf>,
    /// Have the new authority issue, although a worker does not trust it yet: who is offline needs a
    /// new join token then
    #[arg(long)]
    pub proceed: bool,
    /// Drop the authority before
    #[arg(long)]
    pub finish: bool,
    /// Go back to the authority before; if the new one has issued, all renew once more, and --finish
    /// drops the new one
    #[arg(long)]
    pub abort: bool,
    /// Finish although somebody still has a certificate of the authority before, who is locked out; or
    /// proceed although a master does not trust both, which is cut off
    #[arg(long, conflicts_with_all = ["dir", "abort"])]
    pub force: bool,
}

/// A certificate to issue.
#[derive(Debug, Args)]
pub struct CertArgs {
    /// Role: master, worker, viewer, submitter, operator or admin
    pub role: Role,
    /// Name of the holder
    pub name: String,
    /// Directory of the authority, as `clusterctl tls init` has made it
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub ca: PathBuf,
    /// Directory to write to
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
    /// Host name or address by which browsers and other programs reach a master; may be repeated.
    /// Masters, workers and clusterctl look at the name of the holder only
    #[arg(long = "host", value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Time for which it is valid [default: 90days for people, 1year for masters and workers]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub life: Option<Duration>,
    /// Replace the files if they exist
    #[arg(long)]
    pub force: bool,
}
