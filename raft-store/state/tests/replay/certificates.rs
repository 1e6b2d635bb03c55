//! Random commands about certificates: few holders, serial numbers and keys, so that they meet.

use cluster_state::{
    AdoptIssuer, AuthorityRecord, BeginRotation, Command, ForgetWorker, Grounds, HolderId,
    IssueCertificate, LogIndex, MasterId, RevokeCertificates, RootRecord, RotateAuthority,
    RotationStep, ShownCertificate, Timestamp,
};
use proptest::prelude::*;

use super::token;
use super::values::worker;

pub(super) fn certificates() -> impl Strategy<Value = Command> {
    let holder = || {
        prop_oneof![
            3 => worker().prop_map(|worker| HolderId::of_worker(&worker)),
            1 => Just(HolderId::of_master(MasterId(1))),
        ]
    };
    let at = || (0..60_000_u64).prop_map(Timestamp);
    let shown = (holder(), 1..4_u8, at()).prop_map(|(holder, serial, not_before)| {
        Grounds::Certificate(ShownCertificate { holder, serial: vec![serial; 16], not_before })
    });
    let token_and_digest = token().prop_map(|token| Grounds::JoinToken { token, digest: [7; 32] });
    let grounds = prop_oneof![shown, token_and_digest];
    let issue = (holder(), 1..4_u8, 1..3_u8, at(), grounds).prop_map(
        |(holder, serial, key, not_after, grounds)| {
            let holder = match &grounds {
                Grounds::Certificate(shown) => shown.holder.clone(),
                Grounds::JoinToken { .. } => holder,
            };
            let (issuer, serial, key) = ([1; 32], [serial; 16], [key; 32]);
            Command::IssueCertificate(IssueCertificate {
                holder,
                issuer,
                serial,
                key,
                not_after,
                grounds,
            })
        },
    );
    let adopt = at().prop_map(|not_after| {
        Command::AdoptIssuer(AdoptIssuer {
            roots: "root".to_owned(),
            certificate: "issuer".to_owned(),
            digest: [1; 32],
            not_after,
        })
    });
    prop_oneof![
        1 => rotate(),
        1 => adopt,
        4 => issue,
        1 => holder().prop_map(|holder| Command::RevokeCertificates(RevokeCertificates { holder })),
        1 => (worker(), any::<bool>())
            .prop_map(|(worker, force)| Command::ForgetWorker(ForgetWorker { worker, force })),
    ]
}

/// Steps from the issuer that is adopted to another one, and from there.
fn rotate() -> impl Strategy<Value = Command> {
    let authority = |name: u8, until: u64| AuthorityRecord {
        root: RootRecord { digest: [name; 32], not_after: Timestamp(until) },
        certificate: "issuer".to_owned(),
        digest: [name; 32],
        not_after: Timestamp(until),
        roots: "root".to_owned(),
        endorsement: "endorsement".to_owned(),
    };
    let begin = (1..3_u8, 1..3_u8, 0..60_000_u64).prop_map(move |(from, to, until)| {
        let (from, to) = (authority(from, until), authority(to, until));
        RotationStep::Begin(Box::new(BeginRotation { roots: "roots".to_owned(), from, to }))
    });
    let rotation = || (0..4_u64).prop_map(LogIndex);
    let step = prop_oneof![
        3 => begin,
        2 => rotation().prop_map(|rotation| RotationStep::Issue { rotation }),
        1 => rotation().prop_map(|rotation| RotationStep::Finish { rotation }),
        1 => rotation().prop_map(|rotation| RotationStep::Abort { rotation }),
    ];
    step.prop_map(|step| Command::RotateAuthority(RotateAuthority { step }))
}
