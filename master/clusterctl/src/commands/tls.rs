//! `tls`: makes an authority, and certificates that it vouches for; that needs no cluster.

use std::fs;
use std::path::{Path, PathBuf};

use credentials::{Description, describe};
use humantime::format_rfc3339_seconds;
use serde::Serialize;

use super::{Context, certificates};
use crate::args::{CertArgs, TlsCommand};
use crate::authority::{self, AuthorityDir, Order, ROOT_KEY};
use crate::failure::Failure;
use crate::output::{Style, columns};

const DAY_SECONDS: u64 = 24 * 3_600;

/// Files that were made, for display.
#[derive(Debug, Serialize)]
struct Made {
    cluster: String,
    /// SHA-256 of the root, in hexadecimal digits.
    digest: String,
    files: Vec<PathBuf>,
    not_after: String,
}

/// A certificate of a file, for display.
#[derive(Debug, Serialize)]
struct Shown {
    file: PathBuf,
    holder: String,
    kind: &'static str,
    hosts: Vec<String>,
    not_before: String,
    not_after: String,
    digest: String,
}

pub(super) async fn run(context: &Context, command: TlsCommand) -> Result<(), Failure> {
    match command {
        TlsCommand::Init { dir, cluster } => init(context, &dir, &cluster),
        TlsCommand::Issuer { dir, cluster, force } => {
            renew_issuer(context, &dir, cluster.as_deref(), force)
        }
        TlsCommand::Cert(args) => issue(context, &args),
        TlsCommand::Show { files } => show(context, &files),
        TlsCommand::Adopt { dir, force } => certificates::adopt(context, &dir, force).await,
        TlsCommand::RotateCa(args) => certificates::rotate(context, &args).await,
        TlsCommand::Status => certificates::status(context).await,
        TlsCommand::Revoke { role, name } => certificates::revoke(context, role, name).await,
    }
}

fn init(context: &Context, dir: &Path, cluster: &str) -> Result<(), Failure> {
    let made = AuthorityDir::create(dir, cluster)?;
    let root = describe(made.root()).map_err(|source| certificate_failure(dir, source))?;
    let until = root.first().map(|root| format_rfc3339_seconds(root.not_after).to_string());
    let made = Made {
        cluster: cluster.to_owned(),
        digest: made.authority().digest(),
        files: authority::FILES.map(|name| dir.join(name)).to_vec(),
        not_after: until.unwrap_or_default(),
    };
    context.output.data(&made, |made, _| {
        let dir = dir.display();
        format!(
            "authority of {}, valid until {}\nSHA-256 {}\n\n{dir}/{ROOT_KEY} is needed only for \
             making another issuer: put it where nobody can read it.\nnext: clusterctl tls cert \
             --ca {dir} master 1",
            made.cluster, made.not_after, made.digest
        )
    })
}

fn renew_issuer(
    context: &Context,
    dir: &Path,
    cluster: Option<&str>,
    replaces: bool,
) -> Result<(), Failure> {
    let renewed = AuthorityDir::renew_issuer(dir, cluster, replaces)?;
    let made = Made {
        cluster: renewed.authority().cluster().to_owned(),
        digest: renewed.authority().digest(),
        files: authority::ISSUER_FILES.map(|name| dir.join(name)).to_vec(),
        not_after: format_rfc3339_seconds(renewed.authority().not_after()).to_string(),
    };
    context.output.data(&made, |made, _| {
        format!(
            "another issuer of {}, valid until {}\nSHA-256 of the root {}\n\n{ROOT_KEY} is not \
             needed any more: put it where nobody can read it.",
            made.cluster, made.not_after, made.digest
        )
    })
}

fn issue(context: &Context, args: &CertArgs) -> Result<(), Failure> {
    let CertArgs { role, name, ca, out, hosts, life, force } = args;
    let authority = AuthorityDir::open(ca)?;
    let order = Order { role: *role, name, hosts, life: *life, replaces: *force };
    let issued = authority.issue(&order, out)?;
    let files = issued.files;
    let made = Made {
        cluster: authority.authority().cluster().to_owned(),
        digest: authority.authority().digest(),
        files: vec![files.certificate, files.key, files.trusted],
        not_after: format_rfc3339_seconds(issued.not_after).to_string(),
    };
    let left = issued.not_after.duration_since(authority::now()).unwrap_or_default();
    context.output.data(&made, |made, _| {
        let files = made.files.iter().map(|file| format!("\n  {}", file.display()));
        format!(
            "{}, valid until {} ({} days){}",
            issued.holder,
            made.not_after,
            left.as_secs() / DAY_SECONDS,
            files.collect::<String>()
        )
    })
}

fn show(context: &Context, files: &[PathBuf]) -> Result<(), Failure> {
    let mut shown = Vec::new();
    for file in files {
        let described = describe(&read(file)?);
        let described = described.map_err(|source| certificate_failure(file, source))?;
        shown.extend(described.into_iter().map(|certificate| row(file, certificate)));
    }
    context.output.data(&shown, |shown, style| table(shown, style))
}

fn row(file: &Path, certificate: Description) -> Shown {
    let Description { subject, holder, hosts, is_authority, not_before, not_after, digest } =
        certificate;
    Shown {
        file: file.to_owned(),
        holder: holder.unwrap_or(subject),
        kind: if is_authority { "authority" } else { "holder" },
        hosts,
        not_before: format_rfc3339_seconds(not_before).to_string(),
        not_after: format_rfc3339_seconds(not_after).to_string(),
        digest,
    }
}

fn table(shown: &[Shown], style: Style) -> String {
    let rows = shown.iter().map(|row| {
        [
            row.holder.clone(),
            row.kind.to_owned(),
            row.not_after.clone(),
            if row.hosts.is_empty() { "-".to_owned() } else { row.hosts.join(",") },
            row.digest.chars().take(16).collect(),
        ]
    });
    columns(["HOLDER", "KIND", "VALID UNTIL", "HOSTS", "SHA-256"], rows.collect(), style)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::ReadFile { path: path.to_owned(), source })
}

fn certificate_failure(path: &Path, source: credentials::CertificateFault) -> Failure {
    Failure::Certificate { path: path.to_owned(), source }
}
