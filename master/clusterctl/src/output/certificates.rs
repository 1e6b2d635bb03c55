//! Formats the state of certificates.

use proto::v1;

use super::table::{Style, columns};

/// Formats the issuer, the masters that hold its key, and what is revoked.
#[must_use]
pub fn certificates(status: &v1::CertificateStatus, style: Style) -> String {
    let Some(issuer) = &status.issuer else {
        return "the cluster issues no certificates: it has adopted no issuer (clusterctl tls adopt)"
            .to_owned();
    };
    let authorities = status.roots.iter().map(|root| ("root", root));
    let rows = authorities.chain([("issuer", issuer)]).map(|(kind, one)| {
        let digest = one.digest.chars().take(16).collect();
        [kind.to_owned(), one.subject.clone(), one.not_after.clone(), digest]
    });
    let heading = ["KIND", "SUBJECT", "VALID UNTIL", "SHA-256"];
    let authorities = columns(heading, rows.collect(), style);
    let masters = status.masters.iter().map(|master| {
        let key = match master.holds_key {
            Some(true) => "yes",
            Some(false) => "no: it issues nothing",
            None => "unknown: it does not answer",
        };
        [master.master_id.clone(), key.to_owned()]
    });
    let masters = columns(["MASTER", "HOLDS THE KEY"], masters.collect(), style);
    let revoked = match status.revoked.as_slice() {
        [] => "none".to_owned(),
        revoked => revoked.join(", "),
    };
    let rotation = status.rotation.as_ref().map(rotation).unwrap_or_default();
    format!(
        "{authorities}\n\n{masters}\n\n{rotation}holders of certificates of the cluster: {}\nrevoked: {revoked}",
        status.holders
    )
}

/// Says how far a change of the authority is, and for whom it waits.
fn rotation(status: &v1::RotationStatus) -> String {
    let v1::RotationStatus { phase, masters, masters_done, workers, workers_done, .. } = status;
    let name = |root: &Option<v1::AuthorityCertificate>| {
        root.as_ref().map(|root| root.subject.clone()).unwrap_or_default()
    };
    let (from, to) = (name(&status.from), name(&status.to));
    let (doing, done) = match phase.as_str() {
        "trusting" => ("everybody learns to trust both", "trust both"),
        _ => ("everybody gets a certificate of the new one", "have one"),
    };
    let is_over = masters_done == masters && workers_done == workers && phase != "trusting";
    let next = if is_over { "\nnext: clusterctl tls rotate-ca --finish" } else { "" };
    let waiting = status.waiting_for.iter();
    let waiting = waiting.map(|one| format!("\n  {}: {}", one.holder, one.reason));
    format!(
        "the authority changes from {from} to {to}: {doing}\n{masters_done} of {masters} masters and \
         {workers_done} of {workers} workers {done}{}{next}\n\n",
        waiting.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_cannot_issue_is_named() {
        assert!(
            certificates(&v1::CertificateStatus::default(), Style::Plain).contains("tls adopt")
        );
        let authority = |subject: &str| v1::AuthorityCertificate {
            subject: subject.to_owned(),
            digest: "0123456789abcdef01".to_owned(),
            not_after: "2031-01-01T00:00:00Z".to_owned(),
        };
        let master =
            |id: &str, holds_key| v1::IssuingMaster { master_id: id.to_owned(), holds_key };
        let status = v1::CertificateStatus {
            roots: vec![authority("CN=r")],
            issuer: Some(authority("CN=i")),
            adopted_at: None,
            masters: vec![master("1", Some(true)), master("2", Some(false)), master("3", None)],
            holders: 7,
            revoked: vec!["worker/w1".to_owned()],
            rotation: None,
        };
        let expected = "\
KIND    SUBJECT  VALID UNTIL           SHA-256
root    CN=r     2031-01-01T00:00:00Z  0123456789abcdef
issuer  CN=i     2031-01-01T00:00:00Z  0123456789abcdef

MASTER  HOLDS THE KEY
1       yes
2       no: it issues nothing
3       unknown: it does not answer

holders of certificates of the cluster: 7
revoked: worker/w1";
        assert_eq!(certificates(&status, Style::Plain), expected);

        let straggler = v1::RotationStraggler {
            holder: "worker/w7".to_owned(),
            reason: "it is offline".to_owned(),
        };
        let status = v1::RotationStatus {
            phase: "issuing".to_owned(),
            from: Some(authority("CN=r")),
            to: Some(authority("CN=s")),
            masters: 3,
            masters_done: 3,
            workers: 8,
            workers_done: 7,
            waiting_for: vec![straggler],
            id: 7,
        };
        let expected = "\
the authority changes from CN=r to CN=s: everybody gets a certificate of the new one
3 of 3 masters and 7 of 8 workers have one
  worker/w7: it is offline

";
        assert_eq!(rotation(&status), expected);
        let over = v1::RotationStatus { workers_done: 8, waiting_for: Vec::new(), ..status };
        assert!(rotation(&over).ends_with("next: clusterctl tls rotate-ca --finish\n\n"));
    }
}
