//! The issuer that an admin hands over: it is tried out before the cluster adopts it.

use cluster_state::{AdoptIssuer, Command, IssuerRecord, RootRecord, State};
use credentials::{
    Authority, CertificateRequest, Identity, IssueError, Role, Secret, draw_key, request,
    root_of_digest, root_of_issuer,
};
use proto::problem::{ErrorKind, Problem};

use super::certificates::{SERIAL_FIRST, check_secured, internal, refused, unusable};
use super::{Answer, Operations, Reading};
use crate::access::{Caller, Origin};
use crate::issuer::{KeyError, hexadecimal, timestamp};

/// An issuer that an admin hands over.
#[derive(Debug)]
pub(crate) struct NewIssuer {
    pub(crate) roots: String,
    pub(crate) certificate: String,
    pub(crate) key: Secret,
    /// True to adopt it although some hold certificates of another root, who are locked out.
    pub(crate) force: bool,
}

impl Operations {
    /// Makes an issuer that of the cluster, after a trial: what it issues must be believed here.
    pub(crate) async fn adopt_issuer(
        &self,
        new: NewIssuer,
        over: &Origin,
        by: &Caller,
    ) -> Result<Answer<()>, Problem> {
        check_secured(over)?;
        let NewIssuer { roots, certificate, key, force } = new;
        let authority = Authority::open(&roots, &certificate, &key).map_err(|e| unusable(&e))?;
        self.try_out(&authority, &roots)?;
        let digest = authority.issuer_digest().map_err(|error| unusable(&error))?;
        let not_after = timestamp(authority.not_after());

        let command = Command::AdoptIssuer(AdoptIssuer { roots, certificate, digest, not_after });
        self.order_with_key((command, force), key, by).await
    }

    /// Gives an order that brings the key of an issuer: the key is on disk before the order, and held
    /// after it.
    pub(super) async fn order_with_key(
        &self,
        (command, force): (Command, bool),
        key: Secret,
        by: &Caller,
    ) -> Result<Answer<()>, Problem> {
        let _turn = self.issuer().adopting().await;
        self.reach(Reading::default()).await?;
        // The files have no room for a third key.
        if self.issuer_record().is_ok_and(|record| record.rotation.is_some()) {
            return Err(Problem::from(&cluster_state::Rejection::RotationUnderWay));
        }
        // By what is on record now, which this master may not have known before.
        if let (Command::AdoptIssuer(adoption), Ok(record)) = (&command, self.issuer_record()) {
            let now = self.node().clock().now();
            let has_holders = |state: &State| state.holders().any(|holder| holder.is_bound(now));
            let counts = !force && self.node().reader().with(has_holders);
            check_succeeds(&record, &adoption.roots, counts)?;
        }
        let files = self.issuer().files().clone();
        let put_aside = tokio::task::spawn_blocking(move || files.put_aside(&key)).await;
        put_aside.map_err(|error| internal(&error))?.map_err(|error| key_problem(&error))?;
        let mark = self.order(command, by).await?.mark;

        self.reach(Reading::default()).await?;
        self.issuer().look(self.node()).await.map_err(|error| key_problem(&error))?;
        Ok(mark.on(()))
    }

    /// Returns a certificate that an issuer signs for a key that nobody has.
    pub(super) fn trial(&self, authority: &Authority) -> Result<String, IssueError> {
        let (now, name) = (credentials::now(), self.node().id().to_string());
        let holder = Identity::new(authority.cluster(), Role::Master, &name)?;
        let request = CertificateRequest::read(&request(&draw_key()?)?)?;
        let life = authority.end_of(self.issuer().life(), now)?;
        authority.certify(&request, (&holder, &[]), &[SERIAL_FIRST], (now, life))
    }

    /// Refuses an issuer whose certificates this master, and so others, would not believe.
    fn try_out(&self, authority: &Authority, roots: &str) -> Result<(), Problem> {
        let refused = |detail: String| refused(ErrorKind::InvalidValue, detail);
        let credentials = self.issuer().credentials().ok_or_else(|| {
            refused("this master has no certificate, so its cluster can issue none".to_owned())
        })?;
        let chain = self.trial(authority).map_err(|error| unusable(&error))?;
        credentials.check_chain(&chain).map(drop).map_err(|error| {
            refused(format!(
                "masters would not believe what this issuer signs: {error}; its root must be among \
                 those of their tls.ca"
            ))
        })?;

        // Workers will trust what is adopted, and nothing else.
        credentials.check_believed_by(roots).map_err(|error| {
            refused(format!(
                "workers would not believe this master any more: {error}; give a ca.crt that also holds \
                 the root of the masters' certificates"
            ))
        })
    }
}

/// Refuses to adopt roots of which the cluster has dropped one; and where somebody has a certificate of the
/// present issuer, also those under which it would be worth nothing.
fn check_succeeds(record: &IssuerRecord, roots: &str, has_holders: bool) -> Result<(), Problem> {
    let is_among = |root: &RootRecord| root_of_digest(roots, &hexadecimal(&root.digest)).is_some();
    let detail = if record.dropped_roots().any(is_among) {
        "ca.crt holds a root that this cluster has dropped: to come back to its authority, use clusterctl tls \
         rotate-ca"
    } else if has_holders && root_of_issuer(roots, &record.certificate).is_none() {
        "ca.crt lacks the root of the present issuer, whose certificates workers hold: change the authority \
         with clusterctl tls rotate-ca, or have ca.crt hold both roots until all certificates are replaced; \
         --force locks their holders out"
    } else {
        return Ok(());
    };
    Err(refused(ErrorKind::InvalidValue, detail.to_owned()))
}

fn key_problem(error: &KeyError) -> Problem {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    internal(&format_args!("{error}{}", cause.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use cluster_state::{Fingerprint, LogIndex, Timestamp};
    use credentials::{NewAuthority, joined_roots};

    use super::*;

    fn authority() -> NewAuthority {
        Authority::create("prod", credentials::now()).unwrap()
    }

    fn record(of: &NewAuthority, dropped: Vec<RootRecord>) -> IssuerRecord {
        IssuerRecord {
            roots: of.root.clone(),
            certificate: of.issuer.clone(),
            digest: [1; 32],
            not_after: Timestamp(1),
            adopted_at: Timestamp(0),
            index: LogIndex(1),
            rotation: None,
            dropped,
        }
    }

    #[test]
    fn an_adoption_keeps_the_root_of_the_issuer_before() {
        let (present, other) = (authority(), authority());
        let record = record(&present, Vec::new());
        check_succeeds(&record, &present.root, true).unwrap();
        check_succeeds(&record, &joined_roots(&other.root, &present.root), true).unwrap();
        check_succeeds(&record, &other.root, false).unwrap();
        let refused = check_succeeds(&record, &other.root, true).unwrap_err().to_string();
        assert!(refused.contains("rotate-ca"), "{refused}");
    }

    #[test]
    fn an_adoption_brings_no_root_back_that_was_dropped() {
        let (present, gone) = (authority(), authority());
        let opened = Authority::open(&gone.root, &gone.issuer, &gone.issuer_key).unwrap();
        let digest: Fingerprint = opened.root_digest();
        let record = record(&present, vec![RootRecord { digest, not_after: Timestamp(1) }]);
        let both = joined_roots(&present.root, &gone.root);
        let refused = check_succeeds(&record, &both, false).unwrap_err().to_string();
        assert!(refused.contains("has dropped"), "{refused}");
    }
}
