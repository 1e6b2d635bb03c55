//! Random commands about certificates: few holders, serial numbers and keys, so that they meet.

use cluster_state::{
    AdoptIssuer, Command, ForgetWorker, Grounds, HolderId, IssueCertificate, MasterId,
    RevokeCertificates, ShownCertificate, Timestamp,
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
        1 => adopt,
        4 => issue,
        1 => holder().prop_map(|holder| Command::RevokeCertificates(RevokeCertificates { holder })),
        1 => (worker(), any::<bool>())
            .prop_map(|(worker, force)| Command::ForgetWorker(ForgetWorker { worker, force })),
    ]
}
