//! Tells which issuer the cluster has, and which masters can issue with it.

use cluster_state::{Fingerprint, IssuerRecord, MasterId};
use futures_util::future::join_all;
use proto::certificate_client::CertificateClient;
use proto::problem::Problem;
use raft_store::Member;

use super::{Answer, Operations, Reading, RotationView, View};
use crate::peer::forwarded;

/// Holders with revoked certificates that are listed.
const REVOKED_LISTED_MAX: usize = 100;

/// State of certificates in the cluster.
#[derive(Debug)]
pub(crate) struct CertificateView {
    pub(crate) issuer: Option<IssuerRecord>,
    /// Masters, and whether they hold the issuer's key; nothing of those who do not answer.
    pub(crate) masters: Vec<(MasterId, Option<bool>)>,
    /// Number of holders with a certificate that is good.
    pub(crate) holders: usize,
    /// Some of whose certificates are revoked.
    pub(crate) revoked: Vec<String>,
    /// Change of the authority that is under way.
    pub(crate) rotation: Option<View<RotationView, forwarded::RotationStatus>>,
}

impl Operations {
    /// Returns the issuer, the masters that hold its key, and the numbers of certificates.
    pub(crate) async fn certificate_status(
        &self,
        reading: Reading,
    ) -> Result<Answer<CertificateView>, Problem> {
        let mark = self.reach(reading).await?;
        let now = self.node().clock().now();
        let (issuer, holders, revoked) = self.node().reader().with(|state| {
            let holders = state.holders().filter(|holder| holder.is_bound(now)).count();
            let revoked = state.holders().filter(|holder| holder.revoked_at.is_some());
            let revoked = revoked.take(REVOKED_LISTED_MAX).map(|holder| holder.id.to_string());
            (state.issuer().cloned(), holders, revoked.collect())
        });
        let digest = issuer.as_ref().map(|issuer| issuer.digest);
        let members = self.node().members();
        let asked = members.iter().map(|member| self.holds_key(member, digest));
        let mut masters = join_all(asked).await;
        masters.sort_unstable_by_key(|(name, _)| *name);
        let rotation = self.rotation_progress().await?;
        Ok(mark.on(CertificateView { issuer, masters, holders, revoked, rotation }))
    }

    /// Returns true if this master holds the key of the cluster's issuer; nothing where there is none.
    pub(crate) fn holds_issuer_key(&self) -> Option<bool> {
        let record = self.issuer_record().ok()?;
        Some(self.issuer().held_of(&record.digest).is_some())
    }

    async fn holds_key(
        &self,
        member: &Member,
        digest: Option<Fingerprint>,
    ) -> (MasterId, Option<bool>) {
        if member.node == self.node().node_id() {
            let holds = digest.is_some_and(|digest| self.issuer().held_of(&digest).is_some());
            return (member.name, Some(holds));
        }
        let Ok(client) = CertificateClient::new(self.node().dialer(), &member.address) else {
            return (member.name, None);
        };
        let answered = client.held_issuer().await.ok();
        let holds =
            answered.map(|held| digest.is_some_and(|digest| held.digest.as_slice() == digest));
        (member.name, holds)
    }
}
